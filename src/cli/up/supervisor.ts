/** Runs a whole mesh on this machine: the control plane, the keyboard's sidecar, and every instance of the mesh file. */
import type { MeshFile } from "../../dialects/mesh/mesh-file.ts";
import type { Timer } from "../../net/clock.ts";
import type { LogLevel } from "../../telemetry/log.ts";
import { API_TOKEN_VARIABLE } from "../io.ts";
import { formatAddress } from "../values.ts";
import { heddleProgram, type Host } from "./host.ts";
import { Instance } from "./instance.ts";
import { KeyboardSidecar } from "./keyboard.ts";
import {
  allocatePorts,
  KEYBOARD,
  releasePorts,
  type InstanceDefinition,
  type InstancePorts,
  type MeshAddresses,
} from "./plan.ts";
import { PortAllocator } from "./ports.ts";
import { whenReady } from "./readiness.ts";
import type { TransparentNetwork } from "./transparent/network.ts";
import { Supervised } from "./supervised.ts";

/** How long each step of an orderly end may take before what is left is killed; ten seconds together. */
export const DEREGISTER_GRACE_MS = 1_000;
export const SIDECAR_GRACE_MS = 4_000;
export const PROGRAM_GRACE_MS = 3_000;
export const CONTROL_GRACE_MS = 2_000;

/** So long the sidecars wait for the control plane before they start without it. */
export const CONTROL_HEAD_START_MS = 3_000;

export interface SupervisorOptions {
  readonly mesh: MeshFile;
  readonly addresses: MeshAddresses;
  readonly basePort: number;
  /** Where the control plane keeps registrations. */
  readonly stateDirectory: string;
  readonly logLevel: LogLevel;
  /** How long a certificate of a sidecar is good for, as `heddle control --identity-lifetime` takes it: "24h". */
  readonly identityLifetime: string;
  /** What changes of the mesh are to demand; undefined: the control plane makes a token, another at each start. */
  readonly apiToken: string | undefined;
  readonly host: Host;
  /** Every instance gets a network namespace of its own in it; undefined: all are on this machine's loopback interface. */
  readonly network?: TransparentNetwork | undefined;
}

export class MeshSupervisor {
  readonly #options: SupervisorOptions;
  readonly #allocator: PortAllocator;
  readonly #control: Supervised;
  #keyboard: KeyboardSidecar;
  readonly #instances = new Map<string, Instance>();
  readonly #allReady = Promise.withResolvers<void>();
  readonly #controlReady = Promise.withResolvers<void>();
  #controlProbe: Timer | undefined;
  /** Changes of the mesh file, one after the other. */
  #changes: Promise<void> = Promise.resolve();
  #started = false;
  #ending = false;

