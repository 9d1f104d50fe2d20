/**
 * Linkerd's documents that allow the calls seen within the window, and no others: for each port of a service a Server that
 * refuses, and an AuthorizationPolicy for those who called it. Callers that had proved who they are by their service
 * account, the others by their address.
 */
import { linkerdName, parseSpiffeId } from "../../model/identity.ts";
import type { SeriesName } from "../stat/series-reader.ts";
import { identityOf } from "../identity-of.ts";
import { destinationOf } from "../stat/edges.ts";
import type { SeriesTable } from "../stat/series-table.ts";
import type { Registration } from "../sources/registration.ts";
import { policyTarget } from "../policies.ts";
import type { World } from "./resolve.ts";

export interface GenerateQuery {
  readonly windowMs: number;
  /** Of the services called; undefined: all. */
  readonly namespace: string | undefined;
}

export interface Generated {
  /** In the order in which they are to be written. */
  readonly documents: readonly object[];
  /** What whoever uses them should know. */
  readonly notes: readonly string[];
}

const GROUP = "policy.linkerd.io";
const ALLOWED: readonly SeriesName[] = ["inbound_http_authz_allow_total", "inbound_tcp_authz_allow_total"];
const DENIED: readonly SeriesName[] = ["inbound_http_authz_deny_total", "inbound_tcp_authz_deny_total"];
const CALLS: readonly SeriesName[] = ["request_total", "tcp_open_total", "tcp_open_connections"];

/** Who called one port. */
interface Callers {
  /** "namespace/serviceAccount" */
  readonly accounts: Set<string>;
  readonly addresses: Set<string>;
}

export function generate(query: GenerateQuery, world: World, table: SeriesTable, now: number): Generated {
  const notes: string[] = [];
  const callers = callersSeen(query, world, table, now, notes);
  const documents: object[] = [];
  for (const { name: service, namespace, ports } of world.mesh.services) {
    if ((query.namespace ?? namespace) !== namespace) continue;
    for (const { port } of ports) {
      const serving = world.registrations.filter(
        (one) =>
          one.namespace === namespace &&
          one.ports.some((known) => known.service === service && known.port === port && known.meshed),
      );
      if (serving.length === 0) continue;
      const labels = selectorFor(serving, port, world, notes, `${service}.${namespace}:${port}`);
      if (labels === undefined) continue;
      const seen = callers.get(`${service}.${namespace}:${port}`);
      documents.push(...documentsFor({ service, namespace, port, labels }, seen));
      if (seen === undefined) notes.push(`nobody called ${service}.${namespace}:${port}: nobody may`);
    }
  }
  if (documents.length > 0) {
    notes.push("callers without a sidecar are not seen, and are refused");
  }
  return { documents, notes };
}

function callersSeen(
  { windowMs }: GenerateQuery,
  world: World,
  table: SeriesTable,
  now: number,
  notes: string[],
): Map<string, Callers> {
  const byPort = new Map<string, Callers>();
  const refused = refusedCallers(world, table, windowMs, now);
  const unidentified = new Set<string>();
  const unregistered = new Set<string>();
  for (const family of CALLS) {
    for (const { source, labels, value } of table.rows(family, windowMs, now)) {
      const authority = labels["authority"] ?? "";
      if (value <= 0 || destinationOf(authority) === undefined) continue;
      const caller = world.registrations.find(({ name, namespace }) => {
        return name === source.workload && namespace === source.namespace;
      });
      const subject = { namespace: source.namespace, name: source.workload };
      const proved = labels["tls"] === "true" ? identityOf(subject, caller?.serviceAccount ?? "", world) : "";
      const known = parseSpiffeId(proved);
      if (refused.has(`${authority} ${known === undefined ? "" : linkerdName(known)}`)) continue;
      let callers = byPort.get(authority);
      if (callers === undefined) byPort.set(authority, (callers = { accounts: new Set(), addresses: new Set() }));
      if (known !== undefined) {
        callers.accounts.add(`${known.namespace}/${known.serviceAccount}`);
        continue;
      }
      const name = `${source.workload}.${source.namespace}`;
      const address = addressOf(caller);
      if (address === "") {
        unregistered.add(name);
        continue;
      }
      callers.addresses.add(address);
      unidentified.add(name);
    }
  }
  if (unregistered.size > 0) {
    const who = [...unregistered].sort().join(", ");
    notes.push(`nothing allows these callers, which are not registered with the control plane: ${who}`);
  }
  if (unidentified.size > 0) {
    const who = [...unidentified].sort().join(", ");
    notes.push(`without TLS of the mesh called: ${who}. They are allowed by address, which others may share`);
  }
  return byPort;
}

