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
}

export interface Workload {
  /** Unique within the namespace: "price-1". */
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly locality: Locality;
  readonly weight: number;
  readonly health: EndpointHealth;
  readonly ports: readonly WorkloadPort[];
}
