/**
 * What all HTTP/2 connections of this process hold for peers that do not open their windows.
 *
 * Each stream holds at most what its source had in flight, but there may be a thousand of them on each of thousands of
 * connections. So there is one bound for all. Beyond it the connection that makes us hold the most loses the stream that
 * holds the most, and the next, until there is room: whoever holds little is not touched. Envoy sheds load by the same rule.
 * Workers (`--workers`) are threads with a bound for each.
 */

/** Octets held for all peers together. A slow peer with a thousand streams of 64 KiB each takes half of it. */
export const HELD_PROCESS_BYTES_MAX = 128 * 1024 * 1024;

/** A connection that may hold something. */
export interface Holder {
  /** Octets of memory that it holds. */
  readonly heldBytes: number;
  /** Gives up the stream that holds the most, so that `heldBytes` becomes less. */
  shedLargest(): void;
}

export class HeldBytes {
  /** Octets held by all. */
  total = 0;
  readonly #max: number;
  readonly #holders = new Set<Holder>();

  constructor(max: number) {
    this.#max = max;
  }

  /** A holder has taken so many octets more. Streams may be given up during the call, also the one that took them. */
  added(holder: Holder, octets: number): void {
    this.total += octets;
    this.#holders.add(holder);
    while (this.total > this.#max) {
      const before = this.total;
      this.#greediest()?.shedLargest();
      if (this.total >= before) return;
    }
  }

  /** A holder has so many octets less. */
  removed(holder: Holder, octets: number): void {
    this.total -= octets;
    if (holder.heldBytes === 0) this.#holders.delete(holder);
  }

  #greediest(): Holder | undefined {
    let most: Holder | undefined;
    for (const holder of this.#holders) if (most === undefined || holder.heldBytes > most.heldBytes) most = holder;
    return most;
  }
}

/** The one of this process. */
export const processHeldBytes = new HeldBytes(HELD_PROCESS_BYTES_MAX);
