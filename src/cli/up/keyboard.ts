/** The sidecar of the person at the keyboard: outbound only, so that curl can call every service of the mesh. */
import type { Timer } from "../../net/clock.ts";
import type { Host } from "./host.ts";
import { KEYBOARD, keyboardConfig, keyboardRegistration, type MeshAddresses, type SidecarSettings } from "./plan.ts";
import { whenReady } from "./readiness.ts";
import { Registration } from "./registration.ts";
import { sidecarProgram } from "./sidecar-program.ts";
import { Supervised } from "./supervised.ts";

export interface KeyboardOptions {
  /** Where a service named without its namespace is looked for. */
  readonly namespace: string;
  readonly addresses: MeshAddresses;
  readonly sidecar: SidecarSettings;
  readonly host: Host;
  onReady(): void;
}

export class KeyboardSidecar {
  readonly namespace: string;
  ready = false;
  readonly #options: KeyboardOptions;
  readonly #registration: Registration;
  readonly #sidecar: Supervised;
  #probe: Timer | undefined;

  constructor(options: KeyboardOptions) {
    const { namespace, addresses, sidecar, host } = options;
    this.namespace = namespace;
    this.#options = options;
    const name = `${KEYBOARD}/proxy`;
    this.#registration = new Registration({
      namespace,
      name: KEYBOARD,
      client: host.client,
      clock: host.clock,
      onRefused: (reason) => host.log.notice(name, `is refused by the control plane: ${reason}`),
    });
    this.#sidecar = new Supervised({
      name,
      program: (wanted) => sidecarProgram(host, name, keyboardConfig(namespace, addresses, sidecar), wanted),
      spawner: host.spawner,
      clock: host.clock,
      onLine: (line) => host.log.line(name, line),
      onNotice: (line) => host.log.notice(name, line),
      onStart: () => this.#started(),
      onExit: () => this.#ended(),
    });
  }

  start(): void {
    this.#changed(false);
    this.#sidecar.start();
  }

  renew(): void {
    this.#registration.renew();
  }

  async deregister(): Promise<void> {
    await this.#registration.remove();
  }

  async stop(graceMs: number): Promise<void> {
    this.#probe?.cancel();
    await this.#sidecar.stop(graceMs);
  }

  kill(): void {
    this.#sidecar.kill();
  }

  #started(): void {
    const { host, addresses } = this.#options;
    this.#probe = whenReady(
      host.clock,
      () => host.probe.answers(addresses.admin, "/ready"),
      () => {
        this.#changed(true);
        this.#options.onReady();
      },
    );
  }

  #ended(): void {
    this.#probe?.cancel();
    this.#changed(false);
  }

  #changed(ready: boolean): void {
    this.ready = ready;
    this.#registration.set(keyboardRegistration(this.#options.addresses, ready ? "healthy" : "unhealthy"));
  }
}
