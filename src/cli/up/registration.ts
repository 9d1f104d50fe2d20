/**
 * Keeps what the control plane knows about one workload equal to what we know: at once when it changes, every five seconds
 * to renew the lease, and, while the control plane does not answer, again and again until it does.
 */
import type { Clock, Timer } from "../../net/clock.ts";
import type { ControlClient, WorkloadRegistration } from "../control-client.ts";

export const LEASE_SECONDS = 15;
export const RENEW_EVERY_MS = 5_000;
/** A lost control plane is asked this often. */
export const RETRY_EVERY_MS = 200;

export type RegistrationClient = Pick<ControlClient, "register" | "deregister">;

export interface RegistrationOptions {
  readonly namespace: string;
  readonly name: string;
  readonly client: RegistrationClient;
  readonly clock: Clock;
  /** The control plane refused it: said once per reason. */
  onRefused(reason: string): void;
  /** The control plane knows this now: each time when it was told. */
  onAccepted?(registration: WorkloadRegistration): void;
}

export class Registration {
  readonly #options: RegistrationOptions;
  #wanted: WorkloadRegistration | undefined;
  #timer: Timer | undefined;
  /** What is on its way; changes made meanwhile follow after it. */
  #sending: Promise<void> | undefined;
  #changed = false;
  #removed = false;
  #refusal = "";

  constructor(options: RegistrationOptions) {
    this.#options = options;
  }

  /** From now on the control plane should know this. */
  set(registration: WorkloadRegistration): void {
    this.#wanted = registration;
    this.renew();
  }

  /** Says it again now: the control plane was started anew. */
  renew(): void {
    if (this.#removed || this.#wanted === undefined) return;
    this.#timer?.cancel();
    if (this.#sending === undefined) this.#sending = this.#send();
    else this.#changed = true;
  }

  /** Takes the workload out of the mesh; tried once, since the lease ends by itself. Nothing is sent afterwards. */
  async remove(): Promise<void> {
    if (this.#removed) return;
    this.#removed = true;
    this.#timer?.cancel();
    await this.#sending;
    if (this.#wanted === undefined) return;
    const { client, namespace, name } = this.#options;
    await client.deregister(namespace, name).catch(() => undefined);
  }

  async #send(): Promise<void> {
    const { client, clock, namespace, name } = this.#options;
    let again = RENEW_EVERY_MS;
    do {
      this.#changed = false;
      const wanted = this.#wanted;
      if (wanted === undefined) break;
      try {
        await client.register(namespace, name, wanted);
        this.#refusal = "";
        again = RENEW_EVERY_MS;
        this.#options.onAccepted?.(wanted);
      } catch (error) {
        again = RETRY_EVERY_MS;
        const status = (error as { status?: number }).status;
        const reason = (error as Error).message;
        if (status !== undefined && reason !== this.#refusal) this.#options.onRefused(reason);
        if (status !== undefined) this.#refusal = reason;
      }
    } while (this.#changed && !this.#removed);
    this.#sending = undefined;
    if (!this.#removed) this.#timer = clock.after(again, () => this.renew());
  }
}
