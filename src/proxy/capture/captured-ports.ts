/**
 * The ports of the application that captured connections go to: those that the configuration knows, and those that it does
 * not, made when somebody first connects to them. The latter go to the very address that was dialled, so what listens on
 * loopback alone is no more reachable than without us.
 */
import type { Destination } from "../../net/original-destination.ts";
import { defaultProtocol } from "../../model/service.ts";
import { UNNAMED_PORT } from "../../policy/policy.ts";
import type { CapturedPort } from "../config.ts";
import type { ProxyContext } from "../context.ts";
import { type InboundPort, inboundPort } from "../inbound.ts";
import type { ListenerOptions } from "../listener.ts";

/** Ports that are not in the configuration and are held ready at once; a stranger may try them all. */
export const DETECTED_PORTS_MAX = 256;

interface Detected extends InboundPort {
  /** Connections being served. */
  sessions: number;
}

export class CapturedPorts {
  readonly #context: ProxyContext;
  readonly #isHere: (address: string) => boolean;
  readonly #known = new Map<number, InboundPort>();
  readonly #servicePorts: ReadonlySet<number>;
  /** By address and port, the least recently used first. */
  readonly #detected = new Map<string, Detected>();

  /** @param isHere whether connections may be passed on to an address, at ports that are not in the configuration */
  constructor(ports: readonly CapturedPort[], context: ProxyContext, isHere: (address: string) => boolean) {
    this.#context = context;
    this.#isHere = isHere;
    this.#servicePorts = new Set(ports.map(({ port }) => port));
    for (const port of ports) this.#known.set(port.appPort, inboundPort(port, context));
  }

  /** What serves connections to there; else why nothing does: it is not here, or too many other ports are in use. */
  serving(destination: Destination): ListenerOptions["serve"] | "elsewhere" | "overflow" {
    const known = this.#known.get(destination.port);
    if (known !== undefined) return known.serve;
    const key = `${destination.address} ${destination.port}`;
    const port = this.#detected.get(key) ?? this.#detect(destination);
    if (typeof port === "string") return port;
    this.#detected.delete(key);
    this.#detected.set(key, port);
    return (connection, done) => {
      port.sessions++;
      return port.serve(connection, () => {
        port.sessions--;
        done();
      });
    };
  }

  /** Ports held ready beside those of the configuration. */
  get detected(): number {
    return this.#detected.size;
  }

  close(): void {
    for (const { backend, guard } of [...this.#known.values(), ...this.#detected.values()]) {
      backend.destroy();
      guard.close();
    }
    this.#detected.clear();
  }

  #detect({ address, port }: Destination): Detected | "elsewhere" | "overflow" {
    if (!this.#isHere(address)) return "elsewhere";
    if (this.#detected.size >= DETECTED_PORTS_MAX && !this.#makeRoom()) return "overflow";
    const config = {
      target: { host: address, port },
      service: this.#context.config.service,
      // Documents that say this number mean a service's port, and with it another port of the application.
      port: this.#servicePorts.has(port) ? UNNAMED_PORT : port,
      protocol: defaultProtocol(port),
    };
    return { ...inboundPort(config, this.#context), sessions: 0 };
  }

  #makeRoom(): boolean {
    for (const [key, { sessions, backend, guard }] of this.#detected) {
      if (sessions > 0) continue;
      this.#detected.delete(key);
      backend.close();
      guard.close();
      return true;
    }
    return false;
  }
}
