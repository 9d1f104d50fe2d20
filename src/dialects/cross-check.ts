/**
 * What only several documents together show. What would make one of them mean something else than it says is an error,
 * what makes it mean nothing (a name that is not there) a warning: in a cluster, too, the other may come later.
 */
import type { Diagnostic } from "./diagnostic.ts";
import { closest } from "./closest.ts";
import type { LabelSelector } from "./kubernetes.ts";
import type { Resource, ResourceOf, ResourceType } from "./resource.ts";
import type { ResourceSet } from "./resource-index.ts";
import { DEFAULT_ROOT_NAMESPACE } from "./target.ts";

type Report = (severity: Diagnostic["severity"], at: Resource, field: string, message: string, hint?: string) => void;

/**
 * Combinations that rules may have in all, of Istio's from and to and of SMI's rules and matches: a short text can have very
 * many. What one port may have at most is bounded by what evaluates them.
 */
export const COMBINATIONS_IN_ALL_MAX = 200_000;

export function crossCheck(resources: ResourceSet): Diagnostic[] {
  const diagnostics: Diagnostic[] = [];
  const report: Report = (severity, { origin }, field, message, hint = "") =>
    diagnostics.push({ severity, file: origin.file, line: origin.line, column: 1, field, message, hint });
  duplicates(resources, report);
  overlappingServers(resources, report);
  linkerdReferences(resources, report);
  smiReferences(resources, report);
  peerAuthentications(resources, report);
  combinations(resources, report);
  return diagnostics;
}

const placeOf = ({ origin }: Resource): string => `${origin.file}:${origin.line}`;

/** The first of each key is kept; `found` is called with every other. */
function eachAgain<T>(items: readonly T[], keyOf: (item: T) => string, found: (item: T, first: T) => void): void {
  const first = new Map<string, T>();
  for (const item of items) {
    const key = keyOf(item);
    const other = first.get(key);
    if (other === undefined) first.set(key, item);
    else found(item, other);
  }
}

const nameKey = ({ type, origin }: Resource): string => `${type} ${origin.namespace} ${origin.name}`;

function duplicates({ all }: ResourceSet, report: Report): void {
  eachAgain(all, nameKey, (again, first) => {
    const { namespace, name } = again.origin;
    const kind = again.type.slice(again.type.indexOf("/") + 1);
    const message = `${kind} "${name}" of the namespace "${namespace}" is already written at ${placeOf(first)}`;
    report("error", again, "", message, "leave one of them out, or name it otherwise");
  });
}

function selectorKey({ matchLabels, matchExpressions }: LabelSelector): string {
  const labels = Object.entries(matchLabels).sort(([a], [b]) => (a < b ? -1 : 1));
  const expressions = matchExpressions.map(({ key, operator, values }) => [key, operator, [...values].sort()]);
  return JSON.stringify([labels, expressions.map((one) => JSON.stringify(one)).sort()]);
}

const serverKey = ({ origin, spec }: ResourceOf<"policy.linkerd.io/Server">): string =>
  `${origin.namespace} ${typeof spec.port} ${spec.port} ${selectorKey(spec.podSelector)}`;

/** As Linkerd's admission does: two Servers of the same port and the same selector. */
function overlappingServers(resources: ResourceSet, report: Report): void {
  eachAgain(resources.of("policy.linkerd.io/Server"), serverKey, (again, first) => {
    const message = `the Server "${first.origin.name}" at ${placeOf(first)} has the same podSelector and port`;
    report("error", again, "spec.podSelector", message, "a port of a workload has one Server");
  });
}

/** Names by kind and namespace. */
function namesOf(resources: ResourceSet, type: ResourceType): (namespace: string) => readonly string[] {
  const byNamespace = new Map<string, string[]>();
  for (const { origin } of resources.of(type)) {
    const known = byNamespace.get(origin.namespace);
    if (known === undefined) byNamespace.set(origin.namespace, [origin.name]);
    else known.push(origin.name);
  }
  return (namespace) => byNamespace.get(namespace) ?? [];
}

/** Whether it is there; if not, that is reported. */
function expectName(name: string, known: readonly string[], tell: (hint: string) => void): void {
  if (known.includes(name)) return;
  const near = closest(name, known);
  tell(near === undefined ? "" : `did you mean "${near}"?`);
}

