/** How the endpoints of one service port are used. */

export interface BackendPolicy {
  /** Milliseconds until a connection attempt is given up. Linkerd: 1,000 outbound. */
  readonly connectTimeoutMs: number;
  /** Requests and byte streams in flight to this backend from one proxy; beyond: 503, or RST. Linkerd: 100,000. */
  readonly maxInFlight: number;
  /** Requests that may wait while no endpoint is ready; beyond: 503. Linkerd: 100. */
  readonly queueCapacity: number;
  /** Milliseconds without a ready endpoint after which waiting requests fail with 504, and new ones at once. Linkerd: 3,000. */
  readonly failfastTimeoutMs: number;
}

export const defaultBackendPolicy: BackendPolicy = {
  connectTimeoutMs: 1_000,
  maxInFlight: 100_000,
  queueCapacity: 100,
  failfastTimeoutMs: 3_000,
};
