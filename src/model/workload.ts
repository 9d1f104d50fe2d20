/** One running instance of something that has a sidecar. */
import type { EndpointHealth, Locality } from "./endpoint.ts";
import type { PortProtocol } from "./service.ts";

/** One port that a workload serves, as it registers it. */
export interface WorkloadPort {
  /** The service that it serves. */
  readonly service: string;
  /** The name and the number of the service's port. */
  readonly name: string;
  readonly port: number;
  readonly protocol: PortProtocol;
  /** Where the mesh reaches it: its sidecar's inbound listener, or the application itself if not meshed. */
  readonly address: string;
  readonly addressPort: number;
  readonly meshed: boolean;
  /** Where the application itself listens, if people know it by another port than that of the service. */
  readonly appPort?: number | undefined;
  /** Virtual addresses of the service that callers may know it by, IP literals. */
  readonly serviceAddresses?: readonly string[] | undefined;
}

export interface Workload {
  /** Unique within the namespace: "price-1". */
  readonly name: string;
  readonly namespace: string;
  /** Whom its sidecar proves to be, within the namespace; "" for a workload without an identity. */
  readonly serviceAccount: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly locality: Locality;
  readonly weight: number;
  readonly health: EndpointHealth;
  readonly ports: readonly WorkloadPort[];
}

/** A workload among all: "shop/price-1". */
export type WorkloadKey = string;

export function workloadKey(workload: { readonly name: string; readonly namespace: string }): WorkloadKey {
  return `${workload.namespace}/${workload.name}`;
}

/** Takes a {@link WorkloadKey} apart; undefined if it is none. */
export function parseWorkloadKey(key: WorkloadKey): { namespace: string; name: string } | undefined {
  const match = /^([a-z0-9-]{1,63})\/([a-z0-9-]{1,63})$/.exec(key);
  if (match === null) return undefined;
  const [, namespace = "", name = ""] = match;
  return { namespace, name };
}
