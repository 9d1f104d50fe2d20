import { defineCommand } from "../command.ts";
import { CONTROL_FLAG, ControlClient, type EdgeRow } from "../control-client.ts";
import { type Column, json, painter, type Paint, table } from "../output.ts";
import { parseDuration, parseLabel } from "../values.ts";

export const edges = defineCommand({
  name: "edges",
  description: `Shows who calls whom, and whether both ends have proved who they are: √ for mutual TLS, or the reason why there is none.
An edge is there if something went that way within the window, or a connection is open; it is seen by the caller's
sidecar, so callers without one are not shown.`,
  positionals: { form: "[services|workloads]", max: 1, choices: ["services", "workloads"] },
  flags: {
    namespace: { type: "string", short: "n", value: "NAME", default: "default", help: "Namespace of either end" },
    "all-namespaces": { type: "boolean", short: "A", help: "Show every namespace" },
    "time-window": {
      type: "string",
      short: "t",
      value: "DURATION",
      default: "1m",
      help: "How far back to look, from 5s to 10m",
    },
    output: {
      type: "string",
      short: "o",
      choices: ["table", "wide", "json"],
      default: "table",
      help: "Form of the output; wide shows both identities",
    },
    ...CONTROL_FLAG,
  },
  examples: [
    { does: "Every edge between services", line: "heddle edges" },
    { does: "Between instances, with the identities of both ends", line: "heddle edges workloads -o wide" },
  ],
  async run({ flags, positionals, io }) {
    const client = ControlClient.from(flags.control, io);
    const rows = await client.edges({
      windowSeconds: parseDuration("--time-window", flags["time-window"], ["5s", "10m"]) / 1_000,
      by: positionals[0] === "workloads" ? "workload" : "service",
      ...(flags["all-namespaces"] ? {} : { namespace: parseLabel("--namespace", flags.namespace) }),
    });
    if (flags.output === "json") io.stdout.write(json(rows.map(edgeJson)));
    else if (rows.length > 0) io.stdout.write(edgeTable(rows, flags.output === "wide", painter(io.stdout, io)));
    if (rows.length === 0) io.stderr.write("No edges found.\n");
    return 0;
  },
});

const ENDS: readonly Column[] = ["SRC", "DST", "SRC_NS", "DST_NS"].map((title) => ({ title, align: "left" }));
const IDENTITIES: readonly Column[] = ["CLIENT_ID", "SERVER_ID"].map((title) => ({ title, align: "left" }));
const SECURED: Column = { title: "SECURED", align: "left" };

function edgeTable(rows: readonly EdgeRow[], wide: boolean, paint: Paint): string {
  const cells = rows.map((row) => [
    row.src,
    row.dst,
    row.src_namespace,
    row.dst_namespace,
    ...(wide ? [shortIdentity(row.client_id) || "-", shortIdentity(row.server_id) || "-"] : []),
    row.no_tls_reason === "" ? paint("green", "√") : paint("yellow", row.no_tls_reason),
  ]);
  return table([...ENDS, ...(wide ? IDENTITIES : []), SECURED], cells);
}

/** The fields of linkerd's JSON. */
function edgeJson(row: EdgeRow): EdgeRow {
  return { ...row, client_id: shortIdentity(row.client_id), server_id: shortIdentity(row.server_id) };
}

/** "price.shop.serviceaccount.identity.linkerd.cluster.local" → "price.shop", as linkerd prints it. */
function shortIdentity(name: string): string {
  return name.replace(/\.serviceaccount\.identity\..*$/, "");
}
