import type { Clock, Timer } from "./clock.ts";

/** A clock for tests: time stands still until `advance`. */
export class VirtualClock implements Clock {
  #now = 0;
  #timers: { due: number; callback: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  after(delayMs: number, callback: () => void): Timer {
    const timer = { due: this.#now + Math.max(0, delayMs), callback };
    this.#timers.push(timer);
    return { cancel: () => (this.#timers = this.#timers.filter((other) => other !== timer)) };
  }

  /** Timers that have not fired and were not cancelled: a leak test looks here. */
  get pending(): number {
    return this.#timers.length;
  }

  /** Moves time on and fires, in order, every timer that falls due on the way, also those set by earlier ones. */
  advance(byMs: number): void {
    const until = this.#now + byMs;
    for (;;) {
      const next = this.#timers.filter((timer) => timer.due <= until).sort((a, b) => a.due - b.due)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#now = Math.max(this.#now, next.due);
      next.callback();
    }
    this.#now = until;
  }
}
