/** One endpoint of a backend: its load, its state, its connections, its metrics. */
import type { Clock, Timer } from "../net/clock.ts";
import type { Connection } from "../net/connection.ts";
import type { Endpoint } from "../model/endpoint.ts";
import type { PortProtocol } from "../model/service.ts";
import type { RequestHead } from "../protocol/exchange.ts";
import type { Loaded } from "./balance/p2c.ts";
import { PeakEwma } from "./balance/ewma.ts";
import type { EndpointMetrics, TcpMeter } from "./metrics.ts";
import type { ConnectionPool } from "./pool/connection-pool.ts";
import { type Translation, upgradeOverHttp1, upgradeOverHttp2 } from "./websocket.ts";

/** Milliseconds that a failed endpoint rests: doubled with each failure in a row, up to the maximum. Linkerd: 100 ms up. */
export const REST_MIN_MS = 100;
export const REST_MAX_MS = 10_000;

/** Opens a connection. Calls back exactly once unless given up. @returns a function that gives the attempt up */
export type Dial = (done: (error: Error | undefined, connection: Connection | undefined) => void) => () => void;

/** What an endpoint needs from its surroundings. */
export interface EndpointContext {
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly protocol: PortProtocol;
  readonly metrics: EndpointMetrics;
  /** Counts the connections made to it. */
  readonly meter: TcpMeter;
  /** For byte streams. */
  readonly dial: Dial;
  /** The endpoint's sidecar, if it has one, will know by TLS that we are one, or asks nobody for that. */
  readonly believed: boolean;
  readonly http1: ConnectionPool;
  readonly http2: ConnectionPool;
  /** Connections of which each is the far end of one CONNECT. */
  readonly tunnels: ConnectionPool;
  /** It may be chosen again, or may not any more. */
  readonly onStateChange: (endpoint: BalancedEndpoint) => void;
  readonly onClose: () => void;
}

/**
 *   ready ──failed──▶ resting ──time──▶ ready (a request is the probe) ──succeeded──▶ failures forgotten
 */
export class BalancedEndpoint implements Loaded {
  readonly endpoint: Endpoint;
  /**
   * Its sidecar reads HTTP, and takes our word for how a request was; behind a port declared opaque it would pass on
   * whatever comes.
   */
  readonly unpacks: boolean;
  readonly metrics: EndpointMetrics;
  readonly meter: TcpMeter;
  /** Requests dispatched and not yet answered. */
  inFlight = 0;
  ready = true;
  /** It is no longer one of the service's endpoints. */
  closed = false;
  readonly #context: EndpointContext;
  readonly #ewma: PeakEwma;
  #failures = 0;
  #rest: Timer | undefined;

  constructor(endpoint: Endpoint, context: EndpointContext) {
    this.endpoint = endpoint;
    this.metrics = context.metrics;
    this.meter = context.meter;
    this.#context = context;
    this.unpacks = endpoint.meshed && context.believed && context.protocol !== "opaque";
    this.#ewma = new PeakEwma(context.clock.now());
  }

  /** Opens a connection for a byte stream. @returns as {@link Dial} */
  dial(done: Parameters<Dial>[0]): () => void {
    return this.#context.dial(done);
  }

  load(now: number): number {
    return this.#ewma.read(now) * (this.inFlight + 1);
  }

  /** Whether HTTP/1 goes to this endpoint packed into HTTP/2. */
  packs(head: RequestHead): boolean {
    return this.unpacks && head.version !== "2" && head.method !== "CONNECT";
  }

  poolFor(head: RequestHead): ConnectionPool {
    const { protocol, http1, http2, tunnels } = this.#context;
    if (this.unpacks) return http2;
    if (head.method === "CONNECT") return tunnels;
    if (protocol === "http") return http1;
    if (protocol === "http2" || protocol === "grpc") return http2;
    return head.version === "2" ? http2 : http1;
  }

  /** How a request for an upgrade that is not packed goes out; undefined: as it is. */
  translation(head: RequestHead): Translation | undefined {
    const { http1, http2, random } = this.#context;
    if (head.upgrade === "" || head.method === "CONNECT" || this.packs(head)) return undefined;
    const pool = this.poolFor(head);
    if (head.version === "2") return pool === http1 ? upgradeOverHttp1(head, random) : undefined;
    return pool === http2 ? upgradeOverHttp2(head) : undefined;
  }

  /** An answer has begun. */
  succeeded(now: number, rttMs: number): void {
    this.#failures = 0;
    this.#ewma.observe(now, rttMs);
  }

  /** It could not take a request on. */
  failed(): void {
    if (!this.ready || this.closed) return;
    const { clock, random, onStateChange } = this.#context;
    const restMs = Math.min(REST_MAX_MS, REST_MIN_MS * 2 ** this.#failures);
    this.#failures++;
    this.ready = false;
    // Up to half of it again by chance, so that many proxies do not probe in step.
    this.#rest = clock.after(restMs * (1 + random() / 2), () => {
      this.ready = true;
      onStateChange(this);
    });
    onStateChange(this);
  }

  /** It is no longer an endpoint: what is in flight finishes. */
  close(): void {
    this.closed = true;
    this.#rest?.cancel();
    this.#context.http1.close();
    this.#context.http2.close();
    this.#context.tunnels.close();
    this.#context.onClose();
  }

  /** Cuts everything. Only after {@link close}. */
  destroy(): void {
    this.#context.http1.destroy();
    this.#context.http2.destroy();
    this.#context.tunnels.destroy();
  }
}
