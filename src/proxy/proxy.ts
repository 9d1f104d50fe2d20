/** One sidecar: puts the parts together, starts them, drains them. */
import type { Discovery } from "../model/discovery.ts";
import { type Clock, systemClock } from "../net/clock.ts";
import type { CredentialSource } from "../net/credentials.ts";
import { isLoopback } from "../net/loopback.ts";
import { compilePolicy } from "../policy/policy.ts";
import { exposition, mergeSnapshots, staleSeries } from "../telemetry/exposition.ts";
import { Logger, type LogLevel } from "../telemetry/log.ts";
import { MetricsRegistry } from "../telemetry/metrics.ts";
import { XdsClient } from "../xds/client.ts";
import type { ClientTransport } from "../xds/client-transport.ts";
import { Admin } from "./admin.ts";
import type { Carrier, TrafficAddresses } from "./carrier.ts";
import type { ProxyConfig, SocketAddress } from "./config.ts";
import type { IdentityClient } from "./identity/identity-client.ts";
import { processMetrics } from "./metrics.ts";
import { policedPorts } from "./policy-source.ts";
import type { TrafficIdentity } from "./traffic.ts";

export interface RunningProxy {
  readonly addresses: TrafficAddresses & { readonly admin: SocketAddress };
  /** Resolves when somebody has asked for a shutdown at the admin listener. */
  readonly shutdownRequested: Promise<void>;
  /** Resolves with the reason when the control plane gives it no certificate and never will: it should end. */
  readonly identityRefused: Promise<string>;
  /** Connections being served, as far as that can be told. */
  connections(): Promise<number>;
  /** Stops accepting, finishes what has begun (at most `shutdownGraceMs`), then closes. Idempotent. */
  drain(): Promise<void>;
  /** Cuts everything at once. Idempotent. */
  close(): void;
}

/**
 * Starts a sidecar; resolves when all its listeners accept.
 *
 * @param clock not that of further workers, which have the machine's
 * @param credentials what it proves itself with, if they are not to be asked for as the configuration says
 * @throws ListenError if one of them cannot be opened; nothing stays open then
 */
