/** The traffic of a sidecar, as far as one thread carries it: its listeners, and the services that they route to. */
import type { Discovery } from "../model/discovery.ts";
import type { Clock } from "../net/clock.ts";
import type { CredentialSource } from "../net/credentials.ts";
import type { Logger, LogLevel } from "../telemetry/log.ts";
import type { FamilySnapshot, StaleSeries } from "../telemetry/snapshot.ts";
import { AddressDiscovery } from "./capture/address-discovery.ts";
import type { Captured } from "./capture/captured.ts";
import type { Carrier, TrafficAddresses } from "./carrier.ts";
import type { ProxyConfig } from "./config.ts";
import { type MeshSecurity, ProxyContext } from "./context.ts";
import { type Inbound, openInbound } from "./inbound.ts";
import type { Listener } from "./listener.ts";
import { ProxyMetrics } from "./metrics.ts";
import { openByHost, openUpstream, outboundBackend } from "./outbound.ts";
import { Services } from "./outbound/services.ts";
import { DiscoveredPolicy, needsPolicy, openPolicySource } from "./policy-source.ts";

/** What makes a sidecar one that proves who it is, and asks the same of others. */
export interface TrafficIdentity {
  readonly credentials: CredentialSource;
  /** 32 random bytes, the same in all threads: a TLS session begun in one is resumed in another. */
  readonly ticketSecret: Uint8Array;
}

export interface TrafficOptions {
  readonly config: ProxyConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly discovery: Discovery;
  /** undefined: everything is spoken in plain. */
  readonly identity?: TrafficIdentity | undefined;
}

export class Traffic implements Carrier {
  readonly #context: ProxyContext;
  readonly #policy: DiscoveredPolicy | undefined;
  readonly #services: Services;
  readonly #inbound: Inbound[] = [];
  readonly #upstreams: Listener[] = [];
  #outbound: Listener | undefined;
  #captured: Captured | undefined;

  private constructor(
    { config, clock, logger, discovery }: TrafficOptions,
    metrics: ProxyMetrics,
    security: MeshSecurity | undefined,
  ) {
    this.#policy = needsPolicy(config) ? new DiscoveredPolicy(discovery) : undefined;
    const policy = this.#policy ?? openPolicySource;
    if (this.#policy !== undefined) {
      this.#policy.onChanged = () => this.#inboundListeners().forEach((listener) => listener.review());
    }
    const context = new ProxyContext(config, clock, Math.random, metrics, logger, policy, security);
    this.#context = context;
    this.#services = new Services({
      clock,
      logger,
      discovery: config.capture === undefined ? discovery : new AddressDiscovery(discovery, config, config.capture),
      makeBackend: (service, backend) => outboundBackend(service, backend, context),
    });
    context.metrics.registry.collect(() => this.#gauges());
  }

  /**
   * Resolves when all listeners accept.
   *
   * @throws ListenError if one of them cannot be opened; nothing stays open then
   */
  static async open(options: TrafficOptions): Promise<Traffic> {
    const metrics = new ProxyMetrics(() => options.clock.now());
    const traffic = new Traffic(options, metrics, await securityOf(options, metrics));
    try {
      await traffic.#open();
    } catch (error) {
      traffic.close();
      throw error;
    }
    return traffic;
  }

  get addresses(): TrafficAddresses {
    return {
      outbound: this.#outbound?.address,
      upstreams: this.#upstreams.map((listener) => listener.address),
      inbound: this.#inbound.map(({ listener }) => listener.address),
      captured: this.#captured?.addresses,
    };
  }

  /** What there is of certificates is known here at once. */
  get informed(): boolean {
    return this.#policy?.heard ?? true;
  }

  /** Connections being served. */
  get open(): number {
    return this.#listeners().reduce((sum, listener) => sum + listener.open, 0);
  }

  drop(stale: readonly StaleSeries[]): void {
    this.#context.metrics.registry.drop(stale);
  }

  /** Whoever runs this lives. */
  async isLive(): Promise<boolean> {
    return true;
  }

  async connections(): Promise<number> {
    return this.open;
  }

  async snapshot(): Promise<FamilySnapshot[]> {
    return this.#context.metrics.registry.snapshot();
  }

  setLogLevel(level: LogLevel): void {
    this.#context.logger.level = level;
  }

  async drainInbound(): Promise<void> {
    await Promise.all(this.#inboundListeners().map((listener) => listener.drain()));
  }

  async drainOutbound(): Promise<void> {
    await Promise.all(this.#outboundListeners().map((listener) => listener.drain()));
  }

  close(): void {
    for (const listener of this.#listeners()) listener.destroy();
    for (const { backend, guard } of this.#inbound) {
      backend.destroy();
      guard.close();
    }
    this.#captured?.close();
    this.#services.destroy();
    this.#policy?.close();
    this.#context.security?.tls.close();
  }

  async #open(): Promise<void> {
    const context = this.#context;
    const { inbound, upstreams, outbound, capture } = context.config;
    for (const one of inbound) this.#inbound.push(await openInbound(one, context));
    for (const one of upstreams) this.#upstreams.push(await openUpstream(one, this.#services, context));
    if (outbound !== undefined) this.#outbound = await openByHost(outbound, this.#services, context);
    if (capture === undefined) return;
    const { Captured } = await import("./capture/captured.ts");
    this.#captured = await Captured.open(capture, this.#services, context);
  }

  #listeners(): Listener[] {
    return [...this.#inboundListeners(), ...this.#outboundListeners()];
  }

  #inboundListeners(): Listener[] {
    const listeners = this.#inbound.map(({ listener }) => listener);
    return this.#captured === undefined ? listeners : [...listeners, this.#captured.inbound];
  }

  #outboundListeners(): Listener[] {
    return [...this.#upstreams, this.#outbound, this.#captured?.outbound].filter((listener) => listener !== undefined);
  }

  #gauges(): void {
    const { balancerEndpoints, queueLength } = this.#context.metrics;
    balancerEndpoints.clear();
    queueLength.clear();
    for (const [key, backend] of this.#services.backends()) {
      const labels = { direction: "outbound", backend: key };
      balancerEndpoints.labels({ ...labels, endpoint_state: "ready" }).value = backend.readyEndpoints;
      balancerEndpoints.labels({ ...labels, endpoint_state: "pending" }).value =
        backend.endpoints - backend.readyEndpoints;
      queueLength.labels(labels).value = backend.queued;
    }
  }
}

/** What has to do with TLS is only loaded where there is an identity: the memory of an idle sidecar is counted. */
async function securityOf(options: TrafficOptions, metrics: ProxyMetrics): Promise<MeshSecurity | undefined> {
  if (options.identity === undefined) return undefined;
  const { MeshTls } = await import("./tls/mesh-tls.ts");
  return { tls: new MeshTls({ ...options, ...options.identity, metrics }) };
}
