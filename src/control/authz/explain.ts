/** Whether a call would pass, by which document, and what would change it: the same engine that the sidecars obey. */
import { isDeepStrictEqual } from "node:util";

import { linkerdName } from "../../model/identity.ts";
import type { Origin } from "../../model/inbound-policy.ts";
import { workloadKey } from "../../model/workload.ts";
import { type Call, type CallRequest, compilePolicy, decide, type Decision } from "../../policy/policy.ts";
import { ApiError } from "../api-error.ts";
import { type Called, resolveCaller, resolveCalled, type World } from "./resolve.ts";
import { whatWouldChange } from "./would-change.ts";

export interface ExplainRequest {
  readonly from: string;
  readonly to: string;
  /** Of names that say none. */
  readonly namespace: string;
  /** undefined: the first one. */
  readonly port: number | undefined;
  readonly method: string | undefined;
  readonly path: string | undefined;
  readonly host: string | undefined;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Of a token that is taken for valid. */
  readonly claims: Readonly<Record<string, unknown>> | undefined;
  /** The caller has no sidecar, or does not use it. */
  readonly plaintext: boolean;
  /** Where it calls from; undefined: where it is registered. */
  readonly address: string | undefined;
  /** A connection whose bytes nobody looks at, as on opaque ports. */
  readonly tcp: boolean;
}

export interface Verdict {
  /** Workloads for which it is the same. */
  readonly workloads: readonly string[];
  readonly allowed: boolean;
  readonly reason: string;
  /** What decided. */
  readonly by: Origin;
  /** What marks the call for the log without deciding. */
  readonly audited: readonly Origin[];
  /** External authorizers that would still be asked. */
  readonly asks: readonly string[];
  readonly suggestions: readonly string[];
}

export interface Explanation {
  readonly allowed: boolean;
  readonly call: {
    readonly from: string;
    readonly identity: string;
    readonly address: string;
    readonly to: string;
    readonly port: number;
    readonly protocol: string;
    /** null: bytes that nobody looks at. */
    readonly request: { readonly method: string; readonly path: string; readonly host: string } | null;
  };
  readonly verdicts: readonly Verdict[];
  readonly notes: readonly string[];
}

/** @throws ApiError if somebody is not known */
export function explain(request: ExplainRequest, world: World): Explanation {
  const caller = resolveCaller(request.from, request.namespace, world);
  const called = resolveCalled(request.to, request.namespace, request.port, world);
  const [first] = called as [Called];
  const identity = request.plaintext ? "" : caller.identity;
  const address = request.address ?? caller.address;
  const asked = requestOf(request, first);
  const verdicts: Verdict[] = [];
  const notes: string[] = [];
  for (const { workload, port } of called.toSorted(byName)) {
    if (!port.meshed) {
      notes.push(`${workload.name} has no sidecar on port ${port.port}: nothing is enforced there`);
      continue;
    }
    const policy = world.mesh.inboundPolicies.get(workloadKey(workload));
    if (policy === undefined) {
      const hint = "`GET /api/v1/sources` says what is wrong with the documents";
      throw new ApiError("not-found", `there is no policy for ${workload.name} yet, so nobody may call it`, hint);
    }
    const call: Call = {
      peer: { identity, address },
      port: port.port,
      localAddress: port.address,
      sni: identity === "" ? "" : serverName(workload, world.trustDomain),
      request: asked,
      jwt: request.claims,
    };
    const decision = decide(compilePolicy(policy, port.port), call);
    add(verdicts, workload.name, decision, whatWouldChange(policy, call, decision));
  }
  if (request.claims !== undefined) notes.push("the token is taken for valid: its signature is not looked at here");
  if (identity === "" && caller.identity !== "") notes.push("the caller is taken for one without a sidecar");
  const { service, port, protocol } = first.port;
  return {
    allowed: verdicts.every(({ allowed }) => allowed),
    call: {
      from: caller.name,
      identity,
      address,
      to: `${service}.${first.workload.namespace}`,
      port,
      protocol,
      request: asked === undefined ? null : { method: asked.method, path: asked.path, host: asked.host },
    },
    verdicts,
    notes,
  };
}

/** Bytes on ports that are opaque, unless something is said that only requests have. */
function requestOf(
  { method, path, host, headers, claims, tcp }: ExplainRequest,
  { workload, port }: Called,
): CallRequest | undefined {
  if (tcp) return undefined;
  const said = method ?? path ?? host ?? claims;
  if (port.protocol === "opaque" && said === undefined && headers.length === 0) return undefined;
  return {
    method: method ?? (port.protocol === "grpc" ? "POST" : "GET"),
    path: path ?? "/",
    host: host ?? `${port.service}.${workload.namespace}${port.port === 80 ? "" : `:${port.port}`}`,
    headers: headers.flat(),
  };
}

function byName({ workload: a }: Called, { workload: b }: Called): number {
  return a.name < b.name ? -1 : 1;
}

function serverName(
  { namespace, serviceAccount }: { readonly namespace: string; readonly serviceAccount: string },
  trustDomain: string,
): string {
  return serviceAccount === "" ? "" : linkerdName({ trustDomain, namespace, serviceAccount });
}

function add(verdicts: Verdict[], workload: string, decision: Decision, suggestions: readonly string[]): void {
  const { allowed, reason, origin, audited, external = [] } = decision;
  const verdict = { allowed, reason, by: origin, audited, asks: external, suggestions };
  const index = verdicts.findIndex((other) => isDeepStrictEqual(other, { workloads: other.workloads, ...verdict }));
  const same = verdicts[index];
  if (same === undefined) verdicts.push({ workloads: [workload], ...verdict });
  else verdicts[index] = { ...same, workloads: [...same.workloads, workload] };
}
