import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { resolve } from "node:path";

import type { FlagValues } from "../command.ts";
import { defineCommand } from "../command.ts";
import { CONTROL_FLAG, ControlClient, type AuthzRow, type ExplainQuestion } from "../control-client.ts";
import { EXIT_FAILURE, Failure, UsageError } from "../errors.ts";
import type { Io } from "../io.ts";
import { type Column, json, painter, table } from "../output.ts";
import { parseDuration, parseLabel, parsePort } from "../values.ts";
import { explanationText, whereText } from "../explanation.ts";

/** Bytes of a token or of claims: what a sidecar takes. */
const TOKEN_BYTES_MAX = 16 * 1024;

const FLAGS = {
  from: { type: "string", value: "CALLER", help: "explain: a service, a workload, a SPIFFE id or an IP address" },
  to: { type: "string", value: "SERVICE", help: "explain: the service or workload that is called" },
  port: { type: "string", value: "PORT", help: "explain: the port that callers say (default: the first one)" },
  method: { type: "string", value: "METHOD", help: "explain: of the request (default: GET; POST on a gRPC port)" },
  path: { type: "string", value: "PATH", help: "explain: of the request (default: /)" },
  host: { type: "string", value: "HOST", help: "explain: of the request (default: the service)" },
  header: { type: "string", multiple: true, value: "NAME:VALUE", help: "explain: a field of the request" },
  jwt: {
    type: "string",
    value: "FILE|CLAIMS",
    file: true,
    help: "explain: a file with a token or its claims, or the claims as JSON; taken for valid",
  },
  tcp: { type: "boolean", help: "explain: bytes that nobody looks at (so on opaque ports), and no request" },
  address: {
    type: "string",
    value: "IP",
    help: "explain: where it calls from (default: where the caller is registered)",
  },
  plaintext: { type: "boolean", help: "explain: the caller uses no TLS of the mesh" },
  since: {
    type: "string",
    value: "DURATION",
    help: "list, generate: how far back to look, from 5s to 10m (default: 1m; generate: 5m)",
  },
  namespace: {
    type: "string",
    short: "n",
    value: "NAME",
    help: "Namespace of names that say none (default: default); list, generate: only this one (default: all)",
  },
  output: { type: "string", short: "o", choices: ["text", "json"], default: "text", help: "Form of the output" },
  ...CONTROL_FLAG,
} as const;

/** What is only for explain. */
const EXPLAIN_ONLY = [
  "from",
  "to",
  "port",
  "method",
  "path",
  "host",
  "header",
  "jwt",
  "tcp",
  "address",
  "plaintext",
] as const;

type AuthzFlags = FlagValues<typeof FLAGS>;

export const authz = defineCommand({
  name: "authz",
  description: `list shows which documents are about a service or workload, and what they let pass and refused.

explain says whether a call is allowed, by which document and line, and what would change that. The answer comes from
the same engine that the sidecars obey. The exit code is 0 if it is allowed and 1 if it is refused.

generate writes Linkerd's documents that allow the calls seen within the window, and no others.`,
  positionals: { form: "list|explain|generate [SERVICE]", max: 2, choices: ["list", "explain", "generate"] },
  flags: FLAGS,
  examples: [
    { does: "All documents that are in force", line: "heddle authz list" },
    { does: "Those about price", line: "heddle authz list price" },
    {
      does: "May gateway POST to price, and why",
      line: "heddle authz explain --from gateway --to price --method POST --path /quotes",
    },
    {
      does: "What a token would change",
      line: `heddle authz explain --from gateway --to price --jwt '{"iss":"me","sub":"ann","role":"admin"}'`,
    },
    { does: "Rules for the traffic of the last five minutes", line: "heddle authz generate > policy.yaml" },
  ],
  async run({ flags, positionals, io }) {
    const [action, of] = positionals;
    if (action === undefined) throw new UsageError("authz: say list, explain or generate", "Like: heddle authz list");
    if (action !== "explain") {
      const given = EXPLAIN_ONLY.find((name) => {
        const value = flags[name];
        return Array.isArray(value) ? value.length > 0 : value !== undefined && value !== false;
      });
      if (given !== undefined) throw new UsageError(`authz ${action} takes no --${given}, which is for explain`);
    } else if (flags.since !== undefined) {
      throw new UsageError("authz explain takes no --since: it asks what holds now");
    }
    if (action !== "list" && of !== undefined) throw new UsageError(`authz ${action}: unexpected argument "${of}"`);
    const client = ControlClient.from(flags.control, io);
    if (action === "list") return list(client, of, flags, io);
    return action === "explain" ? explain(client, flags, io) : generate(client, flags, io);
  },
});

const COLUMNS: readonly Column[] = [
  ...["NAMESPACE", "SERVICE", "PORT", "DIALECT", "ACTION", "DOCUMENT", "WHERE"].map((title): Column => ({
    title,
    align: "left",
  })),
  { title: "ALLOWED", align: "right" },
  { title: "DENIED", align: "right" },
];

async function list(client: ControlClient, of: string | undefined, flags: AuthzFlags, io: Io): Promise<number> {
  const rows = await client.authz({ ...windowOf(flags, "1m"), of, namespace: namespaceOf(flags) });
  if (flags.output === "json") io.stdout.write(json(rows));
  else if (rows.length > 0) io.stdout.write(table(COLUMNS, rows.map(cells)));
  if (rows.length === 0) io.stderr.write("No workloads with a sidecar found.\n");
  return 0;
}

