/** Which documents are about a service, and what they did within the window. */
import type { Condition, InboundPolicy, Origin, PolicyRule } from "../../model/inbound-policy.ts";
import { workloadKey } from "../../model/workload.ts";
import type { SeriesName } from "../stat/series-reader.ts";
import type { SeriesTable } from "../stat/series-table.ts";
import { resolveCalled, type World } from "./resolve.ts";

export interface AuthzQuery {
  readonly windowMs: number;
  /** A service or a workload; undefined: all services. */
  readonly of: string | undefined;
  /** undefined: all, if `of` is not given either. */
  readonly namespace: string | undefined;
}

export interface AuthzRow {
  readonly namespace: string;
  readonly service: string;
  readonly port: number;
  /** "linkerd", "istio", "smi", "consul"; "mesh" for what no document says. */
  readonly dialect: string;
  /** What it does: "allow", "deny", "audit", "external", "rate-limit", "jwt", "tls strict"…, the default policy's name. */
  readonly action: string;
  readonly document: Origin;
  /** Requests and byte streams that it let pass and refused within the window. */
  readonly allowed: number;
  readonly denied: number;
}

const ALLOWED: readonly SeriesName[] = ["inbound_http_authz_allow_total", "inbound_tcp_authz_allow_total"];
const DENIED: readonly SeriesName[] = ["inbound_http_authz_deny_total", "inbound_tcp_authz_deny_total"];

/** @throws ApiError if there is no such service */
export function authzRows(query: AuthzQuery, world: World, table: SeriesTable, now: number): AuthzRow[] {
  const counts = new Counts(table, query.windowMs, now);
  const rows = new Map<string, AuthzRow>();
  for (const { workload, service, port } of asked(query, world)) {
    const policy = world.mesh.inboundPolicies.get(workloadKey({ namespace: workload.namespace, name: workload.name }));
    if (policy === undefined) continue;
    for (const { dialect, action, document } of documentsOf(policy, port)) {
      const { namespace } = workload;
      const key = JSON.stringify([namespace, service, port, documentKey({ dialect, action, document })]);
      const known = rows.get(key);
      const { allowed, denied } = counts.of(workload.name, namespace, port, document);
      rows.set(key, {
        namespace,
        service,
        port,
        dialect,
        action,
        document,
        allowed: allowed + (known?.allowed ?? 0),
        denied: denied + (known?.denied ?? 0),
      });
    }
  }
  return [...rows.values()];
}

interface AskedPort {
  readonly workload: { readonly name: string; readonly namespace: string };
  readonly service: string;
  readonly port: number;
}

function asked({ of, namespace }: AuthzQuery, world: World): AskedPort[] {
  const everything = world.registrations
    .filter((workload) => (namespace ?? workload.namespace) === workload.namespace)
    .flatMap((workload) => workload.ports.map((port) => ({ workload, port })));
  const found = of === undefined ? everything : calledOn(of, namespace ?? "default", world);
  return found
    .filter(({ port }) => port.meshed)
    .map(({ workload, port }) => ({ workload, service: port.service, port: port.port }))
    .sort((a, b) => compare(place(a), place(b)) || a.port - b.port);
}

/** Every port, not only the first. */
function calledOn(of: string, namespace: string, world: World) {
  const first = resolveCalled(of, namespace, undefined, world);
  const workloads = new Set(first.map(({ workload }) => workload));
  const services = new Set(first.map(({ port }) => port.service));
  return [...workloads].flatMap((workload) =>
    workload.ports.filter(({ service }) => services.has(service)).map((port) => ({ workload, port })),
  );
}

type DocumentUse = Pick<AuthzRow, "dialect" | "action" | "document">;

function documentsOf(policy: InboundPolicy, port: number): DocumentUse[] {
  const about = ({ ports }: { readonly ports: readonly number[] }): boolean =>
    ports.length === 0 || ports.includes(port);
  const rows: DocumentUse[] = [];
  const layers = policy.layers.filter(about);
  const tls = policy.tlsByPort.find((one) => one.port === port) ?? policy.tls;
  if (tls.origin.kind !== "default") {
    rows.push({ dialect: "istio", action: `tls ${tls.mode}`, document: tls.origin });
  }
  for (const { dialect, rules, otherwise } of layers) {
    const last = rules.findIndex((rule) => decidesAll(rule, port));
    for (const { action, origin, dryRun } of last < 0 ? rules : rules.slice(0, last)) {
      rows.push({ dialect, action: dryRun === true ? `${action} (dry run)` : action, document: origin });
    }
    const { action, origin } = rules[last] ?? otherwise;
    rows.push({ dialect, action: `else ${action}`, document: origin });
  }
  for (const { origin } of policy.rateLimits.filter(about)) {
    rows.push({ dialect: "linkerd", action: "rate-limit", document: origin });
  }
  for (const { origin } of policy.jwt) rows.push({ dialect: "istio", action: "jwt", document: origin });
  if (layers.length === 0) {
    const document: Origin = { kind: "default", namespace: "", name: policy.defaultPolicy, file: "", line: 0 };
    rows.push({ dialect: "mesh", action: policy.defaultPolicy, document });
  }
  // A document with several rules is one row, at the line of the first.
  return [...new Map(rows.toReversed().map((row) => [documentKey(row), row])).values()].toReversed();
}

/** Whether every call by this port comes to an end here: nothing behind this rule is about the port. */
function decidesAll({ action, clauses, dryRun }: PolicyRule, port: number): boolean {
  if ((action !== "allow" && action !== "deny") || dryRun === true) return false;
  return clauses.some((clause) => clause.length > 0 && clause.every((one) => isOfPort(one, port)));
}

function isOfPort(condition: Condition, port: number): boolean {
  return condition.on === "port" && condition.any.includes(port) !== condition.not;
}

function documentKey({ dialect, action, document }: DocumentUse): string {
  return JSON.stringify([dialect, action, document.kind, document.namespace, document.name]);
}

/** What sidecars count by Linkerd's labels, which have the kind and the name of a document. */
class Counts {
  readonly #byDocument = new Map<string, { allowed: number; denied: number }>();

  constructor(table: SeriesTable, windowMs: number, now: number) {
    for (const [families, field] of [
      [ALLOWED, "allowed"],
      [DENIED, "denied"],
    ] as const) {
      for (const family of families) {
        for (const { source, labels, value } of table.rows(family, windowMs, now)) {
          const { srv_port: port = "", authz_kind: kind = "", authz_name: name = "" } = labels;
          const key = [source.workload, source.namespace, port, kind, name].join("\0");
          const count = this.#byDocument.get(key) ?? { allowed: 0, denied: 0 };
          count[field] += value;
          this.#byDocument.set(key, count);
        }
      }
    }
  }

  of(workload: string, namespace: string, port: number, { kind, name }: Origin): { allowed: number; denied: number } {
    const last = kind.slice(kind.lastIndexOf("/") + 1).toLowerCase();
    const key = [workload, namespace, String(port), last, name].join("\0");
    return this.#byDocument.get(key) ?? { allowed: 0, denied: 0 };
  }
}

function place({ workload: { namespace }, service }: AskedPort): string {
  return `${namespace}/${service}`;
}

/** By code units. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
