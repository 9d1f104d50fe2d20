/** One address that serves a port of a service. */

export type EndpointHealth = "healthy" | "unhealthy" | "draining";

/** Where an endpoint stands; "" where it is not known. */
export interface Locality {
  readonly region: string;
  readonly zone: string;
  readonly subZone: string;
}

export interface Endpoint {
  /** An IP address literal. */
  readonly address: string;
  /** 1 to 65535. */
  readonly port: number;
  /** Only an application beside its own sidecar: the Unix socket that it listens on; `address` is then "" and `port` 0. */
  readonly path?: string;
  /** The workload that it belongs to, for metrics and humans: "price-1". */
  readonly workload: string;
  readonly locality: Locality;
  /** Relative share of traffic, 1 to 4294967295; 1 is usual. */
  readonly weight: number;
  readonly health: EndpointHealth;
  readonly labels: Readonly<Record<string, string>>;
  /** A Heddle sidecar listens there, so any HTTP may be carried to it in HTTP/2. */
  readonly meshed: boolean;
  /** The SPIFFE id that it must prove, or "" for none. */
  readonly identity: string;
}

/** An endpoint's identity among the endpoints of one port. */
export function endpointKey(endpoint: { readonly address: string; readonly port: number }): string {
  return endpoint.address.includes(":")
    ? `[${endpoint.address}]:${endpoint.port}`
    : `${endpoint.address}:${endpoint.port}`;
}
