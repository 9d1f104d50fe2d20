/** A request that waits for something to be known: a service, a token's keys, somebody's consent. */
import type { ClientStream, HeaderList, ResetCause, ResponseHead, ResponseReceiver } from "../protocol/exchange.ts";

/** Bytes of a request body taken in while the request is held, before the caller is told to wait. */
export const HELD_BYTES_MAX = 64 * 1024;

/** Holds what is sent until there is a stream for it, then gets out of the way. */
export class HeldRequest implements ClientStream {
  /** Called if the caller gives up before. */
  onGiveUp: (() => void) | undefined;
  readonly #receiver: ResponseReceiver;
  #stream: ClientStream | undefined;
  #over = false;
  #held: { chunk: Buffer; end: boolean }[] = [];
  #heldBytes = 0;
  #trailers: HeaderList | undefined;
  #paused = false;

  constructor(receiver: ResponseReceiver) {
    this.#receiver = receiver;
  }

  /** Nobody waits for it any more. */
  get over(): boolean {
    return this.#over;
  }

  sendData(chunk: Uint8Array, end: boolean): boolean {
    if (this.#over) return true;
    if (this.#stream !== undefined) return this.#stream.sendData(chunk, end);
    this.#held.push({ chunk: Buffer.from(chunk), end });
    this.#heldBytes += chunk.length;
    return this.#heldBytes < HELD_BYTES_MAX;
  }

  sendTrailers(trailers: HeaderList): void {
    if (this.#over) return;
    if (this.#stream === undefined) this.#trailers = trailers;
    else this.#stream.sendTrailers(trailers);
  }

  reset(cause: ResetCause): void {
    if (this.#over) return;
    this.#over = true;
    this.#held = [];
    if (this.#stream === undefined) this.onGiveUp?.();
    else this.#stream.reset(cause);
  }

  pause(): void {
    this.#paused = true;
    this.#stream?.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#stream?.resume();
  }

  /** Sends on what was held, and all that follows. Not from inside `open`, and only while it is not over. */
  begin(stream: ClientStream): void {
    this.#stream = stream;
    if (this.#paused) stream.pause();
    let writable = true;
    const wasHeld = this.#heldBytes >= HELD_BYTES_MAX;
    for (const { chunk, end } of this.#held) writable = stream.sendData(chunk, end);
    this.#held = [];
    if (this.#trailers !== undefined) stream.sendTrailers(this.#trailers);
    if (wasHeld && writable) this.#receiver.onWritable();
  }

  /** It is answered by somebody else than who it was for. As {@link begin}. */
  answer(head: ResponseHead, body: Buffer): void {
    this.#over = true;
    this.#held = [];
    this.#receiver.onHead(head, body.length === 0);
    if (body.length > 0) this.#receiver.onData(body, true);
  }

  /** Nothing comes of it. As {@link begin}. */
  fail(cause: ResetCause): void {
    this.#over = true;
    this.#held = [];
    this.#receiver.onReset(cause);
  }
}
