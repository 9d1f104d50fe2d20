/**
 * The rules of `model/inbound-policy.ts` written down as plainly as can be, with no regard to speed, for comparison. Every
 * condition is true, false or unknown; nothing is shared with the engine but how a path is read.
 */
import type { Clause, Condition, InboundPolicy, Network, TextPattern } from "../../model/inbound-policy.ts";
import type { Call, CallRequest } from "../call.ts";
import { readingsOf } from "../path.ts";

export interface SlowDecision {
  readonly allowed: boolean;
  readonly by: string;
  readonly audited: readonly string[];
  readonly external: readonly string[];
}

export function slowDecide(policy: InboundPolicy, call: Call): SlowDecision {
  const tls = policy.tlsByPort.find(({ port }) => port === call.port) ?? policy.tls;
  if (tls.mode === "strict" && call.peer.identity === "") {
    return { allowed: false, by: tls.origin.name, audited: [], external: [] };
  }
  const seen = tls.mode === "disable" ? { ...call, peer: { ...call.peer, identity: "" } } : call;
  const layers = policy.layers.filter(({ ports }) => ports.length === 0 || ports.includes(call.port));
  if (layers.length === 0) {
    const authenticated = seen.peer.identity !== "";
    const inCluster = policy.clusterNetworks.some((cidr) => inside({ cidr, except: [] }, seen.peer.address));
    const allowed = {
      "all-unauthenticated": true,
      "all-authenticated": authenticated,
      "cluster-authenticated": authenticated && inCluster,
      "cluster-unauthenticated": inCluster,
      deny: false,
      audit: true,
    }[policy.defaultPolicy];
    const audited = policy.defaultPolicy === "audit" ? ["audit"] : [];
    return { allowed, by: policy.defaultPolicy, audited, external: [] };
  }
  const audited: string[] = [];
  const external = new Set<string>();
  let by: string | undefined;
  for (const { rules, otherwise } of layers) {
    const holding = rules.filter(({ action, clauses }) =>
      clauses.some((clause) => clauseHolds(clause, action === "deny" || action === "external", seen)),
    );
    const at = holding.findIndex(({ action, dryRun }) => (action === "allow" || action === "deny") && dryRun !== true);
    for (const rule of at < 0 ? holding : holding.slice(0, at)) {
      if (rule.action === "audit" || (rule.dryRun === true && rule.action !== "allow")) audited.push(rule.origin.name);
      else if (rule.action === "external") external.add(rule.provider ?? "");
    }
    const decider = holding[at];
    if (decider?.action === "deny") return { allowed: false, by: decider.origin.name, audited, external: [] };
    if (decider === undefined) {
      const trials = rules.filter(({ action, dryRun }) => action === "allow" && dryRun === true);
      if (otherwise.action !== "deny" && trials[0] !== undefined && !trials.some((rule) => holding.includes(rule))) {
        audited.push(trials[0].origin.name);
      }
      if (otherwise.action === "audit") audited.push(otherwise.origin.name);
      if (otherwise.action === "deny") return { allowed: false, by: otherwise.origin.name, audited, external: [] };
    }
    by ??= (decider ?? otherwise).origin.name;
  }
  return { allowed: true, by: by ?? "", audited, external: [...external] };
}

function clauseHolds(clause: Clause, refuses: boolean, call: Call): boolean {
  return clause.every((condition) => {
    const values = conditionValues(condition, call);
    if (values === undefined || values.length === 0) return refuses;
    return refuses ? values.includes(true) : values.every((value) => value);
  });
}

/** What it comes to, in each way that the call can be understood. undefined: unknown */
function conditionValues(condition: Condition, call: Call): boolean[] | undefined {
  const { request, peer } = call;
  if (condition.on === "authenticated") return [(peer.identity !== "") === condition.value];
  const negate = (value: boolean): boolean => value !== condition.not;
  switch (condition.on) {
    case "identity":
      return [negate(text(condition.any, formOf(peer.identity, condition.form)))];
    case "source":
      return peer.address === "" ? undefined : [negate(condition.any.some((one) => inside(one, peer.address)))];
    case "destination":
      return call.localAddress === ""
        ? undefined
        : [negate(condition.any.some((one) => inside(one, call.localAddress)))];
    case "port":
      return [negate(condition.any.includes(call.port))];
    case "sni":
      return [negate(text(condition.any, call.sni, true))];
    case "client":
    case "method":
    case "path":
    case "host":
    case "header":
    case "jwt-principal":
    case "jwt-claim":
      return request === undefined ? undefined : requestValues(condition, call, request, negate);
  }
}

type RequestCondition = Extract<Condition, { on: "client" | "method" | "path" | "host" | "header" | `jwt-${string}` }>;

