/**
 * When is a peer that owes us something given up?
 *
 * Silence alone is no fault: a gRPC stream may say nothing for hours, and a peer that has vanished is found out by TCP's
 * keep-alive. Something is owed only where we hold octets that the peer has asked for and does not take, or where it has
 * announced content and does not send it while we would read. What is owed must come at least so fast that a peer cannot
 * tie things up with single octets.
 *
 * Five minutes are Envoy's `stream_idle_timeout`, which also cuts streams that owe nothing. nginx waits 60 s between two
 * reads or writes (`client_body_timeout`, `send_timeout`); that is too short for readers in a mesh which work on each
 * message, and memory is bounded without it.
 */

/** Milliseconds between two looks. */
export const LOOK_MS = 60_000;

/** Octets that must move between two looks while some are owed. */
export const OWED_BYTES_MIN = 1_024;

/** Looks in a row without that, after which a peer is given up: 5 minutes. */
export const STANDSTILLS_MAX = 5;

/** Counts the looks at one thing in a row at which it stood still. */
export class Standstill {
  #moved = -1;
  #looks = 0;

  /**
   * @param moved octets that have moved so far, or -1 while none are owed
   * @returns true if the peer is to be given up
   */
  look(moved: number): boolean {
    const stands = this.#moved >= 0 && moved >= 0 && moved - this.#moved < OWED_BYTES_MIN;
    this.#looks = stands ? this.#looks + 1 : 0;
    this.#moved = moved;
    return this.#looks >= STANDSTILLS_MAX;
  }
}
