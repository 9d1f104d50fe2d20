/**
 * What would turn a verdict round. Of a refusal: which rules nearly allowed it, and what they miss, or which rule would
 * have to go. Of a permission: what would decide without the rule that allowed it. Every sentence is found by asking the
 * engine again, so none can say what the sidecar would not do.
 */
import { parseSpiffeId } from "../../model/identity.ts";
import type { Clause, Condition, InboundPolicy, Origin, PolicyLayer, PolicyRule } from "../../model/inbound-policy.ts";
import { type Call, compilePolicy, decide, type Decision } from "../../policy/policy.ts";
import { demand, documentName, found } from "./words.ts";

/** Sentences about one verdict. */
export const SUGGESTIONS_MAX = 5;

export function whatWouldChange(policy: InboundPolicy, call: Call, decision: Decision): string[] {
  const sentences = decision.allowed ? ofPermission(policy, call, decision) : ofRefusal(policy, call, decision);
  return [...new Set(sentences)].slice(0, SUGGESTIONS_MAX);
}

function ofPermission(policy: InboundPolicy, call: Call, { origin }: Decision): string[] {
  const isDeciding = (rule: PolicyRule): boolean => sameOrigin(rule.origin, origin) && rule.action === "allow";
  if (!policy.layers.some(({ rules }) => rules.some(isDeciding))) return [];
  const layers = policy.layers.map((layer) => ({ ...layer, rules: layer.rules.filter((rule) => !isDeciding(rule)) }));
  const without = verdict({ ...policy, layers }, call);
  const says = without.allowed ? "it would be allowed all the same" : "it would be refused";
  return [`Without ${documentName(origin)} ${says}: ${without.reason}.`];
}

function ofRefusal(policy: InboundPolicy, call: Call, { origin, reason }: Decision): string[] {
  const open: InboundPolicy = { ...policy, tls: { ...policy.tls, mode: "permissive" }, tlsByPort: [] };
  const withTls = verdict(open, call);
  const here = policy.tlsByPort.find(({ port }) => port === call.port) ?? policy.tls;
  if (here.mode === "strict" && call.peer.identity === "" && sameOrigin(origin, here.origin)) {
    const then = withTls.allowed ? "" : ` Then it would still be refused: ${withTls.reason}.`;
    return [
      `Give the caller a sidecar and an identity, or set the mode of ${documentName(here.origin)} to PERMISSIVE.${then}`,
    ];
  }
  const layers = policy.layers.filter(({ ports }) => ports.length === 0 || ports.includes(call.port));
  if (layers.length === 0) return [...byDefault(policy, call), documentFor(call)];
  const refusing = layers.find((layer) => !verdict(only(policy, layer), call).allowed);
  if (refusing === undefined) return [reason];
  const denying = refusing.rules.find(
    (rule) => rule.action === "deny" && rule.dryRun !== true && sameOrigin(rule.origin, origin) && holds(rule, call),
  );
  if (denying !== undefined) return ofDenial(denying, call);
  const near = nearMisses(refusing, call);
  if (near.length > 0) return near;
  return [documentFor(call, refusing.dialect)];
}

/** A rule that denies: which of its conditions the call would have to miss. */
function ofDenial(rule: PolicyRule, call: Call): string[] {
  const clause = rule.clauses.find((one) => one.every((condition) => conditionHolds(condition, call, true)));
  if (clause === undefined || clause.length === 0)
    return [`Take ${documentName(rule.origin)} away: it denies every call.`];
  const wants = clause.map((condition) => `${demand(condition)} (here ${found(condition, call)})`);
  return [`${documentName(rule.origin)} denies it because ${wants.join(", and ")}. Change one of these, or the rule.`];
}

/** The rules that allow and fail by the fewest conditions. */
function nearMisses(layer: PolicyLayer, call: Call): string[] {
  const misses: { readonly origin: Origin; readonly failing: readonly Condition[] }[] = [];
  for (const { action, origin, clauses, dryRun } of layer.rules) {
    if (action !== "allow" || dryRun === true) continue;
    for (const clause of clauses) {
      misses.push({ origin, failing: clause.filter((condition) => !conditionHolds(condition, call, false)) });
    }
  }
  const least = Math.min(...misses.map(({ failing }) => failing.length));
  return misses
    .filter(({ failing }) => failing.length === least)
    .map(({ origin, failing }) => {
      const wants = failing.map((condition) => `${demand(condition)} (here ${found(condition, call)})`);
      return `${documentName(origin)} would allow it if ${wants.join(", and ")}. Add it there, or change the call.`;
    });
}