function requestValues(
  condition: RequestCondition,
  { peer, jwt }: Call,
  request: CallRequest,
  negate: (value: boolean) => boolean,
): boolean[] | undefined {
  switch (condition.on) {
    case "client": {
      const hops = headerOf(request.headers, "x-forwarded-for")?.split(",");
      const address = hops?.at(-1)?.trim() ?? peer.address;
      return address === "" ? undefined : [negate(condition.any.some((one) => inside(one, address)))];
    }
    case "method":
      return [negate(condition.any.some((pattern) => textMatches(pattern, request.method, false)))];
    case "path":
      return readingsOf(request.path)?.map((path) =>
        negate(condition.any.some((pattern) => textMatches(pattern, path, false))),
      );
    case "host": {
      const hosts = [request.host, request.host.replace(/:\d+$/, "")];
      return [negate(hosts.some((host) => text(condition.any, host, true)))];
    }
    case "header":
      return [negate(text(condition.any, headerOf(request.headers, condition.name) ?? ""))];
    case "jwt-principal":
      return [negate(text(condition.any, jwt === undefined ? "" : `${String(jwt["iss"])}/${String(jwt["sub"])}`))];
    case "jwt-claim": {
      const value = jwt?.[condition.path[0] ?? ""];
      const values = (Array.isArray(value) ? value : value === undefined ? [] : [value]).map(String);
      return [negate(values.some((one) => text(condition.any, one)))];
    }
  }
}

function text(patterns: readonly TextPattern[], value: string, fold = false): boolean {
  return value !== "" && patterns.some((pattern) => textMatches(pattern, value, fold));
}

function textMatches(pattern: TextPattern, value: string, fold: boolean): boolean {
  if (pattern.kind === "present") return value !== "";
  if (pattern.kind === "regex") return new RegExp(`^(?:${pattern.value})$`, fold ? "i" : "").test(value);
  if (pattern.kind === "template") return templateMatches(pattern.value, value);
  const lower = fold || pattern.ignoreCase === true;
  const wanted = lower ? pattern.value.toLowerCase() : pattern.value;
  const found = lower ? value.toLowerCase() : value;
  switch (pattern.kind) {
    case "exact":
      return found === wanted;
    case "prefix":
      return found.slice(0, wanted.length) === wanted;
    case "suffix":
      return found.length >= wanted.length && found.slice(found.length - wanted.length) === wanted;
    case "contains":
      return found.split(wanted).length > 1 || wanted === "";
  }
}

/** By trying out how much each placeholder could take. */
function templateMatches(template: string, value: string): boolean {
  const brace = template.indexOf("{*");
  if (brace < 0) return template === value;
  if (template.slice(0, brace) !== value.slice(0, brace)) return false;
  const deep = template.startsWith("{**}", brace);
  const restOfTemplate = template.slice(brace + (deep ? 4 : 3));
  for (let end = brace + (deep ? 0 : 1); end <= value.length; end++) {
    const taken = value.slice(brace, end);
    if (!deep && taken.includes("/")) return false;
    if (templateMatches(restOfTemplate, value.slice(end))) return true;
  }
  return false;
}

function headerOf(headers: readonly string[], name: string): string | undefined {
  const values: string[] = [];
  headers.forEach((field, i) => {
    if (i % 2 === 0 && field.toLowerCase() === name) values.push(headers[i + 1] ?? "");
  });
  return values.length === 0 ? undefined : values.join(",");
}

function formOf(id: string, form: string): string {
  const match = /^spiffe:\/\/(.*)\/ns\/(.*)\/sa\/(.*)$/.exec(id);
  if (match === null) return "";
  const [, td, ns, sa] = match;
  const forms: Record<string, string> = {
    spiffe: id,
    principal: `${td}/ns/${ns}/sa/${sa}`,
    linkerd: `${sa}.${ns}.serviceaccount.identity.linkerd.${td}`,
    namespace: ns ?? "",
    "service-account": `${ns}/${sa}`,
    "trust-domain": td ?? "",
    service: sa ?? "",
  };
  return forms[form] ?? "";
}

/** Addresses as strings of bits. */
function inside({ cidr, except }: Network, address: string): boolean {
  if (except.some((one) => inside({ cidr: one, except: [] }, address))) return false;
  const [network = "", length] = cidr.split("/");
  const a = bitsOf(address);
  const n = bitsOf(network);
  const count = length === undefined ? n.length : Number(length);
  return a.length === n.length && a.slice(0, count) === n.slice(0, count);
}

/** IPv4 in dots, IPv4 mapped, or IPv6 of the form "fd00::5". */
function bitsOf(address: string): string {
  const plain = address.replace(/^::ffff:/, "");
  if (plain.includes(".")) {
    return plain
      .split(".")
      .map((part) => Number(part).toString(2).padStart(8, "0"))
      .join("");
  }
  const [head = "", tail = ""] = plain.split("::");
  const front = head === "" ? [] : head.split(":");
  const back = tail === "" ? [] : tail.split(":");
  const middle = Array.from({ length: 8 - front.length - back.length }, () => "0");
  return [...front, ...middle, ...back].map((part) => Number.parseInt(part, 16).toString(2).padStart(16, "0")).join("");
}
