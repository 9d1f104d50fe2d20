/** What all parts of one sidecar share, and how a backend is put together from it. */
import type { BackendPolicy } from "../model/backend-policy.ts";
import { type Endpoint, endpointKey } from "../model/endpoint.ts";
import type { PortProtocol } from "../model/service.ts";
import type { Clock } from "../net/clock.ts";
import { connect } from "../net/connection.ts";
import { defaultHttp1Options } from "../protocol/http1/options.ts";
import { Http1ClientConnection } from "../protocol/http1/client.ts";
import { Http2ClientConnection } from "../protocol/http2/client.ts";
import { defaultHttp2ClientOptions, defaultHttp2Options } from "../protocol/http2/options.ts";
import { defaultHttpLimits, type HttpLimits } from "../protocol/limits.ts";
import { TunnelClientConnection } from "../protocol/tunnel-client.ts";
import type { Logger } from "../telemetry/log.ts";
import type { Labels } from "../telemetry/metrics.ts";
import { Backend } from "./backend.ts";
import type { ProxyConfig } from "./config.ts";
import { BalancedEndpoint, type Dial } from "./endpoint.ts";
import type { Direction, ProxyMetrics, TcpMeter } from "./metrics.ts";
import { openPolicySource, type PolicySource } from "./policy-source.ts";
import { ConnectionPool, HTTP1_CONNECTIONS_MAX, HTTP2_CONNECTIONS_MAX } from "./pool/connection-pool.ts";
import { serverLabels } from "./tls/labels.ts";
import type { MeshTls } from "./tls/mesh-tls.ts";

/** Milliseconds that an unused HTTP/1 connection is kept. Linkerd: 3 s, below the 5 s after which Node's servers hang up. */
const HTTP1_IDLE_MS = 3_000;

/** Milliseconds that an unused HTTP/2 connection is kept: it costs little and saves every first request a round trip. */
const HTTP2_IDLE_MS = 300_000;

/** What a packed head has more of: five pseudo-header fields, and up to four for what HTTP/2 has no place for. */
const PACKED_FIELDS = 9;

/**
 * Bounds of an HTTP/2 head that may be an HTTP/1 head packed: that has all names twice, 32 octets more per field by
 * HTTP/2's count, and a few fields more. What one sidecar has let pass must not fail at the next.
 */
export const PACKED_LIMITS: HttpLimits = {
  ...defaultHttpLimits,
  headBytes: 2 * defaultHttpLimits.headBytes + 32 * (defaultHttpLimits.headerCount + PACKED_FIELDS),
  headerCount: defaultHttpLimits.headerCount + PACKED_FIELDS,
};

export interface BackendOptions {
  /** For humans: "price.default:80", "the application at 127.0.0.1:8080". */
  readonly name: string;
  readonly direction: Direction;
  readonly policy: BackendPolicy;
  readonly protocol: PortProtocol;
  /** There is one endpoint and never another. */
  readonly single: boolean;
  /** The metric labels of an endpoint, beside `direction` and the target's address. */
  readonly labels: (endpoint: Endpoint) => Labels;
}

/** What a sidecar with an identity has beside its configuration. */
export interface MeshSecurity {
  readonly tls: MeshTls;
}

export class ProxyContext {
  readonly config: ProxyConfig;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly metrics: ProxyMetrics;
  readonly logger: Logger;
  /** Who may call. */
  readonly policy: PolicySource;
  /** undefined: it has no identity, and speaks to everybody in plain. */
  readonly security: MeshSecurity | undefined;

  constructor(
    config: ProxyConfig,
    clock: Clock,
    random: () => number,
    metrics: ProxyMetrics,
    logger: Logger,
    policy: PolicySource = openPolicySource,
    security?: MeshSecurity,
  ) {
    this.config = config;
    this.clock = clock;
    this.random = random;
    this.metrics = metrics;
    this.logger = logger;
    this.policy = policy;
    this.security = security;
  }

  /** "price-1.default", as error answers name this sidecar. */
  get workload(): string {
    return `${this.config.workload}.${this.config.namespace}`;
  }