/** "price.shop:80 identity" of those of whom the policy of today has let nothing pass: they are not given more. */
function refusedCallers(world: World, table: SeriesTable, windowMs: number, now: number): Set<string> {
  const allowed = new Set<string>();
  const denied = new Set<string>();
  for (const [families, into] of [
    [ALLOWED, allowed],
    [DENIED, denied],
  ] as const) {
    for (const family of families) {
      for (const { source, labels, value } of table.rows(family, windowMs, now)) {
        const served = world.registrations.find(
          ({ name, namespace }) => name === source.workload && namespace === source.namespace,
        );
        const port = served?.ports.find((one) => String(one.port) === labels["srv_port"]);
        if (value <= 0 || port === undefined) continue;
        into.add(`${port.service}.${source.namespace}:${port.port} ${labels["client_id"] ?? ""}`);
      }
    }
  }
  return new Set([...denied].filter((one) => !allowed.has(one)));
}

interface PortPlace {
  readonly service: string;
  readonly namespace: string;
  readonly port: number;
  readonly labels: Readonly<Record<string, string>>;
}

function documentsFor({ service, namespace, port, labels }: PortPlace, callers: Callers | undefined): object[] {
  const name = `${service}-${port}`;
  const documents: object[] = [
    {
      apiVersion: `${GROUP}/v1beta3`,
      kind: "Server",
      metadata: { name, namespace },
      spec: { podSelector: { matchLabels: labels }, port, accessPolicy: "deny" },
    },
  ];
  if (callers === undefined) return documents;
  const allow = (kind: string, ref: string): object => ({
    apiVersion: `${GROUP}/v1alpha1`,
    kind: "AuthorizationPolicy",
    metadata: { name: ref, namespace },
    spec: {
      targetRef: { group: GROUP, kind: "Server", name },
      requiredAuthenticationRefs: [{ group: GROUP, kind, name: ref }],
    },
  });
  if (callers.accounts.size > 0) {
    const identityRefs = [...callers.accounts].sort().map((account) => {
      const [within, serviceAccount] = account.split("/");
      return { kind: "ServiceAccount", name: serviceAccount, namespace: within };
    });
    const ref = `${name}-callers`;
    documents.push(
      {
        apiVersion: `${GROUP}/v1alpha1`,
        kind: "MeshTLSAuthentication",
        metadata: { name: ref, namespace },
        spec: { identityRefs },
      },
      allow("MeshTLSAuthentication", ref),
    );
  }
  if (callers.addresses.size > 0) {
    const networks = [...callers.addresses].sort().map((address) => ({
      cidr: `${address}/${address.includes(":") ? 128 : 32}`,
    }));
    const ref = `${name}-networks`;
    documents.push(
      {
        apiVersion: `${GROUP}/v1alpha1`,
        kind: "NetworkAuthentication",
        metadata: { name: ref, namespace },
        spec: { networks },
      },
      allow("NetworkAuthentication", ref),
    );
  }
  return documents;
}

/**
 * Labels that all who serve a port have and no other workload with the same port has: `app` where that is enough.
 * undefined, with a note, where there are none.
 */
function selectorFor(
  serving: readonly Registration[],
  port: number,
  { registrations }: World,
  notes: string[],
  place: string,
): Readonly<Record<string, string>> | undefined {
  const [first] = serving as [Registration];
  const common = Object.entries(labelsOf(first)).filter(([name, value]) =>
    serving.every((one) => labelsOf(one)[name] === value),
  );
  const others = registrations.filter(
    (one) =>
      one.namespace === first.namespace && !serving.includes(one) && one.ports.some((known) => known.port === port),
  );
  const app = common.filter(([name]) => name === "app");
  for (const candidate of [app, common]) {
    if (candidate.length === 0) continue;
    if (!others.some((other) => candidate.every(([name, value]) => labelsOf(other)[name] === value))) {
      return Object.fromEntries(candidate);
    }
  }
  notes.push(`${place} is left out: no labels tell its workloads from those of other services with the same port`);
  return undefined;
}

function addressOf(caller: Registration | undefined): string {
  return caller?.ports[0]?.address ?? /^\[?(.*?)\]?:\d+$/.exec(caller?.outbound || caller?.admin || "")?.[1] ?? "";
}

function labelsOf(workload: Registration): Readonly<Record<string, string>> {
  return policyTarget(workload).labels;
}
