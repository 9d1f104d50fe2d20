/**
 * SMI's documents for one workload: what the TrafficTargets to its service account allow, and nothing else. A workload
 * that no TrafficTarget names is left to the default policy.
 */
import { spiffeId } from "../../model/identity.ts";
import type { Clause, Condition, PolicyLayer, PolicyRule, TextPattern } from "../../model/inbound-policy.ts";
import { originAt, type ResourceOf } from "../resource.ts";
import type { ResourceSet } from "../resource-index.ts";
import { type PolicySettings, type PolicyTarget, portsEnforced } from "../target.ts";
import type { TrafficRule } from "./traffic-target.ts";

type Target = ResourceOf<"access.smi-spec.io/TrafficTarget">;

export function smiLayers(
  resources: ResourceSet,
  target: PolicyTarget,
  settings: PolicySettings,
): readonly PolicyLayer[] {
  const about = resources.of("access.smi-spec.io/TrafficTarget").filter((one) => isDestination(one, target));
  const [first] = about;
  if (first === undefined) return [];
  const rules = about.flatMap((one) => rulesOf(resources, one, target, settings));
  return [{ dialect: "smi", ports: [], rules, otherwise: { action: "deny", origin: first.origin } }];
}

export function isDestination({ origin, spec }: Target, target: PolicyTarget): boolean {
  const { name, namespace = origin.namespace } = spec.destination;
  return name === target.serviceAccount && namespace === target.namespace;
}

function rulesOf(resources: ResourceSet, one: Target, target: PolicyTarget, settings: PolicySettings): PolicyRule[] {
  const { origin, spec } = one;
  const any = spec.sources.map(({ name, namespace = origin.namespace }): TextPattern => {
    const { trustDomain } = settings;
    return { kind: "exact", value: spiffeId({ trustDomain, namespace, serviceAccount: name }) };
  });
  const who: Clause = [
    { on: "identity", form: "spiffe", any, not: false },
    ...(spec.port === undefined ? [] : ports([spec.port], target)),
  ];
  if (spec.rules.length === 0) return [{ action: "allow", origin, clauses: [who] }];
  return spec.rules.map((rule): PolicyRule => {
    const clauses = traffic(resources, rule, origin.namespace, target).map((what) => [...who, ...what]);
    return { action: "allow", origin: originAt(one, rule.line), clauses };
  });
}

/** What a rule is about, in any of these ways; none, if it names what is not there. */
function traffic(resources: ResourceSet, rule: TrafficRule, namespace: string, target: PolicyTarget): Clause[] {
  if (rule.kind === "TCPRoute") {
    const route = resources.find("specs.smi-spec.io/TCPRoute", namespace, rule.name);
    if (route === undefined) return [];
    return [route.spec.ports.length === 0 ? [] : ports(route.spec.ports, target)];
  }
  const group = resources.find("specs.smi-spec.io/HTTPRouteGroup", namespace, rule.name);
  const matches = group?.spec.matches ?? [];
  return matches
    .filter(({ name }) => rule.matches.length === 0 || rule.matches.includes(name))
    .map(({ conditions }) => conditions);
}

/** By the application's port. */
function ports(written: readonly number[], target: PolicyTarget): Condition[] {
  const meant = written.flatMap((port) => portsEnforced(target, port));
  return [{ on: "port", any: [...new Set(meant)], not: false }];
}
