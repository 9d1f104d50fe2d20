/**
 * Load at a given rate, whatever the answers do (open loop): a slow mesh gets as much as a fast one, so its slowness shows.
 */
import type { Clock, Timer } from "../../net/clock.ts";

/** Requests that may be under way; while there are so many, due ones count as failures and are not sent. */
export const IN_FLIGHT_MAX = 500;

export interface LoadOptions {
  readonly perSecond: number;
  readonly clock: Clock;
  /** From 0 to 1, without 1: varies the pauses by a half in both directions. */
  random(): number;
  /** Sends one request. @returns whether it succeeded; a rejection counts as a failure */
  send(): Promise<boolean>;
}

export class Load {
  requests = 0;
  failures = 0;
  inFlight = 0;
  readonly #options: LoadOptions;
  #timer: Timer | undefined;
  #due = 0;
  #idle: PromiseWithResolvers<void> | undefined;

  constructor(options: LoadOptions) {
    this.#options = options;
  }

  start(): void {
    this.#due = this.#options.clock.now();
    this.#next();
  }

  /** No more requests. @returns when the last answer is there */
  async stop(): Promise<void> {
    this.#timer?.cancel();
    if (this.inFlight === 0) return;
    this.#idle ??= Promise.withResolvers();
    await this.#idle.promise;
  }

  #next(): void {
    const { clock, perSecond } = this.#options;
    const mean = 1_000 / perSecond;
    // From due time to due time, not from now: a late timer does not lower the rate.
    this.#due += mean * (0.5 + this.#options.random());
    this.#timer = clock.after(Math.max(0, this.#due - clock.now()), () => {
      void this.#send();
      this.#next();
    });
  }

  async #send(): Promise<void> {
    this.requests++;
    if (this.inFlight >= IN_FLIGHT_MAX) {
      this.failures++;
      return;
    }
    this.inFlight++;
    const succeeded = await this.#options.send().catch(() => false);
    if (!succeeded) this.failures++;
    this.inFlight--;
    if (this.inFlight === 0) this.#idle?.resolve();
  }
}
