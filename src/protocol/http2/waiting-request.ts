/**
 * A request that has no stream yet: an upgrade on a connection whose server has not said whether it takes them, since
 * extended CONNECT may only be used after SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441 §3); or one that is about to be
 * refused.
 */
import type { ClientStream, HeaderList, RequestHead, ResetCause, ResponseReceiver } from "../exchange.ts";

export class WaitingRequest implements ClientStream {
  readonly head: RequestHead;
  readonly receiver: ResponseReceiver;
  readonly #forget: (waiting: WaitingRequest) => void;
  #stream: ClientStream | undefined;
  #paused = false;

  /** @param forget it was given up before it had begun */
  constructor(head: RequestHead, receiver: ResponseReceiver, forget: (waiting: WaitingRequest) => void) {
    this.head = head;
    this.receiver = receiver;
    this.#forget = forget;
  }

  begin(stream: ClientStream): void {
    this.#stream = stream;
    if (this.#paused) stream.pause();
  }

  /** Nothing is sent before the grant (rule 6), so there is a stream by then. */
  sendData(chunk: Uint8Array, end: boolean): boolean {
    return this.#stream?.sendData(chunk, end) ?? true;
  }

  sendTrailers(trailers: HeaderList): void {
    this.#stream?.sendTrailers(trailers);
  }

  reset(cause: ResetCause): void {
    if (this.#stream === undefined) this.#forget(this);
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
}
