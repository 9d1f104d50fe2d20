/** What metrics and people are told about a decision: Linkerd's labels, and words for the log. */
import { parseSpiffeId } from "../../model/identity.ts";
import type { InboundPolicy, Origin } from "../../model/inbound-policy.ts";
import type { Call, Peer } from "../../policy/policy.ts";
import type { Labels } from "../../telemetry/metrics.ts";

/** The labels of the port: its Server where Linkerd's documents speak of it, else the default policy. */
export function portLabels(policy: InboundPolicy, port: number): Labels {
  const layer = policy.layers.find(
    ({ dialect, ports }) => dialect === "linkerd" && (ports.length === 0 || ports.includes(port)),
  );
  const { kind, name } = layer?.otherwise.origin ?? { kind: "default", name: policy.defaultPolicy };
  return { ...documentLabels("srv", kind, name), srv_port: String(port) };
}

export function originLabels(prefix: "authz" | "ratelimit", { kind, name }: Origin): Labels {
  return documentLabels(prefix, kind, name);
}

function documentLabels(prefix: string, kind: string, name: string): Labels {
  const parts = kind.split("/");
  const last = parts.at(-1) ?? "";
  return {
    [`${prefix}_group`]: parts.length > 1 ? (parts[0] as string) : "",
    [`${prefix}_kind`]: last.toLowerCase(),
    [`${prefix}_name`]: name,
  };
}

/** "web.shop", or what else there is to say. */
export function peerName({ identity, address }: Peer): string {
  const parsed = parseSpiffeId(identity);
  if (parsed !== undefined) return `${parsed.serviceAccount}.${parsed.namespace}`;
  return identity === "" ? `an unknown caller at ${address}` : identity;
}

/** The command that says why. Without the query, which may hold secrets. @param to "price.shop" */
export function explainCommand(call: Call, to: string): string {
  const words = ["heddle", "authz", "explain"];
  const { identity, address } = call.peer;
  const from = identity === "" ? address : identity;
  if (from !== "") words.push("--from", from);
  words.push("--to", to, "--port", String(call.port));
  const { request } = call;
  if (request !== undefined) words.push("--method", request.method, "--path", withoutQuery(request.path));
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(" ");
}

export function withoutQuery(path: string): string {
  const query = path.indexOf("?");
  return query < 0 ? path : path.slice(0, query);
}
