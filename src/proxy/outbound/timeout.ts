/** The time limit of a route. */
import type { Clock, Timer } from "../../net/clock.ts";
import type {
  ClientStream,
  HeaderList,
  RequestHead,
  ResetCause,
  ResponseHead,
  ResponseReceiver,
} from "../../protocol/exchange.ts";
import { failureCause, failures } from "../failure.ts";
import type { HttpService } from "../service.ts";

/** Holds an exchange to the time that its route allows. What an upgrade leads to is no exchange any more and has no limit. */
export class TimedExchange implements ClientStream, ResponseReceiver {
  readonly #receiver: ResponseReceiver;
  readonly #stream: ClientStream;
  readonly #timer: Timer;
  /** An upgrade was granted: the two directions end on their own, so only the ends themselves know when it is over. */
  #tunnel = false;
  #over = false;

  constructor(
    clock: Clock,
    timeoutMs: number,
    service: HttpService,
    head: RequestHead,
    end: boolean,
    receiver: ResponseReceiver,
  ) {
    this.#receiver = receiver;
    this.#stream = service.open(head, end, this);
    this.#timer = clock.after(timeoutMs, () => {
      if (this.#over) return;
      this.#over = true;
      const cause = failureCause(failures.timeout, "timeout", `not finished within ${timeoutMs} ms`);
      this.#stream.reset(cause);
      this.#receiver.onReset(cause);
    });
  }

  sendData(chunk: Uint8Array, end: boolean): boolean {
    return this.#over || this.#stream.sendData(chunk, end);
  }

  sendTrailers(trailers: HeaderList): void {
    if (!this.#over) this.#stream.sendTrailers(trailers);
  }

  reset(cause: ResetCause): void {
    if (this.#finish()) this.#stream.reset(cause);
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  onHead(head: ResponseHead, end: boolean): void {
    if (this.#over || (end && !this.#finish())) return;
    if (head.upgrade !== "") {
      this.#tunnel = true;
      this.#timer.cancel();
    }
    this.#receiver.onHead(head, end);
  }

  onData(chunk: Buffer, end: boolean): void {
    if (this.#over || (end && !this.#tunnel && !this.#finish())) return;
    this.#receiver.onData(chunk, end);
  }

  onTrailers(trailers: HeaderList): void {
    if (this.#finish()) this.#receiver.onTrailers(trailers);
  }

  onReset(cause: ResetCause): void {
    if (this.#finish()) this.#receiver.onReset(cause);
  }

  onWritable(): void {
    if (!this.#over) this.#receiver.onWritable();
  }

  #finish(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#timer.cancel();
    return true;
  }
}
