/**
 * The metric families of a sidecar: names, labels and buckets as Linkerd's legacy families have them, so that existing
 * dashboards and alerts work. Handles are resolved once per endpoint and status, never per request.
 */
import type { Connection } from "../net/connection.ts";
import { GRPC_CODE_NAMES, GrpcCode } from "../protocol/grpc.ts";
import type { Lease } from "../telemetry/lease.ts";
import {
  type Counter,
  type Family,
  type Gauge,
  type Histogram,
  type Labels,
  MetricsRegistry,
} from "../telemetry/metrics.ts";

export type Direction = "inbound" | "outbound";

/** Upper bounds in milliseconds, as Linkerd's `*_latency_ms`. */
export const LATENCY_BUCKETS_MS = [
  1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 100, 200, 300, 400, 500, 1_000, 2_000, 3_000, 4_000, 5_000, 10_000, 20_000, 30_000,
  40_000, 50_000,
] as const;

/** Upper bounds in seconds, as Linkerd's `*_tcp_detect_http_duration_seconds`. */
const DETECT_BUCKETS_S = [0.001, 0.1] as const;

/** Upper bounds in milliseconds for what may last from one question to months. */
const DURATION_BUCKETS_MS = [10, 100, 1_000, 10_000, 60_000, 600_000, 3_600_000, 86_400_000] as const;

/** Label sets of the families that carry endpoint, status and error: endpoints × statuses. */
const RESPONSE_SERIES_MAX = 10_000;

const TARGET = ["target_addr", "target_ip", "target_port"];
const DST = ["dst_service", "dst_namespace", "dst_workload"];
/** Linkerd's: "true" with who the other side has proved to be, "no_identity" with the reason, "disabled", "opaque". */
const TLS = ["tls", "no_tls_reason", "client_id", "server_id"];
const REQUEST = ["direction", "authority", ...TARGET, ...TLS, ...DST];
const TCP = ["direction", "peer", "authority", ...TARGET, ...TLS, ...DST];

/** Linkerd's: the document about the port, and the one that decided. */
const SRV = ["srv_group", "srv_kind", "srv_name", "srv_port"];
const AUTHZ = [...SRV, "authz_group", "authz_kind", "authz_name", "tls", "no_tls_reason", "client_id"];
const RATE_LIMIT = [
  ...SRV,
  "ratelimit_group",
  "ratelimit_kind",
  "ratelimit_name",
  "scope",
  "tls",
  "no_tls_reason",
  "client_id",
];

/** What became of calls by the policy. */
export interface AuthzFamilies {
  readonly allowed: Family<Counter>;
  readonly denied: Family<Counter>;
  readonly audited: Family<Counter>;
  /** Let in, and cut because the policy has changed. */
  readonly terminated: Family<Counter>;
}

export class ProxyMetrics {
  readonly registry: MetricsRegistry;
  readonly requests: Family<Counter>;
  readonly responses: Family<Counter>;
  readonly latency: Family<Histogram>;
  readonly httpErrors: Record<Direction, Family<Counter>>;
  readonly tcpErrors: Record<Direction, Family<Counter>>;
  readonly detections: Record<Direction, Family<Counter>>;
  readonly detectSeconds: Record<Direction, Family<Histogram>>;
  /** Of byte streams. */
  readonly durations: Family<Histogram>;
  readonly tlsHandshakes: Family<Counter>;
  readonly tlsFailures: Family<Counter>;
  readonly retries: Counter;
  readonly balancerEndpoints: Family<Gauge>;
  readonly queueLength: Family<Gauge>;
  readonly authz: { readonly http: AuthzFamilies; readonly tcp: AuthzFamilies };
  readonly rateLimited: Family<Counter>;
  readonly #tcpOpen: Family<Counter>;
  readonly #tcpOpenNow: Family<Gauge>;
  readonly #tcpClose: Family<Counter>;
  readonly #tcpRead: Family<Counter>;
  readonly #tcpWrite: Family<Counter>;
  readonly #meters = new Set<TcpMeter>();

