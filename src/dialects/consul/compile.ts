/**
 * Consul's intentions for one workload: for each caller exactly one decides, the one of highest precedence. Without one,
 * or if none of its permissions holds, the default policy of the mesh decides, as Consul's default intention policy does.
 * A byte stream is refused by an intention that has permissions.
 */
import { spiffeId } from "../../model/identity.ts";
import type { Clause, Condition, PolicyLayer, PolicyRule } from "../../model/inbound-policy.ts";
import { type Decision, decideFinally, decisionOf } from "../default-decision.ts";
import { originAt, type ResourceOf } from "../resource.ts";
import type { ResourceSet } from "../resource-index.ts";
import type { PolicySettings, PolicyTarget } from "../target.ts";
import type { IntentionSource } from "./service-intentions.ts";

type Intentions = ResourceOf<"consul/service-intentions">;

interface Intention {
  readonly document: Intentions;
  readonly source: IntentionSource;
  /** 9 is the highest (Consul's numbers). */
  readonly precedence: number;
}

const AUTHENTICATED: Condition = { on: "authenticated", value: true };
/** No request is without a method; in rules that deny it holds of byte streams. */
const BYTE_STREAM: Condition = { on: "method", any: [{ kind: "present" }], not: true };

export function consulLayers(
  resources: ResourceSet,
  target: PolicyTarget,
  settings: PolicySettings,
): readonly PolicyLayer[] {
  const entries = resources
    .of("consul/service-intentions")
    .filter(({ origin }) => origin.namespace === target.namespace);
  const byDefault = decisionOf(settings.defaultPolicy, settings.clusterNetworks);
  const services = [...new Set(target.ports.map(({ service }) => service))];
  return services.flatMap((service): PolicyLayer[] => {
    const intentions = intentionsFor(service, entries);
    if (intentions.length === 0) return [];
    const rules = intentions.flatMap((intention) => rulesOf(intention, settings, byDefault));
    const ports = target.ports.filter((port) => port.service === service).map(({ port }) => port);
    return [{ dialect: "consul", ports, rules: [...rules, ...byDefault.rules], otherwise: byDefault.otherwise }];
  });
}

/** Highest precedence first. */
function intentionsFor(service: string, entries: readonly Intentions[]): Intention[] {
  const found = entries.flatMap((document) => {
    const { destination, sources } = document.spec;
    if (destination !== service && destination !== "*") return [];
    const base = destination === "*" ? 5 : 8;
    return sources.map((source) => ({ document, source, precedence: source.name === "*" ? base : base + 1 }));
  });
  return found.sort((a, b) => b.precedence - a.precedence);
}

function rulesOf({ document, source }: Intention, settings: PolicySettings, byDefault: Decision): PolicyRule[] {
  const { decides, line } = source;
  const origin = originAt(document, line);
  if (decides === "allow") return [{ action: "allow", origin, clauses: [callers(document, source, settings, true)] }];
  const who = callers(document, source, settings, false);
  if (decides === "deny") return [{ action: "deny", origin, clauses: [who] }];
  return [
    { action: "deny", origin, clauses: [[...who, BYTE_STREAM]] },
    ...decides.map(({ action, conditions, line: at }): PolicyRule => {
      const clause = callers(document, source, settings, action === "allow");
      return { action, origin: originAt(document, at), clauses: [[...clause, ...conditions]] };
    }),
    ...decideFinally(byDefault, who, origin),
  ];
}

/** Who calls. "*" is everybody with an identity of the mesh where it lets pass, and everybody where it refuses. */
function callers(
  { origin }: Intentions,
  { name, namespace = origin.namespace }: IntentionSource,
  { trustDomain }: PolicySettings,
  lets: boolean,
): Clause {
  if (name === "*") return lets ? [AUTHENTICATED] : [];
  const value = spiffeId({ trustDomain, namespace, serviceAccount: name });
  return [{ on: "identity", form: "spiffe", any: [{ kind: "exact", value }], not: false }];
}
