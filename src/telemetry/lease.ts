/**
 * How label sets come to an end. Endpoints come and go, and their series would fill a family within weeks. Whoever uses
 * label sets for a while does so under a lease; those that only ended leases have used are stale after a while, long
 * enough for every scraper to have seen their last value.
 */

/** Milliseconds after its last lease that a series is kept. Linkerd: 10 minutes. */
export const SERIES_IDLE_MS = 600_000;

/** What a lease holds. */
export interface Leased {
  /** Leases that have not ended; Infinity for what never ends. */
  holders: number;
  /** When the last one ended, in the registry's milliseconds. */
  abandonedAt: number;
}

export class Lease {
  readonly #now: () => number;
  readonly #held = new Set<Leased>();
  #over = false;

  /** @internal Use `MetricsRegistry.lease`. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** @internal Called by the family. After the end it only makes the series young again. */
  hold(leased: Leased): void {
    if (this.#over) {
      leased.abandonedAt = this.#now();
    } else if (!this.#held.has(leased)) {
      this.#held.add(leased);
      leased.holders++;
    }
  }

  /** Idempotent. */
  end(): void {
    this.#over = true;
    for (const leased of this.#held) {
      leased.holders--;
      leased.abandonedAt = this.#now();
    }
    this.#held.clear();
  }
}
