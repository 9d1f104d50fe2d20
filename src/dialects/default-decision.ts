/** A default policy as rules of a layer: what decides where the documents of a dialect leave it open. */
import {
  type Clause,
  type Condition,
  type DefaultPolicy,
  NO_DOCUMENT,
  type Origin,
  type PolicyLayer,
  type PolicyRule,
} from "../model/inbound-policy.ts";

export interface Decision {
  readonly rules: readonly PolicyRule[];
  readonly otherwise: PolicyLayer["otherwise"];
}

/** @param origin the document that says so; without one it is the default of the mesh */
export function decisionOf(
  policy: DefaultPolicy,
  clusterNetworks: readonly string[],
  origin: Origin = { ...NO_DOCUMENT, name: policy },
): Decision {
  if (policy === "all-unauthenticated") return { rules: [], otherwise: { action: "allow", origin } };
  if (policy === "deny" || policy === "audit") return { rules: [], otherwise: { action: policy, origin } };
  const clause: Condition[] = [];
  if (policy !== "cluster-unauthenticated") clause.push({ on: "authenticated", value: true });
  if (policy !== "all-authenticated") {
    clause.push({ on: "source", any: clusterNetworks.map((cidr) => ({ cidr, except: [] })), not: false });
  }
  return { rules: [{ action: "allow", origin, clauses: [clause] }], otherwise: { action: "deny", origin } };
}

/**
 * The same as rules that always decide, for calls for which a clause holds: what comes behind them is never reached by
 * such a call.
 */
export function decideFinally({ rules, otherwise }: Decision, clause: Clause, origin: Origin): PolicyRule[] {
  const here = rules.map((rule) => ({ ...rule, origin, clauses: rule.clauses.map((own) => [...clause, ...own]) }));
  const last: PolicyRule = { action: otherwise.action === "deny" ? "deny" : "allow", origin, clauses: [clause] };
  return otherwise.action === "audit"
    ? [...here, { action: "audit", origin, clauses: [clause] }, last]
    : [...here, last];
}
