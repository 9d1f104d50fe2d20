/**
 * Peak-EWMA: an estimate of an endpoint's round-trip time that believes bad news at once and good news slowly.
 *
 * A sample above the decayed estimate replaces it; one below is blended in with weight 1 − e^(−Δt/decay). Unfed, the
 * estimate decays towards 0, so an endpoint that was slow gets tried again. As Linkerd (tower's PeakEwma) and Finagle do.
 */

/** What an endpoint nobody has measured is taken to need, in milliseconds. Linkerd's BALANCER_DEFAULT_RTT. */
export const DEFAULT_RTT_MS = 30;

/** Time constant of the decay in milliseconds. Linkerd's BALANCER_RTT_DECAY. */
export const RTT_DECAY_MS = 10_000;

export class PeakEwma {
  #valueMs: number;
  #updatedAt: number;

  /** @param now monotonic milliseconds */
  constructor(now: number, initialMs = DEFAULT_RTT_MS) {
    this.#valueMs = initialMs;
    this.#updatedAt = now;
  }

  /** The decayed estimate in milliseconds. */
  read(now: number): number {
    return this.#valueMs * Math.exp(-(now - this.#updatedAt) / RTT_DECAY_MS);
  }

  /** Takes one measured round trip in milliseconds. */
  observe(now: number, rttMs: number): void {
    const weight = Math.exp(-(now - this.#updatedAt) / RTT_DECAY_MS);
    const decayed = this.#valueMs * weight;
    this.#valueMs = rttMs > decayed ? rttMs : decayed + rttMs * (1 - weight);
    this.#updatedAt = now;
  }
}
