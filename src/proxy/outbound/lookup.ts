/** A request whose service is not known yet. */
import type { ClientStream, HeaderList, ResetCause, ResponseReceiver } from "../../protocol/exchange.ts";
import { failureCause, failures } from "../failure.ts";
import type { KnownService, Resolution } from "./services.ts";

/** Bytes of a request body taken in while its service is being looked up, before the caller is told to wait. */
export const HELD_BYTES_MAX = 64 * 1024;

/** Holds a request while its service is looked up, then gets out of the way. */
export class Lookup implements ClientStream {
  readonly #receiver: ResponseReceiver;
  readonly #giveUp: () => void;
  #stream: ClientStream | undefined;
  #over = false;
  #held: { chunk: Buffer; end: boolean }[] = [];
  #heldBytes = 0;
  #trailers: HeaderList | undefined;
  #paused = false;

  /**
   * @param resolve asks what the name stands for
   * @param begin sends the request on once that is known
   */
  constructor(
    resolve: (done: (resolution: Resolution) => void) => () => void,
    begin: (service: KnownService) => ClientStream,
    authority: string,
    receiver: ResponseReceiver,
  ) {
    this.#receiver = receiver;
    const settle = (resolution: Resolution): void => {
      if (this.#over) return;
      if (resolution === "absent") {
        this.#fail(failureCause(failures.unknownService, "refused", `"${authority}" is no service of the mesh`));
      } else if (resolution === "timeout") {
        this.#fail(failureCause(failures.discoveryTimeout, "timeout", `"${authority}" could not be looked up in time`));
      } else {
        this.#begin(begin(resolution));
      }
    };
    // `resolve` may know at once, but nothing may be called from inside `open`.
    this.#giveUp = resolve((resolution) => queueMicrotask(() => settle(resolution)));
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
    if (this.#stream === undefined) this.#giveUp();
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

  #begin(stream: ClientStream): void {
    this.#stream = stream;
    if (this.#paused) stream.pause();
    let writable = true;
    const wasHeld = this.#heldBytes >= HELD_BYTES_MAX;
    for (const { chunk, end } of this.#held) writable = stream.sendData(chunk, end);
    this.#held = [];
    if (this.#trailers !== undefined) stream.sendTrailers(this.#trailers);
    if (wasHeld && writable) this.#receiver.onWritable();
  }

  #fail(cause: ResetCause): void {
    this.#over = true;
    this.#held = [];
    this.#receiver.onReset(cause);
  }
}