function cells({ namespace, service, port, dialect, action, document, allowed, denied }: AuthzRow): string[] {
  const kind = document.kind.slice(document.kind.lastIndexOf("/") + 1);
  const name = document.namespace === "" ? document.name : `${document.namespace}/${document.name}`;
  const shown = document.kind === "default" ? "-" : `${kind} ${name}`;
  return [
    namespace,
    service,
    String(port),
    dialect,
    action,
    shown,
    whereText(document) || "-",
    String(allowed),
    String(denied),
  ];
}

async function explain(client: ControlClient, flags: AuthzFlags, io: Io): Promise<number> {
  const { from, to, method, path, host } = flags;
  if (from === undefined || to === undefined) {
    const missing = from === undefined ? "--from" : "--to";
    throw new UsageError(
      `authz explain: ${missing} is missing`,
      "Like: heddle authz explain --from gateway --to price",
    );
  }
  const inRequests = [method, path, host, flags.jwt].some((value) => value !== undefined) || flags.header.length > 0;
  if (flags.tcp && inRequests) throw new UsageError("authz explain: --tcp has no request, so nothing to say about one");
  if (path !== undefined && !path.startsWith("/")) {
    throw new UsageError(`--path: expected a path that begins with "/", found "${path}"`);
  }
  const question: ExplainQuestion = {
    from,
    to,
    headers: flags.header.map(parseHeader),
    plaintext: flags.plaintext,
    tcp: flags.tcp,
    ...(flags.address === undefined ? {} : { address: parseIp("--address", flags.address) }),
    ...(flags.namespace === undefined ? {} : { namespace: parseLabel("--namespace", flags.namespace) }),
    ...(flags.port === undefined ? {} : { port: parsePort("--port", flags.port) }),
    ...(method === undefined ? {} : { method }),
    ...(path === undefined ? {} : { path }),
    ...(host === undefined ? {} : { host }),
    ...(flags.jwt === undefined ? {} : { claims: await claimsOf(flags.jwt, io) }),
  };
  const explanation = await client.explain(question);
  io.stdout.write(flags.output === "json" ? json(explanation) : explanationText(explanation, painter(io.stdout, io)));
  return explanation.allowed ? 0 : EXIT_FAILURE;
}

function parseIp(flag: string, text: string): string {
  if (isIP(text) !== 0) return text;
  throw new UsageError(`${flag}: expected an IP address, found "${text}"`);
}

function parseHeader(text: string): [string, string] {
  const colon = text.indexOf(":");
  const name = text.slice(0, Math.max(colon, 0));
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) {
    throw new UsageError(`--header: expected NAME:VALUE like x-user:ann, found "${text}"`);
  }
  return [name, text.slice(colon + 1).trim()];
}

/** A token never leaves this process: only its claims are sent. @throws UsageError | Failure */
async function claimsOf(text: string, io: Io): Promise<Record<string, unknown>> {
  if (text.trimStart().startsWith("{")) return claimsFrom(text, "--jwt");
  const file = resolve(io.directory, text);
  const content = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    const reason = error.code === "ENOENT" ? "there is no such file" : error.message;
    throw new Failure(`--jwt: cannot read ${file}: ${reason}`, "Give a file with a token, or claims as JSON.");
  });
  if (Buffer.byteLength(content) > TOKEN_BYTES_MAX) {
    throw new Failure(`--jwt: ${file} has more than ${TOKEN_BYTES_MAX} bytes, which a sidecar does not take either`);
  }
  const token = content.trim().replace(/^Bearer\s+/i, "");
  if (token.startsWith("{")) return claimsFrom(token, `--jwt: ${file}`);
  const parts = token.split(".");
  if (parts.length !== 3) {
    throw new Failure(`--jwt: ${file} holds neither a token of three parts nor claims as JSON`);
  }
  return claimsFrom(Buffer.from(parts[1] as string, "base64url").toString(), `--jwt: the token in ${file}`);
}

/** Nothing of what was found is repeated: it may be a secret. */
function claimsFrom(text: string, where: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new UsageError(`${where}: its claims are not JSON`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new UsageError(`${where}: expected an object of claims`);
  }
  return value as Record<string, unknown>;
}

async function generate(client: ControlClient, flags: AuthzFlags, io: Io): Promise<number> {
  const { windowSeconds } = windowOf(flags, "5m");
  const { documents, notes } = await client.generate({ windowSeconds, namespace: namespaceOf(flags) });
  for (const note of notes) io.stderr.write(`heddle: ${note}\n`);
  if (flags.output === "json") io.stdout.write(json(documents));
  else {
    const { stringify } = await import("yaml");
    io.stdout.write(documents.map((document) => stringify(document)).join("---\n"));
  }
  if (documents.length === 0) io.stderr.write("No services with a sidecar found.\n");
  return 0;
}

function windowOf({ since }: AuthzFlags, otherwise: string): { readonly windowSeconds: number } {
  return { windowSeconds: parseDuration("--since", since ?? otherwise, ["5s", "10m"]) / 1_000 };
}

function namespaceOf({ namespace }: AuthzFlags): string | undefined {
  return namespace === undefined ? undefined : parseLabel("--namespace", namespace);
}
