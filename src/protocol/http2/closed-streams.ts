/**
 * How the streams closed last came to their end. Frames may still arrive on them: on one that we reset they were in flight
 * and mean nothing; on one that the peer itself ended they are an error (RFC 9113 §5.1).
 */

/** Streams remembered. Of older ones the end is unknown, and the peer is given the benefit of the doubt. */
export const CLOSED_STREAMS_MAX = 256;

export type StreamEnd = "unknown" | "ended by the peer" | "reset by us";

export class ClosedStreams {
  /** A ring of ids, negative where we ended the stream. It grows with use: idle connections are many. */
  readonly #ends: number[] = [];
  #count = 0;

  /** @param endedByPeer the peer has sent END_STREAM or RST_STREAM on it */
  add(streamId: number, endedByPeer: boolean): void {
    this.#ends[this.#count++ % CLOSED_STREAMS_MAX] = endedByPeer ? streamId : -streamId;
  }

  /** Streams that were closed so far. */
  get count(): number {
    return this.#count;
  }

  /** True once streams have been forgotten. */
  get incomplete(): boolean {
    return this.#count > CLOSED_STREAMS_MAX;
  }

  endOf(streamId: number): StreamEnd {
    if (this.#ends.includes(streamId)) return "ended by the peer";
    return this.#ends.includes(-streamId) ? "reset by us" : "unknown";
  }
}
