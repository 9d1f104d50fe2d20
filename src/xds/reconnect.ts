/** How long to wait before the next attempt to reach the control plane. */

export const RECONNECT_MIN_MS = 100;
export const RECONNECT_MAX_MS = 10_000;

/**
 * Doubles from one failure to the next, and draws from the upper half, so that the proxies of a restarted control plane
 * do not all come at once.
 */
export class ReconnectDelay {
  readonly #random: () => number;
  #ceiling = RECONNECT_MIN_MS;

  /** @param random uniform in 0 (inclusive) to 1 */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** Milliseconds, {@link RECONNECT_MIN_MS} to {@link RECONNECT_MAX_MS}. */
  next(): number {
    this.#ceiling = Math.min(RECONNECT_MAX_MS, this.#ceiling * 2);
    return (this.#ceiling * (1 + this.#random())) / 2;
  }

  /** The control plane has answered. */
  reset(): void {
    this.#ceiling = RECONNECT_MIN_MS;
  }
}
