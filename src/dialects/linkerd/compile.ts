/**
 * Linkerd's documents for one workload: a layer for each Server that is about it. Authorizations are additive: one that
 * allows is enough, and where none does the Server's accessPolicy decides. Ports without a Server are left to the
 * default policy, also if an AuthorizationPolicy targets the namespace.
 */
import { linkerdName, spiffeId } from "../../model/identity.ts";
import type {
  Clause,
  Condition,
  Network,
  PolicyLayer,
  PolicyRule,
  RateLimit,
  TextPattern,
} from "../../model/inbound-policy.ts";
import { decisionOf } from "../default-decision.ts";
import { selects } from "../kubernetes.ts";
import type { ResourceOf } from "../resource.ts";
import type { ResourceSet } from "../resource-index.ts";
import { type PolicySettings, type PolicyTarget, portsEnforced, portsMeant } from "../target.ts";
import type { Reference } from "./references.ts";
import type { ServerClients } from "./server-authorization.ts";

type Server = ResourceOf<"policy.linkerd.io/Server">;
/** Who, in any of these ways; no clause at all: nobody. */
type Clients = readonly Clause[];

const EVERYBODY: Clients = [[]];
const AUTHENTICATED: Clients = [[{ on: "authenticated", value: true }]];
const NOBODY: Clients = [];

export function linkerdPolicy(
  resources: ResourceSet,
  target: PolicyTarget,
  settings: PolicySettings,
): { readonly layers: readonly PolicyLayer[]; readonly rateLimits: readonly RateLimit[] } {
  const layers: PolicyLayer[] = [];
  const rateLimits: RateLimit[] = [];
  const taken = new Set<number>();
  for (const server of resources.of("policy.linkerd.io/Server")) {
    // Of several Servers of one port Linkerd takes the oldest; here it is the first.
    if (!isAbout(server, target)) continue;
    const ports = portsEnforced(target, server.spec.port).filter((port) => !taken.has(port));
    if (ports.length === 0) continue;
    for (const port of ports) taken.add(port);
    const rest = decisionOf(server.spec.accessPolicy, settings.clusterNetworks, server.origin);
    layers.push({
      dialect: "linkerd",
      ports,
      rules: [...authorizations(resources, server, settings), ...rest.rules],
      otherwise: rest.otherwise,
    });
    rateLimits.push(...rateLimitOf(resources, server, ports, settings));
  }
  return { layers, rateLimits };
}

/** The service ports of a workload that a Server is about. */
export function portsOf(server: Server, target: PolicyTarget): readonly number[] {
  return isAbout(server, target) ? portsMeant(target, server.spec.port) : [];
}

function isAbout({ origin, spec }: Server, target: PolicyTarget): boolean {
  return origin.namespace === target.namespace && selects(spec.podSelector, target.labels);
}

function authorizations(resources: ResourceSet, server: Server, settings: PolicySettings): PolicyRule[] {
  const { namespace, name } = server.origin;
  const rules: PolicyRule[] = [];
  for (const { origin, spec } of resources.of("policy.linkerd.io/ServerAuthorization")) {
    if (origin.namespace !== namespace) continue;
    const named = "name" in spec.server ? spec.server.name === name : selects(spec.server.selector, server.labels);
    if (!named) continue;
    const { clients: who, networks } = spec;
    const clients =
      who === "all" ? EVERYBODY : who === "authenticated" ? AUTHENTICATED : clientsOf(who, namespace, settings);
    rules.push({ action: "allow", origin, clauses: within(clients, networks) });
  }
  for (const { origin, spec } of resources.of("policy.linkerd.io/AuthorizationPolicy")) {
    if (origin.namespace !== namespace) continue;
    if (spec.target.kind === "Server" && spec.target.name !== name) continue;
    rules.push({ action: "allow", origin, clauses: requirements(resources, spec.required, namespace, settings) });
  }
  return rules;
}

