/**
 * A header block that comes in more than one frame (RFC 9113 §6.10), gathered until it is whole. Both its size and the
 * number of its frames are bounded: endless CONTINUATION frames have brought many servers down.
 */

/** CONTINUATION frames that one block may have: the largest block that is allowed fits in a few full ones. */
export const CONTINUATIONS_MAX = 32;

/**
 * A block may be this many times as large as the header list that is allowed, so that a list that is too large, but not
 * absurd, is decoded and gets an answer; what is larger ends the connection.
 */
export const BLOCK_FACTOR = 2;

export class HeaderBlock {
  readonly #maxBytes: number;
  #pieces: Buffer[] = [];
  #bytes = 0;

  /** A block has begun and is not whole. */
  open = false;
  /** Blocks begun so far. */
  begun = 0;
  streamId = 0;
  endStream = false;
  /** The stream that the priority part named, or -1. */
  dependsOn = -1;

  constructor(headBytes: number) {
    this.#maxBytes = headBytes * BLOCK_FACTOR;
  }

  /** Takes what came in the HEADERS frame. */
  begin(streamId: number, endStream: boolean, dependsOn: number, bytes: Buffer, start: number, end: number): void {
    this.open = true;
    this.begun++;
    this.streamId = streamId;
    this.endStream = endStream;
    this.dependsOn = dependsOn;
    this.#pieces = [Buffer.from(bytes.subarray(start, end))];
    this.#bytes = end - start;
  }

  /** Takes what came in a CONTINUATION frame. @returns false if that is too much */
  add(bytes: Buffer, start: number, end: number): boolean {
    this.#bytes += end - start;
    if (this.#bytes > this.#maxBytes || this.#pieces.length > CONTINUATIONS_MAX) return false;
    this.#pieces.push(Buffer.from(bytes.subarray(start, end)));
    return true;
  }

  /** The whole block. */
  take(): Buffer {
    const whole = Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.open = false;
    return whole;
  }
}