function linkerdReferences(resources: ResourceSet, report: Report): void {
  const servers = namesOf(resources, "policy.linkerd.io/Server");
  const authentications: Readonly<Record<string, (namespace: string) => readonly string[]>> = {
    MeshTLSAuthentication: namesOf(resources, "policy.linkerd.io/MeshTLSAuthentication"),
    NetworkAuthentication: namesOf(resources, "policy.linkerd.io/NetworkAuthentication"),
  };
  const expectServer = (at: Resource, field: string, name: string): void => {
    const { namespace } = at.origin;
    expectName(name, servers(namespace), (hint) => {
      report("warning", at, field, `there is no Server "${name}" in the namespace "${namespace}"`, hint);
    });
  };
  for (const policy of resources.of("policy.linkerd.io/AuthorizationPolicy")) {
    const { namespace } = policy.origin;
    const { target, required } = policy.spec;
    if (target.kind === "Server") expectServer(policy, "spec.targetRef.name", target.name);
    else if (target.name !== namespace) {
      const message = `expected the document's own namespace "${namespace}"; found "${target.name}"`;
      report("error", policy, "spec.targetRef.name", message);
    }
    required.forEach(({ kind, name, namespace: at = namespace }, i) => {
      const known = authentications[kind]?.(at);
      if (known === undefined) return;
      expectName(name, known, (hint) => {
        const message = `there is no ${kind} "${name}" in the namespace "${at}", so the policy allows nobody`;
        report("warning", policy, `spec.requiredAuthenticationRefs[${i}].name`, message, hint);
      });
    });
  }
  for (const authorization of resources.of("policy.linkerd.io/ServerAuthorization")) {
    const { server } = authorization.spec;
    if ("name" in server) expectServer(authorization, "spec.server.name", server.name);
  }
  const limits = resources.of("policy.linkerd.io/HTTPLocalRateLimitPolicy");
  for (const limit of limits) expectServer(limit, "spec.targetRef.name", limit.spec.server);
  eachAgain(
    limits,
    ({ origin, spec }) => `${origin.namespace} ${spec.server}`,
    (again, first) => {
      const message = `the limit "${first.origin.name}" at ${placeOf(first)} is for the same Server and holds`;
      report("warning", again, "spec.targetRef.name", message, "a Server has one");
    },
  );
}

function smiReferences(resources: ResourceSet, report: Report): void {
  const routes = namesOf(resources, "specs.smi-spec.io/TCPRoute");
  const groupNames = namesOf(resources, "specs.smi-spec.io/HTTPRouteGroup");
  for (const target of resources.of("access.smi-spec.io/TrafficTarget")) {
    const { namespace } = target.origin;
    target.spec.rules.forEach(({ kind, name, matches }, i) => {
      const field = `spec.rules[${i}]`;
      expectName(name, (kind === "TCPRoute" ? routes : groupNames)(namespace), (hint) => {
        const message = `there is no ${kind} "${name}" in the namespace "${namespace}", so the rule allows nothing`;
        report("warning", target, `${field}.name`, message, hint);
      });
      const group = resources.find("specs.smi-spec.io/HTTPRouteGroup", namespace, name);
      if (kind === "TCPRoute" || group === undefined) return;
      const known = group.spec.matches.map((match) => match.name);
      for (const match of matches) {
        expectName(match, known, (hint) => {
          const message = `the HTTPRouteGroup "${name}" has no match "${match}", so it allows nothing`;
          report("warning", target, `${field}.matches`, message, hint);
        });
      }
    });
  }
}

const peerKey = ({ origin, spec }: ResourceOf<"security.istio.io/PeerAuthentication">): string =>
  `${origin.namespace} ${selectorKey({ matchLabels: spec.selector ?? {}, matchExpressions: [] })}`;

/** Istio takes the oldest; files have no age, so the first holds. */
function peerAuthentications(resources: ResourceSet, report: Report): void {
  const all = resources.of("security.istio.io/PeerAuthentication");
  for (const one of all) {
    if (one.origin.namespace !== DEFAULT_ROOT_NAMESPACE || one.spec.selector === undefined) continue;
    const message = `with a selector in the root namespace "${DEFAULT_ROOT_NAMESPACE}" it is about no workload`;
    report("warning", one, "spec.selector", message, "leave the selector out to mean the whole mesh");
  }
  eachAgain(all, peerKey, (again, first) => {
    const message = `"${first.origin.name}" at ${placeOf(first)} is about the same workloads, and the first one holds`;
    report("warning", again, "spec.selector", message, "write both into one document");
  });
}

function combinations(resources: ResourceSet, report: Report): void {
  let sum = 0;
  for (const resource of resources.all) {
    sum += combinationsOf(resource, resources);
    if (sum <= COMBINATIONS_IN_ALL_MAX) continue;
    const message = `with this document rules have more than ${COMBINATIONS_IN_ALL_MAX} combinations in all`;
    report("error", resource, "", message, "split its rules, so that they combine less");
    return;
  }
}

function combinationsOf(resource: Resource, resources: ResourceSet): number {
  if (resource.type === "security.istio.io/AuthorizationPolicy") {
    const counts = resource.spec.rules.map(({ rule: { from, to } }) => (from?.length ?? 1) * (to?.length ?? 1));
    return counts.reduce((a, b) => a + b, 0);
  }
  if (resource.type === "access.smi-spec.io/TrafficTarget") {
    const { namespace } = resource.origin;
    const groups = resource.spec.rules.map(({ name }) =>
      resources.find("specs.smi-spec.io/HTTPRouteGroup", namespace, name),
    );
    return groups.reduce((a, group) => a + (group?.spec.matches.length ?? 1), 0);
  }
  return 0;
}
