/**
 * Istio's documents for one workload. CUSTOM is asked, then DENY, then ALLOW; where no ALLOW policy is about the workload
 * all is allowed, which here means what the default policy of the mesh allows: a DENY policy must not open what was
 * closed.
 */
import {
  type JwtRule,
  NO_DOCUMENT,
  type PolicyLayer,
  type PolicyRule,
  type RuleAction,
} from "../../model/inbound-policy.ts";
import { decisionOf } from "../default-decision.ts";
import { originAt, type ResourceOf } from "../resource.ts";
import type { ResourceSet } from "../resource-index.ts";
import type { PolicySettings, PolicyTarget } from "../target.ts";
import type { IstioAction } from "./authorization-policy.ts";
import { clausesOf } from "./clauses.ts";
import { holds } from "./compile-tls.ts";

type Policy = ResourceOf<"security.istio.io/AuthorizationPolicy">;

const ACTIONS: Readonly<Record<IstioAction, RuleAction>> = {
  CUSTOM: "external",
  AUDIT: "audit",
  DENY: "deny",
  ALLOW: "allow",
};

/**
 * What is forbidden is so on every port, also where nobody has told the mesh that there is one.
 *
 * @param decided service ports about which another dialect decides who may call: there this one only adds what it forbids
 */
export function istioLayers(
  resources: ResourceSet,
  target: PolicyTarget,
  settings: PolicySettings,
  decided: readonly number[] | "everywhere",
): readonly PolicyLayer[] {
  const policies = resources
    .of("security.istio.io/AuthorizationPolicy")
    .filter((one) => isAbout(one, target, settings));
  if (policies.length === 0) return [];
  const rulesOf = (action: IstioAction): PolicyRule[] =>
    policies.filter(({ spec }) => spec.action === action).flatMap((policy) => rulesIn(policy, target, settings));
  // What is marked is marked also if it is then refused.
  const rules = [...rulesOf("AUDIT"), ...rulesOf("CUSTOM"), ...rulesOf("DENY"), ...rulesOf("ALLOW")];
  const allowing = policies.find(({ spec }) => spec.action === "ALLOW" && !spec.dryRun);
  if (allowing !== undefined) {
    return [{ dialect: "istio", ports: [], rules, otherwise: { action: "deny", origin: allowing.origin } }];
  }
  const rest = decisionOf(settings.defaultPolicy, settings.clusterNetworks);
  if (decided.length === 0) {
    return [{ dialect: "istio", ports: [], rules: [...rules, ...rest.rules], otherwise: rest.otherwise }];
  }
  const others: PolicyLayer["otherwise"] = { action: "allow", origin: NO_DOCUMENT };
  const besides: PolicyLayer = { dialect: "istio", ports: [], rules, otherwise: others };
  if (decided === "everywhere") return [besides];
  const there: PolicyRule = {
    action: "allow",
    origin: NO_DOCUMENT,
    clauses: [[{ on: "port", any: decided, not: false }]],
  };
  return [besides, { dialect: "istio", ports: [], rules: [there, ...rest.rules], otherwise: rest.otherwise }];
}

/** Tokens that are believed: all rules of all documents that are about the workload. */
export function jwtRules(resources: ResourceSet, target: PolicyTarget, settings: PolicySettings): readonly JwtRule[] {
  return resources
    .of("security.istio.io/RequestAuthentication")
    .filter((one) => isAbout(one, target, settings))
    .flatMap((one) => one.spec.rules.map(({ line, rule }) => ({ ...rule, origin: originAt(one, line) })));
}

/** Of the workload's namespace or of the root's, and with labels that it has. */
export function isAbout(
  document: {
    readonly origin: { readonly namespace: string };
    readonly spec: { readonly selector: Readonly<Record<string, string>> };
  },
  target: PolicyTarget,
  { rootNamespace }: PolicySettings,
): boolean {
  const { namespace } = document.origin;
  return (namespace === target.namespace || namespace === rootNamespace) && holds(document.spec.selector, target);
}

function rulesIn(policy: Policy, target: PolicyTarget, settings: PolicySettings): PolicyRule[] {
  const { action, provider, dryRun } = policy.spec;
  const known = settings.providers.some(({ name }) => name === provider);
  const context = { namespace: policy.origin.namespace, trustDomain: settings.trustDomain, target };
  return policy.spec.rules.map(({ line, rule }): PolicyRule => {
    const origin = originAt(policy, line);
    const clauses = clausesOf(rule, context);
    // As in Istio: who cannot be asked has not agreed.
    if (action === "CUSTOM" && !known) return { action: "deny", origin, clauses };
    const base: PolicyRule = { action: ACTIONS[action], origin, clauses };
    if (action === "CUSTOM") return { ...base, provider };
    return dryRun ? { ...base, dryRun } : base;
  });
}