/** What an AuthorizationPolicy requires; nobody, if it names a document that is not there. */
function requirements(
  resources: ResourceSet,
  references: readonly Reference[],
  namespace: string,
  settings: PolicySettings,
): Clients {
  let clients = EVERYBODY;
  let networks: readonly Network[] = [];
  for (const reference of references) {
    const { kind, name } = reference;
    const at = reference.namespace ?? namespace;
    if (kind === "ServiceAccount") clients = [[serviceAccounts([{ name, namespace: at }], settings)]];
    else if (kind === "MeshTLSAuthentication") {
      const found = resources.find("policy.linkerd.io/MeshTLSAuthentication", at, name);
      if (found === undefined) return NOBODY;
      clients = meshClients(found, settings);
    } else {
      const found = resources.find("policy.linkerd.io/NetworkAuthentication", at, name);
      if (found === undefined) return NOBODY;
      networks = found.spec.networks;
    }
  }
  return within(clients, networks);
}

function meshClients(
  { origin, spec }: ResourceOf<"policy.linkerd.io/MeshTLSAuthentication">,
  settings: PolicySettings,
): Clients {
  const accounts = spec.identityRefs
    .filter(({ kind }) => kind === "ServiceAccount")
    .map(({ name, namespace = origin.namespace }) => ({ name, namespace }));
  const namespaces = spec.identityRefs.filter(({ kind }) => kind === "Namespace").map(({ name }) => name);
  const whole = namespaces.map((namespace): TextPattern => {
    const { trustDomain } = settings;
    return { kind: "suffix", value: linkerdName({ trustDomain, namespace, serviceAccount: "" }) };
  });
  const clients = clientsOf({ identities: spec.identities, serviceAccounts: accounts }, origin.namespace, settings);
  if (whole.length === 0) return clients;
  return [...clients, [{ on: "identity", form: "linkerd", any: whole, not: false }]];
}

function clientsOf(
  { identities, serviceAccounts: accounts }: ServerClients,
  namespace: string,
  settings: PolicySettings,
): Clients {
  if (identities.includes("*")) return AUTHENTICATED;
  const clauses: Clause[] = [];
  const names = identities.filter((name) => !name.startsWith("spiffe:")).map(pattern);
  const ids = identities.filter((name) => name.startsWith("spiffe:")).map(pattern);
  if (names.length > 0) clauses.push([{ on: "identity", form: "linkerd", any: names, not: false }]);
  if (ids.length > 0) clauses.push([{ on: "identity", form: "spiffe", any: ids, not: false }]);
  if (accounts.length > 0) {
    const full = accounts.map((account) => ({ name: account.name, namespace: account.namespace ?? namespace }));
    clauses.push([serviceAccounts(full, settings)]);
  }
  return clauses;
}

/** "*.shop.serviceaccount…" is every name with more labels before the rest. */
function pattern(name: string): TextPattern {
  return name.startsWith("*.") ? { kind: "suffix", value: name.slice(1) } : { kind: "exact", value: name };
}

function serviceAccounts(
  accounts: readonly { readonly name: string; readonly namespace: string }[],
  { trustDomain }: PolicySettings,
): Condition {
  const any = accounts.map(({ name, namespace }): TextPattern => {
    return { kind: "exact", value: spiffeId({ trustDomain, namespace, serviceAccount: name }) };
  });
  return { on: "identity", form: "spiffe", any, not: false };
}

/** Without a network: from anywhere. */
function within(clients: Clients, networks: readonly Network[]): Clients {
  if (networks.length === 0) return clients;
  return clients.map((clause) => [...clause, { on: "source", any: networks, not: false }]);
}

/** Of several of one Server the first holds. */
function rateLimitOf(
  resources: ResourceSet,
  server: Server,
  ports: readonly number[],
  settings: PolicySettings,
): RateLimit[] {
  const { namespace, name } = server.origin;
  const found = resources
    .of("policy.linkerd.io/HTTPLocalRateLimitPolicy")
    .find(({ origin, spec }) => origin.namespace === namespace && spec.server === name);
  if (found === undefined) return [];
  const { origin, spec } = found;
  const overrides = spec.overrides.map(({ requestsPerSecond, clients }) => ({
    requestsPerSecond,
    identities: clients.map((client): TextPattern => {
      const account = { namespace: client.namespace ?? namespace, serviceAccount: client.name };
      return { kind: "exact", value: spiffeId({ trustDomain: settings.trustDomain, ...account }) };
    }),
  }));
  return [{ origin, ports, total: spec.total, identity: spec.identity, overrides }];
}
