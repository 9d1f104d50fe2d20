import type { Clock } from "../../net/clock.ts";

/**
 * A patience that runs out: each useless thing that a peer makes us do spends one of it, each useful one gives one back,
 * and some comes back with time. Keeps floods apart from peers that are merely busy: a thousand cancelled requests among
 * ten thousand completed ones are fine, a thousand in a row are not.
 */
export class Budget {
  readonly #capacity: number;
  readonly #perMs: number;
  readonly #clock: Clock;
  #left: number;
  #since: number;

  /** @param perSecond how much comes back with time */
  constructor(capacity: number, perSecond: number, clock: Clock) {
    this.#capacity = capacity;
    this.#perMs = perSecond / 1_000;
    this.#clock = clock;
    this.#left = capacity;
    this.#since = clock.now();
  }

  /** @returns false when nothing is left */
  spend(): boolean {
    const now = this.#clock.now();
    this.#left = Math.min(this.#capacity, this.#left + (now - this.#since) * this.#perMs) - 1;
    this.#since = now;
    return this.#left >= 0;
  }

  giveBack(): void {
    if (this.#left < this.#capacity) this.#left++;
  }
}