  /** @param now monotonic milliseconds */
  constructor(now?: () => number) {
    const registry = new MetricsRegistry(now);
    this.registry = registry;
    this.requests = registry.counter({
      name: "request_total",
      help: "Requests sent to an endpoint; a request that is tried at a second endpoint counts twice.",
      labelNames: REQUEST,
    });
    this.responses = registry.counter({
      name: "response_total",
      help: "Answers, and requests that ended without one.",
      labelNames: [...REQUEST, "status_code", "classification", "grpc_status", "error"],
      seriesMax: RESPONSE_SERIES_MAX,
    });
    this.latency = registry.histogram({
      name: "response_latency_ms",
      help: "Milliseconds from the request's head to the answer's head.",
      labelNames: [...REQUEST, "status_code"],
      bounds: LATENCY_BUCKETS_MS,
    });
    const errors = (kind: "http" | "tcp", direction: Direction): Family<Counter> =>
      registry.counter({
        name: `${direction}_${kind}_errors_total`,
        help: `Failures answered or cut by the sidecar itself, ${direction} ${kind === "http" ? "HTTP" : "TCP"}.`,
        labelNames: ["direction", "error"],
      });
    this.httpErrors = { inbound: errors("http", "inbound"), outbound: errors("http", "outbound") };
    this.tcpErrors = { inbound: errors("tcp", "inbound"), outbound: errors("tcp", "outbound") };
    const results = (direction: Direction): Family<Counter> =>
      registry.counter({
        name: `${direction}_tcp_detect_http_results_total`,
        help: "What protocol detection found.",
        labelNames: ["direction", "result"],
      });
    this.detections = { inbound: results("inbound"), outbound: results("outbound") };
    const seconds = (direction: Direction): Family<Histogram> =>
      registry.histogram({
        name: `${direction}_tcp_detect_http_duration_seconds`,
        help: "Seconds that protocol detection took.",
        labelNames: ["direction"],
        bounds: DETECT_BUCKETS_S,
      });
    this.detectSeconds = { inbound: seconds("inbound"), outbound: seconds("outbound") };
    this.durations = registry.histogram({
      name: "tcp_connection_duration_ms",
      help: "Milliseconds from a byte stream's beginning to its end.",
      labelNames: REQUEST,
      bounds: DURATION_BUCKETS_MS,
    });
    this.tlsHandshakes = registry.counter({
      name: "heddle_tls_handshakes_total",
      help: "Handshakes of mutual TLS with other sidecars that were finished.",
      labelNames: ["direction", "resumed"],
    });
    this.tlsFailures = registry.counter({
      name: "heddle_tls_handshake_failures_total",
      help: "Connections refused or lost for want of mutual TLS, by reason.",
      labelNames: ["direction", "reason"],
    });
    this.retries = registry
      .counter({
        name: "heddle_redispatch_total",
        help: "Requests sent again because the first endpoint had certainly not processed them.",
        labelNames: ["direction"],
      })
      .labels({ direction: "outbound" });
    this.balancerEndpoints = registry.gauge({
      name: "outbound_http_balancer_endpoints",
      help: "Endpoints of a backend by state.",
      labelNames: ["direction", "backend", "endpoint_state"],
      across: "mean",
    });
    this.queueLength = registry.gauge({
      name: "outbound_http_balancer_queue_length",
      help: "Requests waiting for an endpoint.",
      labelNames: ["direction", "backend"],
    });
    const authz = (name: string, help: string): Family<Counter> => registry.counter({ name, help, labelNames: AUTHZ });
    this.authz = {
      http: {
        allowed: authz("inbound_http_authz_allow_total", "Requests that a policy let pass."),
        denied: authz("inbound_http_authz_deny_total", "Requests that a policy refused."),
        audited: authz("inbound_http_authz_audit_total", "Requests that a rule marked, or would have refused."),
        terminated: authz("inbound_http_authz_terminate_total", "Requests cut because a changed policy refuses them."),
      },
      tcp: {
        allowed: authz("inbound_tcp_authz_allow_total", "Byte streams that a policy let pass."),
        denied: authz("inbound_tcp_authz_deny_total", "Byte streams that a policy refused."),
        audited: authz("inbound_tcp_authz_audit_total", "Byte streams that a rule marked, or would have refused."),
        terminated: authz(
          "inbound_tcp_authz_terminate_total",
          "Byte streams and tunnels cut because a changed policy refuses them.",
        ),
      },
    };
    this.rateLimited = registry.counter({
      name: "inbound_http_local_ratelimit_total",
      help: "Requests refused because there were too many.",
      labelNames: RATE_LIMIT,
    });
    const tcp = (name: string, help: string, labelNames = TCP): Family<Counter> =>
      registry.counter({ name, help, labelNames });
    this.#tcpOpen = tcp("tcp_open_total", "Connections opened.");
    this.#tcpClose = tcp("tcp_close_total", "Connections closed.", [...TCP, "errno"]);
    this.#tcpRead = tcp("tcp_read_bytes_total", "Bytes read from peers.");
    this.#tcpWrite = tcp("tcp_write_bytes_total", "Bytes written to peers.");
    this.#tcpOpenNow = registry.gauge({ name: "tcp_open_connections", help: "Connections open now.", labelNames: TCP });
    registry.collect(() => this.#meters.forEach((meter) => meter.settle()));
  }

  /** The connections that share one label set. @param lease none for what is there as long as the sidecar */
  tcp(labels: Labels, lease?: Lease): TcpMeter {
    const meter = new TcpMeter({
      opened: this.#tcpOpen.labels(labels, lease),
      open: this.#tcpOpenNow.labels(labels, lease),
      read: this.#tcpRead.labels(labels, lease),
      written: this.#tcpWrite.labels(labels, lease),
      closed: (errno) => this.#tcpClose.labels({ ...labels, errno }, lease),
    });
    this.#meters.add(meter);
    return meter;
  }

  /**
   * The meter is not used for new connections any more once those that it has are closed. Then the lease ends.
   *
   * @param then called after that
   */
  forget(meter: TcpMeter, lease: Lease, then?: () => void): void {
    meter.whenUnused(() => {
      this.#meters.delete(meter);
      lease.end();
      then?.();
    });
  }

  /** The metrics of one endpoint under one name. @param lease none for one that is there as long as the sidecar */
  endpoint(labels: Labels, lease?: Lease): EndpointMetrics {
    return new EndpointMetrics(this, labels, lease);
  }
}

interface TcpHandles {
  readonly opened: Counter;
  readonly open: Gauge;
  readonly read: Counter;
  readonly written: Counter;
  /** Looked up per error, not per connection. */
  readonly closed: (errno: string) => Counter;
}

/** Counts connections and their bytes. Bytes are added up when somebody scrapes and on close, not per packet. */
export class TcpMeter {
  readonly #handles: TcpHandles;
  readonly #live = new Map<Connection, { read: number; written: number }>();
  /** By errno: those that the system has, and ours. */
  readonly #closed = new Map<string, Counter>();
  #unused: (() => void) | undefined;