export async function startProxy(
  config: ProxyConfig,
  clock: Clock = systemClock,
  credentials?: CredentialSource,
): Promise<RunningProxy> {
  const proxy = new Proxy(config, clock, credentials);
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
  readonly identityRefused: Promise<string>;
  readonly #config: ProxyConfig;
  readonly #clock: Clock;
  readonly #logger: Logger;
  /** What is true of the process, however many workers it has. */
  readonly #metrics = new MetricsRegistry();
  readonly #requestShutdown: () => void;
  readonly #refuseIdentity: (reason: string) => void;
  /** Given by whoever starts it; else asked for. */
  readonly #given: CredentialSource | undefined;
  #carrier: Carrier | undefined;
  #xds: XdsClient | undefined;
  #identity: IdentityClient | undefined;
  #admin: Admin | undefined;
  /** The control plane has answered once; from then on its absence changes nothing. */
  #discovered = false;
  #accepting = false;
  #drained: Promise<void> | undefined;
  #closed = false;

  constructor(config: ProxyConfig, clock: Clock, given: CredentialSource | undefined) {
    this.#config = config;
    this.#given = given;
    this.#clock = clock;
    this.#logger = new Logger({ level: config.logLevel, format: config.logFormat, sink: process.stderr });
    processMetrics(this.#metrics, () => this.#admin?.ready === true);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.shutdownRequested = promise;
    this.#requestShutdown = resolve;
    const refusal = Promise.withResolvers<string>();
    this.identityRefused = refusal.promise;
    this.#refuseIdentity = refusal.resolve;
  }

  get addresses(): RunningProxy["addresses"] {
    return { ...(this.#carrier as Carrier).addresses, admin: (this.#admin as Admin).address };
  }

  async open(): Promise<void> {
    const logger = this.#logger;
    this.#admin = await Admin.open({
      address: this.#config.admin,
      expose: () => this.#expose(),
      isReady: () => this.#accepting && this.#discovered && this.#carrier?.informed === true && this.#certified,
      isLive: async () => (await this.#carrier?.isLive()) ?? true,
      logLevel: { get: () => logger.level, set: (level) => this.#setLogLevel(level) },
      onShutdown: this.#requestShutdown,
    });
    const { credentials, transport } = await this.#introduce();
    this.#carrier = await this.#carry(this.#discovery(this.#admin.address, transport), credentials);
    this.#accepting = true;
  }

  async connections(): Promise<number> {
    return (await this.#carrier?.connections()) ?? 0;
  }

  drain(): Promise<void> {
    this.#drained ??= this.#drain();
    return this.#drained;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#accepting = false;
    this.#carrier?.close();
    this.#xds?.close();
    this.#identity?.close();
    this.#admin?.close();
  }

  async #drain(): Promise<void> {
    this.#accepting = false;
    const carrier = this.#carrier as Carrier;
    const { promise: late, resolve } = Promise.withResolvers<"late">();
    const timer = this.#clock.after(this.#config.shutdownGraceMs, () => resolve("late"));
    // What the application is still working on may need other services, so the way out closes last.
    const done = carrier.drainInbound().then(() => carrier.drainOutbound());
    const outcome = await Promise.race([done, late]);
    timer.cancel();
    if (outcome === "late") {
      this.#logger.warn("the grace period is over; what is left is cut", { connections: await carrier.connections() });
    }
    this.close();
  }

  /** The modules of what is not wanted are not loaded: the memory of an idle sidecar is counted. */
  async #carry(discovery: Discovery, credentials: CredentialSource | undefined): Promise<Carrier> {
    const identity: TrafficIdentity | undefined = credentials && {
      credentials,
      ticketSecret: crypto.getRandomValues(new Uint8Array(32)),
    };
    const options = { config: this.#config, clock: this.#clock, logger: this.#logger, discovery, identity };
    if (this.#config.workers === 1) return (await import("./traffic.ts")).Traffic.open(options);
    return (await import("./workers/workers.ts")).Workers.open(options);
  }

  async #expose(): Promise<string> {
    const carried = (await this.#carrier?.snapshot()) ?? [];
    this.#carrier?.drop(staleSeries(carried));
    return exposition(mergeSnapshots([carried, this.#metrics.snapshot()]));
  }

  #setLogLevel(level: LogLevel): void {
    this.#logger.level = level;
    this.#carrier?.setLogLevel(level);
  }

  /** It has a certificate, or is to have none. Once certified it stays ready: old connections work, and others come. */
  get #certified(): boolean {
    return this.#config.identity === undefined || this.#identity?.current !== undefined;
  }

  /** What it proves itself with, and how it reaches the control plane: in plain, unless that is said. */
  async #introduce(): Promise<{ credentials: CredentialSource | undefined; transport: ClientTransport | undefined }> {
    const { identity, control } = this.#config;
    if (this.#given !== undefined || identity === undefined || control === undefined) {
      if (control !== undefined && !isLoopback(control.host)) this.#logger.warn(IN_PLAIN, { control: control.host });
      return { credentials: this.#given, transport: undefined };
    }
    const { openIdentity } = await import("./identity/identity.ts");
    const { client, discovery } = await openIdentity({
      config: this.#config,
      identity,
      control,
      clock: this.#clock,
      logger: this.#logger,
      metrics: this.#metrics,
      onRefused: this.#refuseIdentity,
    });
    this.#identity = client;
    return { credentials: client, transport: discovery };
  }

  #discovery(admin: SocketAddress, transport: ClientTransport | undefined): Discovery {
    const { control, workload, namespace, service, inbound } = this.#config;
    if (control === undefined) {
      this.#discovered = true;
      return nothing;
    }
    this.#xds = new XdsClient({
      address: control,
      node: { workload, namespace, service, admin: `${admin.host}:${admin.port}` },
      logger: this.#logger,
      clock: this.#clock,
      random: Math.random,
      ...(transport && { transport }),
      checkPolicy: (policy) =>
        policedPorts({ inbound, capture: this.#config.capture }, policy).forEach((port) => compilePolicy(policy, port)),
    });
    this.#xds.onConnectionChange = (connected) => (this.#discovered ||= connected);
    return this.#xds;
  }
}

/** What a sidecar without an identity says when its control plane is on another host. */
const IN_PLAIN =
  "without a join token this sidecar speaks to the control plane in plain: anybody in between can read and change that, and the control plane refuses it unless it was started with --insecure-xds";

/** Without a control plane there are no services. */
const nothing: Discovery = {
  watch(_authority, watcher) {
    watcher.onUnknown();
    return () => {};
  },
  watchPolicy: () => () => {},
};
