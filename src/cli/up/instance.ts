/**
 * One instance of a service: its sidecar, its program, and what the control plane knows about it.
 *
 *   the sidecar starts → it is ready → the program starts → it is ready → the registration says healthy
 *
 * Whenever one of the two ends, the registration says unhealthy at once; when both are ready again, healthy. The program
 * waits for its sidecar only the first time, so that its first call finds it.
 */
import type { EndpointHealth } from "../../model/endpoint.ts";
import type { Timer } from "../../net/clock.ts";
import { formatAddress } from "../values.ts";
import type { Host } from "./host.ts";
import {
  registrationOf,
  serviceEnvironment,
  sidecarConfig,
  type InstanceDefinition,
  type InstancePorts,
  type MeshAddresses,
  type SidecarSettings,
} from "./plan.ts";
import { LOOPBACK } from "./ports.ts";
import { describeExit, type ProcessExit, type Program } from "./process.ts";
import { whenReady } from "./readiness.ts";
import { Registration } from "./registration.ts";
import { sidecarProgram } from "./sidecar-program.ts";
import { Supervised, type SupervisedOptions } from "./supervised.ts";

export interface InstanceOptions {
  readonly definition: InstanceDefinition;
  readonly ports: InstancePorts;
  readonly addresses: Pick<MeshAddresses, "xds">;
  readonly sidecar: SidecarSettings;
  readonly host: Host;
  /** How the program's streams are treated; default "lines". */
  readonly stdio?: Program["stdio"];
  /** Start the program again when it ended; default true. */
  readonly restart?: boolean;
  /** It takes traffic, and the control plane knows it; called at least once each time. */
  onReady(): void;
  /** The program ended; called each time. */
  onProgramExit?(exit: ProcessExit): void;
}

type PartState = "not started" | "starting" | "ready" | "ended";

export class Instance {
  readonly definition: InstanceDefinition;
  readonly ports: InstancePorts;
  readonly #options: InstanceOptions;
  readonly #sidecar: Supervised;
  readonly #program: Supervised;
  readonly #registration: Registration;
  #sidecarState: PartState = "not started";
  #programState: PartState = "not started";
  #sidecarProbe: Timer | undefined;
  #programProbe: Timer | undefined;
  #lastExit = "";
  /** What the control plane was last told and has accepted. */
  #registered: EndpointHealth = "unhealthy";