  constructor(handles: TcpHandles) {
    this.#handles = handles;
  }

  get open(): number {
    return this.#live.size;
  }

  track(connection: Connection): void {
    this.#live.set(connection, { read: 0, written: 0 });
    this.#handles.opened.inc();
    this.#handles.open.value++;
    connection.whenClosed = (error) => {
      const counted = this.#live.get(connection);
      if (counted === undefined) return;
      this.#settle(connection, counted);
      this.#live.delete(connection);
      this.#handles.open.value--;
      this.#countClose(error !== undefined && "code" in error ? String(error.code) : "");
      if (this.#live.size === 0) this.#unused?.();
    };
  }

  /** Calls back once there is no connection, at once if there is none now. */
  whenUnused(callback: () => void): void {
    this.#unused = callback;
    if (this.#live.size === 0) callback();
  }

  settle(): void {
    for (const [connection, counted] of this.#live) this.#settle(connection, counted);
  }

  #countClose(errno: string): void {
    let counter = this.#closed.get(errno);
    if (counter === undefined) {
      counter = this.#handles.closed(errno);
      this.#closed.set(errno, counter);
    }
    counter.inc();
  }

  #settle(connection: Connection, counted: { read: number; written: number }): void {
    this.#handles.read.inc(connection.bytesRead - counted.read);
    this.#handles.written.inc(connection.bytesWritten - counted.written);
    counted.read = connection.bytesRead;
    counted.written = connection.bytesWritten;
  }
}

/** Resolved handles of one endpoint: one array look-up per answer. */
export class EndpointMetrics {
  readonly #metrics: ProxyMetrics;
  readonly #labels: Labels;
  readonly #lease: Lease | undefined;
  readonly #byStatus: (Counter | undefined)[] = [];
  /** Of answers with status 200, as nearly all of gRPC are. */
  readonly #byGrpcStatus: (Counter | undefined)[] = [];
  readonly #latencyByStatus: (Histogram | undefined)[] = [];
  #requests: Counter | undefined;
  #durations: Histogram | undefined;

