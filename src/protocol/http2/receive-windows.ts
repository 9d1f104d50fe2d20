/**
 * How large the windows are that we give to the peer's streams (RFC 9113 §5.2).
 *
 * A window that never changes is wrong on one side or the other: small, it holds a fast stream over a slow link to one
 * window per round trip; large, every reader that stops leaves that much of its stream with us. So a stream begins small,
 * and its window doubles with each credit as long as half of it is used up within a second by a reader that did not have
 * to wait for a second. It is halved where the reader waited or the stream has become slow. No PING is needed for that, as
 * in gRPC's estimate: what counts is not the round trip, but that the octets do not stay here.
 *
 * All streams of a connection share what they may have above their first window, so that a thousand readers which were fast
 * once and then all stop leave us with a known number of octets.
 */
import type { Clock } from "../../net/clock.ts";

/** Octets of one stream's window at most: 4 MiB carry 80 MB/s over a round trip of 50 ms. */
export const STREAM_WINDOW_BYTES_MAX = 4 * 1024 * 1024;

/** Octets that all streams of one connection have together above their first windows. */
export const GROWTH_BYTES_MAX = 16 * 1024 * 1024;

/**
 * Milliseconds within which half a window must be used up for it to grow, so that it holds what comes in two of these; and
 * for which its reader must not have waited.
 */
export const FAST_MS = 1_000;

/** True when a receive window has been used up so far that giving credit is worth a frame. */
export function creditIsDue(uncredited: number, windowBytes: number): boolean {
  return uncredited * 2 >= windowBytes;
}

/** A stream, as far as its window goes. */
export interface GrowingWindow {
  /** Octets: the size of the window that we give to the peer. */
  windowBytes: number;
  /** Octets that it still allows the peer to send. */
  receiveWindow: number;
  /** Octets that the reader has consumed and that were not given back. */
  uncredited: number;
  /** By the clock: when credit was given last. */
  creditedAt: number | undefined;
  /** By the clock: before it, the window does not grow. */
  growsAfter: number;
  /** The reader has paused since the last credit. */
  waited: boolean;
}

export class ReceiveWindows {
  readonly #clock: Clock;
  /** Of a stream that begins. */
  readonly #firstBytes: number;
  #grownBytes = 0;

  constructor(firstBytes: number, clock: Clock) {
    this.#firstBytes = firstBytes;
    this.#clock = clock;
  }

  /** Octets that all windows have together above their first size: at most {@link GROWTH_BYTES_MAX}. */
  get grownBytes(): number {
    return this.#grownBytes;
  }

  /**
   * Takes what the reader has consumed and makes a new window of it, larger or smaller.
   *
   * @returns octets of credit for the peer; 0 while none is due
   */
  credit(stream: GrowingWindow): number {
    const { windowBytes, uncredited } = stream;
    if (!creditIsDue(uncredited, windowBytes)) return 0;
    const change = this.#change(stream);
    // At most half of the window is taken away, and at least half of it has been consumed.
    const credit = uncredited + change;
    stream.windowBytes += change;
    stream.receiveWindow += credit;
    stream.uncredited = 0;
    this.#grownBytes += change;
    return credit;
  }

  /** The stream is over: others may grow instead. */
  release(stream: GrowingWindow): void {
    this.#grownBytes -= stream.windowBytes - this.#firstBytes;
    stream.windowBytes = this.#firstBytes;
  }

  #change(stream: GrowingWindow): number {
    const { windowBytes, creditedAt, waited } = stream;
    const now = this.#clock.now();
    stream.creditedAt = now;
    stream.waited = false;
    if (waited) stream.growsAfter = now + FAST_MS;
    const slow = creditedAt !== undefined && now - creditedAt > FAST_MS;
    if (waited || slow) return Math.max(this.#firstBytes - windowBytes, -(windowBytes >> 1));
    if (now < stream.growsAfter) return 0;
    const room = Math.min(STREAM_WINDOW_BYTES_MAX - windowBytes, GROWTH_BYTES_MAX - this.#grownBytes);
    return Math.max(0, Math.min(windowBytes, room));
  }
}