  constructor(options: InstanceOptions) {
    const { definition, ports, host } = options;
    this.#options = options;
    this.definition = definition;
    this.ports = ports;
    this.#registration = new Registration({
      namespace: definition.namespace,
      name: this.name,
      client: host.client,
      clock: host.clock,
      onRefused: (reason) => host.log.notice(this.name, `is refused by the control plane: ${reason}`),
      onAccepted: ({ health }) => {
        this.#registered = health;
        if (this.ready) options.onReady();
      },
    });
    const proxy = `${this.name}/proxy`;
    const config = sidecarConfig(definition, ports, options.addresses, options.sidecar);
    this.#sidecar = this.#supervise(proxy, (wanted) => sidecarProgram(host, proxy, config, wanted), true, {
      start: () => this.#sidecarStarted(),
      exit: () => this.#sidecarEnded(),
    });
    this.#program = this.#supervise(this.name, this.#serviceProgram(), options.restart ?? true, {
      start: () => this.#programStarted(),
      exit: (exit) => this.#programEnded(exit),
    });
  }

  get name(): string {
    return this.definition.instance.name;
  }

  get ready(): boolean {
    return this.#healthy && this.#registered === "healthy";
  }

  /** What keeps it from being ready, in words; "" if nothing does. */
  get waitingFor(): string {
    if (this.ready) return "";
    // Only the control plane can keep a sidecar from being started: its token is missing.
    if (this.#sidecarState === "not started") return "the control plane does not answer";
    if (this.#sidecarState !== "ready") return "its sidecar is not ready";
    if (this.#healthy) return "the control plane does not answer";
    if (this.#programState === "ended") return `its program ${this.#lastExit}`;
    const first = this.ports.ports[0];
    if (first === undefined) return "its program has not started";
    const address = formatAddress({ host: LOOPBACK, port: first.app });
    const { ready } = this.definition.service;
    if (ready !== "") return `GET http://${address}${ready} does not answer 2xx`;
    return `nothing listens on ${address} (the variable ${first.definition.env} tells it to)`;
  }

  start(): void {
    this.#changed();
    this.#sidecar.start();
  }

  /** Says again what the control plane should know. */
  renew(): void {
    this.#registration.renew();
  }

  /** No new traffic: takes it out of the mesh. */
  async deregister(): Promise<void> {
    await this.#registration.remove();
  }

  /** Lets the sidecar finish what is running, and ends it. */
  async stopSidecar(graceMs: number): Promise<void> {
    this.#sidecarProbe?.cancel();
    await this.#sidecar.stop(graceMs);
  }

  async stopProgram(graceMs: number): Promise<void> {
    this.#programProbe?.cancel();
    await this.#program.stop(graceMs);
  }

  kill(): void {
    this.#sidecar.kill();
    this.#program.kill();
  }

  get programRunning(): boolean {
    return this.#program.running;
  }

  signalProgram(signal: NodeJS.Signals): void {
    this.#program.signal(signal);
  }

  get #healthy(): boolean {
    return this.#sidecarState === "ready" && this.#programState === "ready";
  }

  #supervise(
    name: string,
    program: SupervisedOptions["program"],
    restart: boolean,
    events: { start(): void; exit(exit: ProcessExit): void },
  ): Supervised {
    const { host } = this.#options;
    return new Supervised({
      name,
      program,
      spawner: host.spawner,
      clock: host.clock,
      restart,
      onLine: (line) => host.log.line(name, line),
      onNotice: (line) => host.log.notice(name, line),
      onStart: () => events.start(),
      onExit: (exit) => events.exit(exit),
    });
  }

  #serviceProgram(): Program {
    const { definition, ports, host, stdio = "lines" } = this.#options;
    const program: Program = {
      command: definition.service.command,
      directory: definition.service.directory,
      env: { ...host.env, ...serviceEnvironment(definition, ports) },
      stdio,
    };
    return host.inside?.(program) ?? program;
  }

  #sidecarStarted(): void {
    this.#sidecarState = "starting";
    const admin = { host: LOOPBACK, port: this.ports.admin };
    const { clock, probe } = this.#options.host;
    this.#sidecarProbe = whenReady(
      clock,
      () => probe.answers(admin, "/ready"),
      () => {
        this.#sidecarState = "ready";
        this.#program.start();
        this.#changed();
      },
    );
  }

  #sidecarEnded(): void {
    this.#sidecarState = "ended";
    this.#sidecarProbe?.cancel();
    this.#changed();
  }

  #programStarted(): void {
    this.#programState = "starting";
    const { ready } = this.definition.service;
    const { clock, probe } = this.#options.host;
    const ask = async (): Promise<boolean> => {
      for (const [index, { app }] of this.ports.ports.entries()) {
        const address = { host: LOOPBACK, port: app };
        const yes = index === 0 && ready !== "" ? await probe.answers(address, ready) : await probe.accepts(address);
        if (!yes) return false;
      }
      return true;
    };
    this.#programProbe = whenReady(clock, ask, () => {
      this.#programState = "ready";
      this.#changed();
    });
  }

  #programEnded(exit: ProcessExit): void {
    this.#programState = "ended";
    this.#lastExit = describeExit(exit);
    this.#programProbe?.cancel();
    this.#changed();
    this.#options.onProgramExit?.(exit);
  }

  #changed(): void {
    const health = this.#healthy ? "healthy" : "unhealthy";
    if (health === "unhealthy") this.#registered = health;
    this.#registration.set(registrationOf(this.definition, this.ports, health));
  }
}
