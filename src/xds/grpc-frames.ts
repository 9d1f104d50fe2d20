/** Messages on a gRPC stream: a flag byte, four bytes of length, the message (gRPC over HTTP/2, "Length-Prefixed-Message"). */

/** Bytes of one message. Go's and Envoy's xDS clients take as much or more. */
export const MESSAGE_BYTES_MAX = 16 * 1024 * 1024;

const PREFIX_BYTES = 5;

/** What goes before a message, and the message. */
export function frameMessage(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(PREFIX_BYTES + message.length);
  frame[0] = 0;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, PREFIX_BYTES);
  return frame;
}

/** Finds the messages in a stream of bytes, however it is cut. */
export class MessageReader {
  readonly #onMessage: (message: Uint8Array) => void;
  readonly #prefix = Buffer.alloc(PREFIX_BYTES);
  /** The message at hand; undefined while its prefix is not whole. */
  #message: Buffer | undefined;
  /** Bytes that the prefix or the message at hand has. */
  #have = 0;

  /** @param onMessage is given each message, valid only during the call */
  constructor(onMessage: (message: Uint8Array) => void) {
    this.#onMessage = onMessage;
  }

  /**
   * @param chunk valid only during the call
   * @throws Error if the stream cannot be read any further
   */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      const target = this.#message ?? this.#prefix;
      const count = Math.min(target.length - this.#have, chunk.length - at);
      target.set(chunk.subarray(at, at + count), this.#have);
      this.#have += count;
      at += count;
      if (this.#have === PREFIX_BYTES && this.#message === undefined) this.#begin();
      if (this.#message !== undefined && this.#have === this.#message.length) this.#finish(this.#message);
    }
  }

  #begin(): void {
    if (this.#prefix[0] !== 0) throw new Error("a compressed gRPC message, which was not asked for");
    const length = this.#prefix.readUInt32BE(1);
    if (length > MESSAGE_BYTES_MAX) {
      throw new Error(`a gRPC message of ${length} bytes; at most ${MESSAGE_BYTES_MAX} are taken`);
    }
    this.#message = Buffer.allocUnsafeSlow(length);
    this.#have = 0;
  }

  #finish(message: Buffer): void {
    this.#message = undefined;
    this.#have = 0;
    this.#onMessage(message);
  }
}
