/** Rules in words for people. */
import type { Condition, Network, Origin, TextPattern } from "../../model/inbound-policy.ts";
import type { Call } from "../../policy/policy.ts";

/** Patterns that one sentence lists. */
const LISTED_MAX = 5;

/** "AuthorizationPolicy shop/price (policies.yaml:12)", "the default policy deny". */
export function documentName({ kind, namespace, name, file, line }: Origin): string {
  if (kind === "default") return `the default policy${name === "" ? "" : ` ${name}`}`;
  const short = kind.slice(kind.lastIndexOf("/") + 1);
  const where = file === "" ? "" : ` (${file}:${line})`;
  return `${short} ${namespace === "" ? name : `${namespace}/${name}`}${where}`;
}

/** What a condition demands: "the method is GET or POST". */
export function demand(condition: Condition): string {
  if (condition.on === "authenticated") {
    return condition.value ? "the caller has proved an identity (TLS of the mesh)" : "the caller has no identity";
  }
  const is = condition.not ? "is not" : "is";
  return `${subject(condition)} ${is} ${alternatives(condition)}`;
}

/** What the call has instead: "GET", "no header x-user". */
export function found(condition: Condition, { peer, port, localAddress, sni, request, jwt }: Call): string {
  switch (condition.on) {
    case "authenticated":
    case "identity":
      return peer.identity || "none";
    case "source":
    case "client":
      return peer.address || "not known";
    case "destination":
      return localAddress || "not known";
    case "port":
      return String(port);
    case "sni":
      return sni || "none";
    case "method":
      return request?.method ?? NO_REQUEST;
    case "path":
      return request?.path ?? NO_REQUEST;
    case "host":
      return request?.host ?? NO_REQUEST;
    case "header":
      return request === undefined ? NO_REQUEST : (fieldOf(request.headers, condition.name) ?? "not there");
    case "jwt-principal":
    case "jwt-claim":
      return jwt === undefined ? "no token" : "what the token says";
  }
}

const NO_REQUEST = "bytes that nobody looks at";

function subject(condition: Exclude<Condition, { on: "authenticated" }>): string {
  switch (condition.on) {
    case "identity":
      return IDENTITY_WORDS[condition.form];
    case "source":
      return "the caller's address";
    case "client":
      return "the client's address (X-Forwarded-For)";
    case "destination":
      return "the workload's address";
    case "port":
      return "the port";
    case "sni":
      return "the TLS server name";
    case "method":
      return "the method";
    case "path":
      return "the path";
    case "host":
      return "the host";
    case "header":
      return `the header ${condition.name}`;
    case "jwt-principal":
      return "the token's iss/sub";
    case "jwt-claim":
      return `the token's claim ${condition.path.join(".")}`;
  }
}

const IDENTITY_WORDS = {
  spiffe: "the caller's SPIFFE id",
  principal: "the caller's principal",
  linkerd: "the caller's identity",
  namespace: "the caller's namespace",
  "service-account": "the caller's service account",
  "trust-domain": "the caller's trust domain",
  service: "the caller's service",
} as const;

function alternatives(condition: Exclude<Condition, { on: "authenticated" }>): string {
  const all =
    condition.on === "port"
      ? condition.any.map(String)
      : condition.on === "source" || condition.on === "client" || condition.on === "destination"
        ? condition.any.map(networkWords)
        : condition.any.map(patternWords);
  const [first = "anything"] = all;
  if (all.length <= 1) return first;
  const shown = all.slice(0, LISTED_MAX);
  const rest = all.length - shown.length;
  return `any of ${shown.join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
}

function networkWords({ cidr, except }: Network): string {
  return except.length === 0 ? cidr : `${cidr} but ${except.join(", ")}`;
}

function patternWords(pattern: TextPattern): string {
  switch (pattern.kind) {
    case "exact":
      return pattern.value === "" ? '""' : pattern.value;
    case "prefix":
      return `${pattern.value}*`;
    case "suffix":
      return `*${pattern.value}`;
    case "contains":
      return `*${pattern.value}*`;
    case "present":
      return "there";
    case "regex":
      return `/${pattern.value}/`;
    case "template":
      return pattern.value;
  }
}

function fieldOf(headers: readonly string[], name: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i]?.toLowerCase() === name) return headers[i + 1];
  }
  return undefined;
}
