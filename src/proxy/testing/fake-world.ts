/** A backend whose endpoints exist only in the test, on virtual time. Everything above the codec is the real thing. */
import { type BackendPolicy, defaultBackendPolicy } from "../../model/backend-policy.ts";
import { type Endpoint, endpointKey } from "../../model/endpoint.ts";
import type { PortProtocol } from "../../model/service.ts";
import type { Connection } from "../../net/connection.ts";
import { VirtualClock } from "../../net/virtual-clock.ts";
import { Backend } from "../backend.ts";
import { BalancedEndpoint } from "../endpoint.ts";
import { ProxyMetrics } from "../metrics.ts";
import { ConnectionPool } from "../pool/connection-pool.ts";
import { FakeClient, type FakeStream } from "./fake-client.ts";

export interface Attempt {
  readonly endpoint: string;
  accept(): void;
  refuse(): void;
}

export interface WorldOptions {
  readonly policy?: Partial<BackendPolicy>;
  readonly single?: boolean;
  readonly protocol?: PortProtocol;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
  /** Streams of one HTTP/2 connection. */
  readonly streamsMax?: number;
}

export class FakeWorld {
  readonly clock = new VirtualClock();
  readonly metrics = new ProxyMetrics();
  readonly backend: Backend;
  /** Connections being made, the oldest first. */
  readonly attempts: Attempt[] = [];
  /** Every exchange that was opened, in order. */
  readonly streams: FakeStream[] = [];
  readonly clients: FakeClient[] = [];
  /** Every endpoint ever made. */
  readonly made: BalancedEndpoint[] = [];
  readonly policy: BackendPolicy;
  repeats = 0;
  readonly #poolNames = new Map<ConnectionPool, string>();
  readonly #options: WorldOptions;

  constructor(options: WorldOptions = {}) {
    this.#options = options;
    this.policy = { ...defaultBackendPolicy, ...options.policy };
    this.backend = new Backend(this.policy, {
      name: "price",
      clock: this.clock,
      random: options.random ?? Math.random,
      single: options.single ?? false,
      onRepeat: () => this.repeats++,
      endpoint: (endpoint, onStateChange) => this.#endpoint(endpoint, onStateChange),
    });
  }

  /** Sets the endpoints, by port. */
  update(...endpoints: readonly (number | Partial<Endpoint>)[]): void {
    const list = endpoints.map((endpoint) =>
      fakeEndpoint(typeof endpoint === "number" ? { port: endpoint } : endpoint),
    );
    this.backend.update(this.policy, list);
  }

  /** Lets every connection attempt succeed. */
  accept(): void {
    while (this.attempts.length > 0) this.attempts[0]?.accept();
  }

  /** The exchange opened last. */
  get last(): FakeStream {
    const stream = this.streams.at(-1);
    if (stream === undefined) throw new Error("no exchange was opened");
    return stream;
  }

  /** Which of an endpoint's pools this is: "http1", "http2" or "tunnels". */
  nameOf(pool: ConnectionPool): string {
    return this.#poolNames.get(pool) ?? "none";
  }

  /** `response_total` by the values of its status and error labels: {"200": 1, "connect": 2}. */
  get outcomes(): Record<string, number> {
    const outcomes: Record<string, number> = {};
    for (const [, labels = "", value] of this.metrics.registry.expose().matchAll(/^response_total\{(.*)\} (\d+)$/gm)) {
      const label = (name: string): string => new RegExp(`${name}="([^"]*)"`).exec(labels)?.[1] ?? "";
      const grpc = label("grpc_status");
      const key = label("error") || (grpc === "" ? label("status_code") : `grpc ${grpc}`);
      outcomes[key] = (outcomes[key] ?? 0) + Number(value);
    }
    return outcomes;
  }

  #endpoint(endpoint: Endpoint, onStateChange: (endpoint: BalancedEndpoint) => void): BalancedEndpoint {
    const labels = { target_addr: endpointKey(endpoint) };
    const balanced = new BalancedEndpoint(endpoint, {
      clock: this.clock,
      random: () => 0,
      protocol: this.#options.protocol ?? "http",
      metrics: this.metrics.endpoint(labels),
      meter: this.metrics.tcp(labels),
      dial: () => () => {},
      believed: true,
      http1: this.#pool(endpoint, "http1"),
      http2: this.#pool(endpoint, "http2"),
      tunnels: this.#pool(endpoint, "tunnels"),
      onStateChange,
      onClose() {},
    });
    this.made.push(balanced);
    return balanced;
  }

  #pool(endpoint: Endpoint, name: string): ConnectionPool {
    const multiplexed = name === "http2";
    const pool = new ConnectionPool({
      connectionsMax: 4,
      multiplexed,
      idleTimeoutMs: 1_000,
      clock: this.clock,
      connect: (done) => {
        const settle = (error: Error | undefined): void => {
          const at = this.attempts.indexOf(attempt);
          if (at < 0) return;
          this.attempts.splice(at, 1);
          done(error, error === undefined ? ({ resume() {} } as Connection) : undefined);
        };
        const attempt: Attempt = {
          endpoint: endpointKey(endpoint),
          accept: () => settle(undefined),
          refuse: () => settle(new Error("ECONNREFUSED")),
        };
        this.attempts.push(attempt);
        return () => {
          const at = this.attempts.indexOf(attempt);
          if (at >= 0) this.attempts.splice(at, 1);
        };
      },
      codec: (_connection, owner) => {
        const streamsMax = multiplexed ? (this.#options.streamsMax ?? 100) : 1;
        const client = new FakeClient(owner, streamsMax, (stream) => this.streams.push(stream));
        this.clients.push(client);
        return client;
      },
    });
    this.#poolNames.set(pool, name);
    return pool;
  }
}

export function fakeEndpoint(over: Partial<Endpoint>): Endpoint {
  return {
    address: "127.0.0.1",
    port: 1,
    workload: `w-${over.port ?? 1}`,
    locality: { region: "", zone: "", subZone: "" },
    weight: 1,
    health: "healthy",
    labels: {},
    meshed: false,
    identity: "",
    ...over,
  };
}

/** Lets microtasks run. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}