  backend(options: BackendOptions): Backend {
    const { metrics, clock, random } = this;
    const backend: Backend = new Backend(options.policy, {
      name: options.name,
      clock,
      random,
      single: options.single,
      onRepeat: () => metrics.retries.inc(),
      endpoint: (endpoint, onStateChange) => {
        const labels = {
          ...targetLabels(options.direction, endpoint),
          ...serverLabels(this.security !== undefined, options.direction, endpoint.identity),
          ...options.labels(endpoint),
        };
        const lease = metrics.registry.lease();
        const meter = metrics.tcp({ ...labels, peer: "dst" }, lease);
        const dial = this.#dialer(endpoint, backend, meter);
        return new BalancedEndpoint(endpoint, {
          clock,
          random,
          protocol: options.protocol,
          metrics: metrics.endpoint(labels, lease),
          meter,
          onStateChange,
          dial: (done) => dial(false, done),
          believed: endpoint.identity === "" || this.security !== undefined,
          http1: this.#pool("http1", endpoint, (done) => dial(false, done)),
          http2: this.#pool("http2", endpoint, (done) => dial(true, done)),
          tunnels: this.#tunnels((done) => dial(false, done)),
          onClose: () => metrics.forget(meter, lease),
        });
      },
    });
    return backend;
  }

  #pool(version: "http1" | "http2", endpoint: Endpoint, dial: Dial): ConnectionPool {
    const { clock } = this;
    // Sidecars only: gRPC servers hang up on whoever sends PINGs more often than they like (grpc-go: every 5 minutes), and
    // take an idle stream with them.
    const http2 = endpoint.meshed ? defaultHttp2ClientOptions : defaultHttp2Options;
    return new ConnectionPool({
      connectionsMax: version === "http1" ? HTTP1_CONNECTIONS_MAX : HTTP2_CONNECTIONS_MAX,
      multiplexed: version === "http2",
      idleTimeoutMs: version === "http1" ? HTTP1_IDLE_MS : HTTP2_IDLE_MS,
      clock,
      connect: dial,
      codec: (connection, owner) =>
        version === "http1"
          ? new Http1ClientConnection(connection, owner, { ...defaultHttp1Options, clock })
          : new Http2ClientConnection(connection, owner, {
              ...http2,
              clock,
              limits: PACKED_LIMITS,
            }),
    });
  }

  /** Not for use again: a connection that nobody waits for any more is closed at once. */
  #tunnels(dial: Dial): ConnectionPool {
    return new ConnectionPool({
      connectionsMax: HTTP1_CONNECTIONS_MAX,
      multiplexed: false,
      idleTimeoutMs: 0,
      clock: this.clock,
      connect: dial,
      codec: (connection, owner) => new TunnelClientConnection(connection, owner),
    });
  }

  /** Connects to an endpoint, has it prove who it is if it has to, and counts the connection. */
  #dialer(
    endpoint: Endpoint,
    backend: Backend,
    meter: TcpMeter,
  ): (http2: boolean, done: Parameters<Dial>[0]) => () => void {
    const { address, port, path } = endpoint;
    const tls = this.security?.tls;
    const peer = tls?.peer(endpoint);
    return (http2, done) => {
      let giveUp: () => void;
      const target = { address, port, path, timeoutMs: backend.policy.connectTimeoutMs };
      giveUp = connect(target, (error, connection) => {
        if (connection === undefined || tls === undefined || peer === undefined) {
          if (connection !== undefined) meter.track(connection);
          done(error, connection);
          return;
        }
        giveUp = tls.prove(connection, peer, http2, (wrong) => {
          if (wrong === undefined) meter.track(connection);
          done(wrong, wrong === undefined ? connection : undefined);
        });
      });
      return () => giveUp();
    };
  }
}

/** The metric labels of who is connected to. */
export function targetLabels(direction: Direction, endpoint: Endpoint): Labels {
  // A label without a value is left out.
  if (endpoint.path !== undefined) return { direction, target_addr: `unix:${endpoint.path}` };
  return {
    direction,
    target_addr: endpointKey(endpoint),
    target_ip: endpoint.address,
    target_port: String(endpoint.port),
  };
}