function byDefault({ defaultPolicy, clusterNetworks }: InboundPolicy, call: Call): string[] {
  if (defaultPolicy === "deny") return [];
  const sentences: string[] = [];
  if (defaultPolicy.endsWith("-authenticated") && call.peer.identity === "") {
    sentences.push(`The default policy ${defaultPolicy} would allow it if the caller had an identity (a sidecar).`);
  }
  if (defaultPolicy.startsWith("cluster-")) {
    sentences.push(
      `The default policy ${defaultPolicy} only takes callers from ${clusterNetworks.join(", ")} (here ${call.peer.address || "not known"}).`,
    );
  }
  return sentences;
}

/** Where no document is near: the one to write. */
function documentFor({ peer, port }: Call, dialect: PolicyLayer["dialect"] = "linkerd"): string {
  const who = parseSpiffeId(peer.identity);
  switch (dialect) {
    case "istio":
      return who === undefined
        ? `Add an Istio AuthorizationPolicy with action ALLOW and from.source.ipBlocks: ["${peer.address}"].`
        : `Add an Istio AuthorizationPolicy with action ALLOW and from.source.principals: ["${who.trustDomain}/ns/${who.namespace}/sa/${who.serviceAccount}"].`;
    case "consul":
      return `Add a source to the service-intentions of the service: Name "${who?.serviceAccount ?? "*"}", Action "allow".`;
    case "smi":
      return who === undefined
        ? "Give the caller a sidecar and an identity: a TrafficTarget only knows service accounts."
        : `Add a TrafficTarget with the source ServiceAccount ${who.namespace}/${who.serviceAccount}.`;
    case "linkerd":
      return who === undefined
        ? `Add a Server for port ${port} and an AuthorizationPolicy that requires a NetworkAuthentication with ${peer.address || "the caller's network"}, or give the caller a sidecar.`
        : `Add a Server for port ${port} and an AuthorizationPolicy that requires a MeshTLSAuthentication with the ServiceAccount ${who.namespace}/${who.serviceAccount}; \`heddle authz generate\` writes such documents.`;
  }
}

function only(policy: InboundPolicy, layer: PolicyLayer): InboundPolicy {
  return { ...policy, tls: { ...policy.tls, mode: "permissive" }, tlsByPort: [], layers: [layer] };
}

function holds(rule: PolicyRule, call: Call): boolean {
  return rule.clauses.some((clause) => clauseHolds(clause, call, true));
}

function conditionHolds(condition: Condition, call: Call, denies: boolean): boolean {
  return clauseHolds([condition], call, denies);
}

/** Asks the engine by a policy that has nothing but this clause. @param denies what cannot be known counts as held */
function clauseHolds(clause: Clause, call: Call, denies: boolean): boolean {
  const origin: Origin = { kind: "", namespace: "", name: "", file: "", line: 0 };
  const rule: PolicyRule = { action: denies ? "deny" : "allow", origin, clauses: [clause] };
  const layer: PolicyLayer = {
    dialect: "istio",
    ports: [],
    rules: [rule],
    otherwise: { action: denies ? "allow" : "deny", origin },
  };
  const policy: InboundPolicy = {
    defaultPolicy: "deny",
    clusterNetworks: [],
    tls: { mode: "permissive", origin },
    tlsByPort: [],
    layers: [layer],
    rateLimits: [],
    jwt: [],
    providers: [],
  };
  return verdict(policy, call).allowed !== denies;
}

function verdict(policy: InboundPolicy, call: Call): Decision {
  return decide(compilePolicy(policy, call.port), call);
}

function sameOrigin(a: Origin, b: Origin): boolean {
  return (
    a.kind === b.kind && a.namespace === b.namespace && a.name === b.name && a.file === b.file && a.line === b.line
  );
}
