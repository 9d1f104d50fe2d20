/** An exchange that has to end by a certain time: its route says so, or its caller. */
import type { Clock, Timer } from "../net/clock.ts";
import type {
  ClientStream,
  HeaderList,
  RequestHead,
  ResetCause,
  ResponseHead,
  ResponseReceiver,
} from "../protocol/exchange.ts";
import { type Failure, failureCause, failures } from "./failure.ts";
import type { HttpService } from "./service.ts";

/** Milliseconds that one timer can run: Node's take 31 bits. A longer wait is made of several. */
export const TIMER_MS_MAX = 2 ** 31 - 1;

/**
 * Milliseconds before the caller's deadline from which on a cancellation counts as that deadline: the caller has begun
 * to count earlier, by the time that its request was on the way, and its own timer ends the call as often as ours.
 */
export const CALLER_AHEAD_MS = 10;

/** Holds an exchange to a time. What an upgrade leads to is no exchange any more and has no limit. */
export class TimedExchange implements ClientStream, ResponseReceiver {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #dueAt: number;
  readonly #failure: Failure;
  readonly #receiver: ResponseReceiver;
  readonly #stream: ClientStream;
  #timer: Timer;
  /** An upgrade was granted: the two directions end on their own, so only the ends themselves know when it is over. */
  #tunnel = false;
  #over = false;

  /**
   * @param timeoutMs milliseconds from now
   * @param failure what it is called when the time is up
   */
  constructor(
    clock: Clock,
    timeoutMs: number,
    failure: Failure,
    service: HttpService,
    head: RequestHead,
    end: boolean,
    receiver: ResponseReceiver,
  ) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.#dueAt = clock.now() + timeoutMs;
    this.#failure = failure;
    this.#receiver = receiver;
    this.#timer = this.#arm(timeoutMs);
    this.#stream = service.open(head, end, this);
  }

  sendData(chunk: Uint8Array, end: boolean): boolean {
    return this.#over || this.#stream.sendData(chunk, end);
  }

  sendTrailers(trailers: HeaderList): void {
    if (!this.#over) this.#stream.sendTrailers(trailers);
  }

  reset(cause: ResetCause): void {
    if (!this.#finish()) return;
    const deadline = this.#failure === failures.deadline && this.#dueAt - this.#clock.now() <= CALLER_AHEAD_MS;
    this.#stream.reset(deadline && cause.code === "cancelled" ? this.#cause() : cause);
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

  /** Whole milliseconds, rounded up: never before its time. */
  #arm(leftMs: number): Timer {
    return this.#clock.after(Math.min(Math.ceil(leftMs), TIMER_MS_MAX), () => this.#elapsed());
  }

  #elapsed(): void {
    if (this.#over) return;
    // It may have been only a part of the time; and Node's timers count from when their turn of the event loop began.
    const leftMs = this.#dueAt - this.#clock.now();
    if (leftMs > 0) {
      this.#timer = this.#arm(leftMs);
      return;
    }
    this.#over = true;
    const cause = this.#cause();
    this.#stream.reset(cause);
    this.#receiver.onReset(cause);
  }

  #cause(): ResetCause {
    return failureCause(this.#failure, "timeout", `not finished within ${this.#timeoutMs} ms`);
  }

  #finish(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#timer.cancel();
    return true;
  }
}
