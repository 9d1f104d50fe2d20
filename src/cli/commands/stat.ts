import { setTimeout } from "node:timers/promises";
import { defineCommand } from "../command.ts";
import { CONTROL_FLAG, ControlClient, type StatRow } from "../control-client.ts";
import { json } from "../output.ts";
import { statJson, statTable, type StatTableOptions } from "../stat-table.ts";
import { parseDuration, parseLabel } from "../values.ts";
import { LiveText } from "../live-text.ts";

/** Between two looks of `--watch`. */
const WATCH_EVERY_MS = 2_000;

export const stat = defineCommand({
  name: "stat",
  description: `Shows, per service or per workload, how much of its traffic succeeds, how much there is, and how long it takes, as
measured by the sidecars where the traffic arrives.`,
  positionals: { form: "[services|workloads]", max: 1, choices: ["services", "workloads"] },
  flags: {
    namespace: { type: "string", short: "n", value: "NAME", default: "default", help: "Namespace to show" },
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
      help: "Form of the output",
    },
    watch: {
      type: "boolean",
      short: "w",
      help: "Look again every two seconds until Ctrl-C; with -o json one line each time",
    },
    ...CONTROL_FLAG,
  },
  examples: [
    { does: "Every service over the last minute", line: "heddle stat" },
    { does: "Every instance over the last ten seconds", line: "heddle stat workloads -t 10s" },
    { does: "For a program", line: "heddle stat -o json" },
  ],
  async run({ flags, positionals, io }) {
    const client = ControlClient.from(flags.control, io);
    const query = {
      windowSeconds: parseDuration("--time-window", flags["time-window"], ["5s", "10m"]) / 1_000,
      by: positionals[0] === "workloads" ? ("workload" as const) : ("service" as const),
      ...(flags["all-namespaces"] ? {} : { namespace: parseLabel("--namespace", flags.namespace) }),
    };
    const options = { wide: flags.output === "wide", namespaces: flags["all-namespaces"] };
    if (!flags.watch) {
      const rows = await client.stat(query);
      io.stdout.write(flags.output === "json" ? json(rows.map(statJson)) : tableOrNothing(rows, options));
      if (rows.length === 0) io.stderr.write("No traffic found.\n");
      return 0;
    }
    const live = new LiveText(io.stdout);
    for (;;) {
      const rows = await client.stat(query);
      if (flags.output === "json") io.stdout.write(`${JSON.stringify(rows.map(statJson))}\n`);
      else live.show(rows.length === 0 ? "No traffic found.\n" : statTable(rows, options));
      await setTimeout(WATCH_EVERY_MS);
    }
  },
});

function tableOrNothing(rows: readonly StatRow[], options: StatTableOptions): string {
  return rows.length === 0 ? "" : statTable(rows, options);
}
