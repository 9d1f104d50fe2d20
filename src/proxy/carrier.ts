/** What carries the traffic of a sidecar, whether on one thread or on several. */
import type { LogLevel } from "../telemetry/log.ts";
import type { FamilySnapshot, StaleSeries } from "../telemetry/snapshot.ts";
import type { SocketAddress } from "./config.ts";

/** Where traffic enters. */
export interface TrafficAddresses {
  readonly outbound: SocketAddress | undefined;
  /** In the order of the configuration. */
  readonly upstreams: readonly SocketAddress[];
  readonly inbound: readonly SocketAddress[];
  /** What is redirected. */
  readonly captured?: { readonly inbound: SocketAddress; readonly outbound: SocketAddress } | undefined;
}

export interface Carrier {
  readonly addresses: TrafficAddresses;
  /** What it has counted. @throws Error if that cannot be told in whole */
  snapshot(): Promise<readonly FamilySnapshot[]>;
  /** Forgets series that an earlier snapshot has called stale. */
  drop(stale: readonly StaleSeries[]): void;
  /** Every thread of it knows who may call, and holds a certificate if there is one, or needs neither. */
  readonly informed: boolean;
  /** Every thread of it works. */
  isLive(): Promise<boolean>;
  /** Connections being served, as far as that can be told. */
  connections(): Promise<number>;
  setLogLevel(level: LogLevel): void;
  /** Accepts no more calls to the application; resolves when those that have begun are finished. */
  drainInbound(): Promise<void>;
  /** The same for what the application calls. Only after {@link drainInbound}. */
  drainOutbound(): Promise<void>;
  /** Cuts everything at once. Idempotent. */
  close(): void;
}