  constructor(metrics: ProxyMetrics, labels: Labels, lease: Lease | undefined) {
    this.#metrics = metrics;
    this.#labels = labels;
    this.#lease = lease;
  }

  get requests(): Counter {
    this.#requests ??= this.#metrics.requests.labels(this.#labels, this.#lease);
    return this.#requests;
  }

  /** @param status of the answer, 200 to 999 */
  latency(status: number, milliseconds: number): void {
    let handle = this.#latencyByStatus[status];
    if (handle === undefined) {
      handle = this.#metrics.latency.labels({ ...this.#labels, status_code: String(status) }, this.#lease);
      this.#latencyByStatus[status] = handle;
    }
    handle.observe(milliseconds);
  }

  /** An answer that is not gRPC: 5xx is a failure. */
  answered(status: number): void {
    let handle = this.#byStatus[status];
    if (handle === undefined) {
      const classification = status >= 500 ? "failure" : "success";
      handle = this.#response({ status_code: String(status), classification });
      this.#byStatus[status] = handle;
    }
    handle.inc();
  }

  /** A gRPC answer, classified by its own status. */
  answeredGrpc(status: number, grpcStatus: number): void {
    const known = status === 200 && grpcStatus < GRPC_CODE_NAMES.length;
    const handle = (known ? this.#byGrpcStatus[grpcStatus] : undefined) ?? this.#grpc(status, grpcStatus);
    if (known) this.#byGrpcStatus[grpcStatus] = handle;
    handle.inc();
  }

  /** A byte stream has ended. */
  lasted(milliseconds: number): void {
    this.#durations ??= this.#metrics.durations.labels(this.#labels, this.#lease);
    this.#durations.observe(milliseconds);
  }

  /** No answer, or one that was cut. */
  failed(error: string): void {
    this.#response({ classification: "failure", error }).inc();
  }

  #grpc(status: number, grpcStatus: number): Counter {
    return this.#response({
      status_code: String(status),
      classification: grpcStatus === 0 ? "success" : "failure",
      // A number that gRPC does not have comes from the application, who must not make up label values.
      grpc_status: grpcStatus < GRPC_CODE_NAMES.length ? String(grpcStatus) : String(GrpcCode.unknown),
    });
  }

  #response(labels: Labels): Counter {
    return this.#metrics.responses.labels({ ...this.#labels, ...labels }, this.#lease);
  }
}

/** How the work is spread over the workers. */
export class WorkerMetrics {
  readonly registry = new MetricsRegistry();
  readonly #connections: Family<Gauge>;
  readonly #cpu: Family<Counter>;

  constructor() {
    const labelNames = ["worker"];
    this.#connections = this.registry.gauge({
      name: "heddle_worker_connections",
      help: "Connections to the sidecar that a worker serves now.",
      labelNames,
    });
    this.#cpu = this.registry.counter({
      name: "heddle_worker_cpu_seconds_total",
      help: "User and system CPU time of a worker in seconds.",
      labelNames,
    });
  }

  /** @param worker its number, from "1" */
  set(worker: string, connections: number, cpuSeconds: number): void {
    this.#connections.labels({ worker }).value = connections;
    this.#cpu.labels({ worker }).value = cpuSeconds;
  }
}

/**
 * What is true of the whole process.
 *
 * @param isReady what `/ready` says, for who asks for the metrics anyway
 */
export function processMetrics(registry: MetricsRegistry, isReady: () => boolean): void {
  const gauge = (name: string, help: string): Gauge => registry.gauge({ name, help, labelNames: [] }).labels({});
  const start = gauge("process_start_time_seconds", "Start time of the process since the epoch, in seconds.");
  start.value = Math.round((Date.now() - process.uptime() * 1_000) / 10) / 100;
  const resident = gauge("process_resident_memory_bytes", "Resident memory in bytes.");
  const cpu = registry
    .counter({ name: "process_cpu_seconds_total", help: "User and system CPU time in seconds.", labelNames: [] })
    .labels({});
  const ready = gauge("heddle_ready", "1: the sidecar is ready to take traffic; 0: not yet, or it is draining.");
  registry.collect(() => {
    ready.value = isReady() ? 1 : 0;
    resident.value = process.memoryUsage.rss();
    const used = process.cpuUsage();
    cpu.value = (used.user + used.system) / 1e6;
  });
}