  constructor(options: SupervisorOptions) {
    const { addresses, host, mesh } = options;
    this.#options = options;
    this.#allocator = new PortAllocator(options.basePort);
    for (const { port } of Object.values(addresses)) this.#allocator.reserve(port);
    const words = ["control", "--api", formatAddress(addresses.api), "--xds", formatAddress(addresses.xds)];
    words.push(
      "-f",
      mesh.file,
      "--identity-trust-domain",
      mesh.policy.trustDomain,
      "--state-dir",
      options.stateDirectory,
      "--identity-lifetime",
      options.identityLifetime,
      "--log-level",
      options.logLevel,
    );
    const program = heddleProgram(host, words);
    this.#control = new Supervised({
      name: "control",
      // It alone: no service inherits the token.
      program: { ...program, env: { ...program.env, [API_TOKEN_VARIABLE]: options.apiToken } },
      spawner: host.spawner,
      clock: host.clock,
      onLine: (line) => host.log.line("control", line),
      onNotice: (line) => host.log.notice("control", line),
      onStart: () => this.#controlStarted(),
      onExit: () => this.#controlProbe?.cancel(),
    });
    this.#keyboard = this.#newKeyboard(mesh.namespace);
  }

  /** Settles when everything of the first mesh file takes traffic. */
  get allReady(): Promise<void> {
    return this.#allReady.promise;
  }

  /** What is not ready yet, and why: "price-2: nothing listens on …". */
  get waitingFor(): string[] {
    const reasons = this.#keyboard.ready ? [] : [`${KEYBOARD}: its sidecar is not ready`];
    for (const instance of this.#instances.values()) {
      if (!instance.ready) reasons.push(`${instance.name}: ${instance.waitingFor}`);
    }
    return reasons;
  }

  /** @throws Failure if there are not enough free ports */
  async start(): Promise<void> {
    this.#control.start();
    // Sidecars that start first would only complain that there is nobody to ask.
    await this.#atMost(CONTROL_HEAD_START_MS, this.#controlReady.promise);
    if (this.#ending) return;
    this.#keyboard.start();
    await this.apply(this.#options.mesh);
    this.#started = true;
    this.#checkReady();
  }

  /** Starts what is new, stops what is gone, restarts what changed, and leaves the rest alone. */
  async apply(mesh: MeshFile): Promise<void> {
    const change = this.#changes.then(() => this.#apply(mesh));
    this.#changes = change.catch(() => undefined);
    await change;
  }

  /** Ends everything in good order: deregister, drain the sidecars, end the programs, end the control plane. */
  async stop(): Promise<void> {
    this.#ending = true;
    this.#controlReady.resolve();
    this.#controlProbe?.cancel();
    const instances = [...this.#instances.values()];
    const parts = [this.#keyboard, ...instances];
    await this.#atMost(DEREGISTER_GRACE_MS, Promise.all(parts.map((part) => part.deregister())));
    await Promise.all([
      this.#keyboard.stop(SIDECAR_GRACE_MS),
      ...instances.map((instance) => instance.stopSidecar(SIDECAR_GRACE_MS)),
    ]);
    await Promise.all(instances.map((instance) => instance.stopProgram(PROGRAM_GRACE_MS)));
    await this.#control.stop(CONTROL_GRACE_MS);
  }

  /** Ends everything at once; after `stop`. */
  kill(): void {
    for (const part of [this.#keyboard, this.#control, ...this.#instances.values()]) part.kill();
  }

  async #apply(mesh: MeshFile): Promise<void> {
    if (this.#ending) return;
    const wanted = new Map(definitionsOf(mesh).map((definition) => [definition.instance.name, definition]));
    const gone = [...this.#instances.values()].filter(
      (instance) => !same(instance.definition, wanted.get(instance.name)),
    );
    await Promise.all(gone.map((instance) => this.#retire(instance)));
    if (mesh.namespace !== this.#keyboard.namespace) await this.#moveKeyboard(mesh.namespace);
    await this.#options.network?.setServices(mesh);
    for (const [name, definition] of wanted) {
      if (this.#instances.has(name)) continue;
      const { ports, host } = await this.#settle(definition);
      if (this.#ending) return;
      const instance = new Instance({
        definition,
        ports,
        addresses: this.#options.addresses,
        sidecar: this.#sidecarSettings(),
        host,
        onReady: () => this.#checkReady(),
      });
      this.#instances.set(name, instance);
      instance.start();
    }
  }

  /** Finds an instance its place. */
  async #settle(definition: InstanceDefinition): Promise<{ ports: InstancePorts; host: Host }> {
    const { host, network } = this.#options;
    if (network === undefined) return { ports: await allocatePorts(definition, this.#allocator), host };
    const { instance, service, namespace } = definition;
    const own = service.ports.map(({ port }) => port);
    for (const port of own) this.#allocator.reserve(port);
    const captured = await network.place(instance.name, service.name, namespace, own);
    try {
      const ports = { ...(await allocatePorts(definition, this.#allocator, own)), captured };
      return { ports, host: await network.hostOf(instance.name, host, ports.admin) };
    } catch (error) {
      network.leave(instance.name);
      throw error;
    }
  }

  async #retire(instance: Instance): Promise<void> {
    this.#options.host.log.notice(instance.name, "is stopped: the mesh file changed");
    await this.#atMost(DEREGISTER_GRACE_MS, instance.deregister());
    await instance.stopSidecar(SIDECAR_GRACE_MS);
    await instance.stopProgram(PROGRAM_GRACE_MS);
    releasePorts(instance.ports, this.#allocator);
    this.#options.network?.leave(instance.name);
    if (!this.#ending) this.#instances.delete(instance.name);
  }

  async #moveKeyboard(namespace: string): Promise<void> {
    await this.#atMost(DEREGISTER_GRACE_MS, this.#keyboard.deregister());
    await this.#keyboard.stop(SIDECAR_GRACE_MS);
    if (this.#ending) return;
    this.#keyboard = this.#newKeyboard(namespace);
    this.#keyboard.start();
  }

  #newKeyboard(namespace: string): KeyboardSidecar {
    const { host, network } = this.#options;
    return new KeyboardSidecar({
      namespace,
      addresses: this.#options.addresses,
      sidecar: this.#sidecarSettings(),
      host: network?.keyboardHost(host) ?? host,
      onReady: () => this.#checkReady(),
    });
  }

  #sidecarSettings(): { logLevel: LogLevel; shutdownGraceMs: number } {
    return { logLevel: this.#options.logLevel, shutdownGraceMs: SIDECAR_GRACE_MS };
  }

  #controlStarted(): void {
    const { clock, client } = this.#options.host;
    this.#controlProbe = whenReady(
      clock,
      () => client.ready(),
      () => {
        this.#controlReady.resolve();
        for (const part of [this.#keyboard, ...this.#instances.values()]) part.renew();
      },
    );
  }

  #checkReady(): void {
    if (this.#started && this.waitingFor.length === 0) this.#allReady.resolve();
  }

  async #atMost(limitMs: number, work: Promise<unknown>): Promise<void> {
    const limit = Promise.withResolvers<void>();
    const timer = this.#options.host.clock.after(limitMs, () => limit.resolve());
    await Promise.race([work, limit.promise]);
    timer.cancel();
  }
}

function definitionsOf(mesh: MeshFile): InstanceDefinition[] {
  return mesh.services.flatMap(({ instances, ...service }) =>
    instances.map((instance) => ({ namespace: mesh.namespace, service, instance })),
  );
}

function same(a: InstanceDefinition, b: InstanceDefinition | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
