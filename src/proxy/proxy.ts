/** One sidecar: puts the parts together, starts them, drains them. */
import type { Discovery } from "../model/discovery.ts";
import { type Clock, systemClock } from "../net/clock.ts";
import { Logger } from "../telemetry/log.ts";
import { XdsClient } from "../xds/client.ts";
import { Admin } from "./admin.ts";
import type { ProxyConfig, SocketAddress } from "./config.ts";
import { ProxyContext } from "./context.ts";
import { type Inbound, openInbound } from "./inbound.ts";
import type { Listener } from "./listener.ts";
import { ProxyMetrics } from "./metrics.ts";
import { openByHost, openUpstream, outboundBackend } from "./outbound.ts";
import { Services } from "./outbound/services.ts";

export interface RunningProxy {
  readonly addresses: {
    readonly outbound: SocketAddress | undefined;
    /** In the order of the configuration. */
    readonly upstreams: readonly SocketAddress[];
    readonly inbound: readonly SocketAddress[];
    readonly admin: SocketAddress;
  };
  /** Resolves when somebody has asked for a shutdown at the admin listener. */
  readonly shutdownRequested: Promise<void>;
  /** Stops accepting, finishes what has begun (at most `shutdownGraceMs`), then closes. Idempotent. */
  drain(): Promise<void>;
  /** Cuts everything at once. Idempotent. */
  close(): void;
}

/**
 * Starts a sidecar; resolves when all its listeners accept.
 *
 * @throws Error that names the address and what is in the way, if one of them cannot be opened; nothing stays open then
 */
export async function startProxy(config: ProxyConfig, clock: Clock = systemClock): Promise<RunningProxy> {
  const proxy = new Proxy(config, clock);
  try {
    await proxy.open();
  } catch (error) {
    proxy.close();
    throw error;
  }
  return proxy;
}

class Proxy implements RunningProxy {
  readonly shutdownRequested: Promise<void>;
  readonly #context: ProxyContext;
  readonly #inbound: Inbound[] = [];
  readonly #upstreams: Listener[] = [];
  readonly #requestShutdown: () => void;
  #outbound: Listener | undefined;
  #services: Services | undefined;
  #xds: XdsClient | undefined;
  #admin: Admin | undefined;
  /** The control plane has answered once; from then on its absence changes nothing. */
  #discovered = false;
  #accepting = false;
  #drained: Promise<void> | undefined;
  #closed = false;

  constructor(config: ProxyConfig, clock: Clock) {
    const logger = new Logger({ level: config.logLevel, format: config.logFormat, sink: process.stderr });
    this.#context = new ProxyContext(config, clock, Math.random, new ProxyMetrics(), logger);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.shutdownRequested = promise;
    this.#requestShutdown = resolve;
  }

  get addresses(): RunningProxy["addresses"] {
    return {
      outbound: this.#outbound?.address,
      upstreams: this.#upstreams.map((listener) => listener.address),
      inbound: this.#inbound.map(({ listener }) => listener.address),
      admin: (this.#admin as Admin).address,
    };
  }

  async open(): Promise<void> {
    const context = this.#context;
    const { config, metrics, logger } = context;
    this.#admin = await Admin.open({
      address: config.admin,
      expose: () => metrics.registry.expose(),
      isReady: () => this.#accepting && this.#discovered,
      logLevel: { get: () => logger.level, set: (level) => (logger.level = level) },
      onShutdown: this.#requestShutdown,
    });
    const services = new Services({
      clock: context.clock,
      logger,
      discovery: this.#discovery(this.#admin.address),
      makeBackend: (service, backend) => outboundBackend(service, backend, context),
    });
    this.#services = services;
    metrics.registry.collect(() => this.#gauges(services));
    for (const inbound of config.inbound) this.#inbound.push(await openInbound(inbound, context));
    for (const upstream of config.upstreams) this.#upstreams.push(await openUpstream(upstream, services, context));
    if (config.outbound !== undefined) this.#outbound = await openByHost(config.outbound, services, context);
    this.#accepting = true;
  }

  drain(): Promise<void> {
    this.#drained ??= this.#drain();
    return this.#drained;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#accepting = false;
    for (const listener of this.#listeners()) listener.destroy();
    for (const { backend } of this.#inbound) backend.destroy();
    this.#services?.destroy();
    this.#xds?.close();
    this.#admin?.close();
  }

  async #drain(): Promise<void> {
    this.#accepting = false;
    const { clock, config, logger } = this.#context;
    const { promise: late, resolve } = Promise.withResolvers<"late">();
    const timer = clock.after(config.shutdownGraceMs, () => resolve("late"));
    const outcome = await Promise.race([this.#drainListeners(), late]);
    timer.cancel();
    if (outcome === "late") {
      const open = this.#listeners().reduce((sum, listener) => sum + listener.open, 0);
      logger.warn("the grace period is over; what is left is cut", { connections: open });
    }
    this.close();
  }

  /** What the application is still working on may need other services, so the way out closes last. */
  async #drainListeners(): Promise<void> {
    const inbound = this.#inbound.map(({ listener }) => listener);
    await Promise.all(inbound.map((listener) => listener.drain()));
    const rest = this.#listeners().filter((listener) => !inbound.includes(listener));
    await Promise.all(rest.map((listener) => listener.drain()));
  }

  #listeners(): Listener[] {
    const listeners = [...this.#inbound.map(({ listener }) => listener), ...this.#upstreams];
    return this.#outbound === undefined ? listeners : [...listeners, this.#outbound];
  }

  #discovery(admin: SocketAddress): Discovery {
    const { config, logger, clock, random } = this.#context;
    if (config.control === undefined) {
      this.#discovered = true;
      return nothing;
    }
    const { workload, namespace, service } = config;
    this.#xds = new XdsClient({
      address: config.control,
      node: { workload, namespace, service, admin: `${admin.host}:${admin.port}` },
      logger,
      clock,
      random,
    });
    this.#xds.onConnectionChange = (connected) => (this.#discovered ||= connected);
    return this.#xds;
  }

  #gauges(services: Services): void {
    const { balancerEndpoints, queueLength } = this.#context.metrics;
    balancerEndpoints.clear();
    queueLength.clear();
    for (const [key, backend] of services.backends()) {
      const labels = { direction: "outbound", backend: key };
      balancerEndpoints.labels({ ...labels, endpoint_state: "ready" }).value = backend.readyEndpoints;
      balancerEndpoints.labels({ ...labels, endpoint_state: "pending" }).value =
        backend.endpoints - backend.readyEndpoints;
      queueLength.labels(labels).value = backend.queued;
    }
  }
}

/** Without a control plane there are no services. */
const nothing: Discovery = {
  watch(_authority, watcher) {
    watcher.onUnknown();
    return () => {};
  },
};
