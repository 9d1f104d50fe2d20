/**
 * Joins the two ends of one exchange: what a server codec handed out, and what a service made of it. Moves bodies with
 * back-pressure in both directions, and turns a failure into an answer while there is still time for one.
 */
import type {
  BodyReceiver,
  ClientStream,
  HeaderList,
  RequestHead,
  ResponseHead,
  ResponseReceiver,
  ServerStream,
} from "../protocol/exchange.ts";
import { ResetCause } from "../protocol/exchange.ts";
import { type Failure, failureOf } from "./failure.ts";
import type { HttpService } from "./service.ts";

/** Where an exchange takes place: answers failures in the sidecar's name. */
export interface Hop {
  /** Sends the answer for a failure, whole, in HTTP or gRPC as the request was. */
  answer(stream: ServerStream, request: RequestHead, failure: Failure, detail: string): void;
  /** A failure came after the answer had begun, so the answer is cut. */
  cut(failure: Failure, detail: string, request: RequestHead): void;
  /** Ends an answer that has begun by saying why. @returns false where the request's protocol has no words for that */
  explainCut(stream: ServerStream, request: RequestHead, failure: Failure, detail: string): boolean;
}

/** Passes a request on to `service` and the answer back. */
export function forward(stream: ServerStream, head: RequestHead, end: boolean, service: HttpService, hop: Hop): void {
  const exchange = new Exchange(stream, head, end, hop);
  stream.receiver = exchange;
  exchange.start(service);
}

export class Exchange implements BodyReceiver {
  readonly stream: ServerStream;
  readonly request: RequestHead;
  readonly hop: Hop;
  upstream: ClientStream | undefined;
  requestEnded: boolean;
  answered = false;
  /** The caller is slower than the service: some of the answer waits here. */
  held = false;
  /** Granted: both directions are opaque bytes and end on their own. */
  tunnel = false;
  answerEnded = false;
  /** Nothing is passed on any more. */
  over = false;

  constructor(stream: ServerStream, request: RequestHead, requestEnded: boolean, hop: Hop) {
    this.stream = stream;
    this.request = request;
    this.requestEnded = requestEnded;
    this.hop = hop;
  }

  start(service: HttpService): void {
    this.upstream = service.open(this.request, this.requestEnded, new Answer(this));
  }

  onData(chunk: Buffer, end: boolean): void {
    if (this.over || this.upstream === undefined) return;
    if (end) this.requestEnded = true;
    if (!this.upstream.sendData(chunk, end) && !end) this.stream.pause();
    if (end && this.tunnel && this.answerEnded) this.over = true;
  }

  onTrailers(trailers: HeaderList): void {
    this.requestEnded = true;
    if (!this.over) this.upstream?.sendTrailers(trailers);
  }

  /** The caller is gone, or could not be given what the service sent. */
  onReset(cause: ResetCause): void {
    if (this.over) return;
    this.over = true;
    if (cause.code === "internal" || cause.code === "overflow") {
      this.hop.cut(failureOf(cause), cause.detail, this.request);
    }
    this.upstream?.reset(new ResetCause("cancelled", `the caller gave up: ${cause.detail}`));
  }

  onWritable(): void {
    this.held = false;
    if (!this.over) this.upstream?.resume();
  }

  /** The answer is complete. Whoever still sends the request is not listened to any more (RFC 9113 §8.1); the service stops by itself. */
  answerComplete(): void {
    this.answerEnded = true;
    if (this.tunnel && !this.requestEnded) return;
    if (!this.requestEnded)
      this.upstream?.reset(new ResetCause("cancelled", "the answer came before the request ended"));
    this.finish();
  }

  finish(): void {
    this.over = true;
  }

  /** It must not go on: both sides hear of it, the caller with the reason if there is still a way to say it. */
  cut(cause: ResetCause): void {
    if (this.over) return;
    this.over = true;
    this.upstream?.reset(cause);
    this.tell(cause);
  }

  /** Says that nothing, or nothing more, will come. */
  tell(cause: ResetCause): void {
    const { hop, stream, request } = this;
    const failure = failureOf(cause);
    if (!this.answered) {
      hop.answer(stream, request, failure, cause.detail);
      return;
    }
    hop.cut(failure, cause.detail, request);
    // A tunnel has no words. Nothing said behind bytes that wait for the caller would arrive in time, or ever.
    const silent = this.held || this.tunnel;
    if (silent || !hop.explainCut(stream, request, failure, cause.detail)) stream.reset(cause);
  }
}

/** The way back. */
class Answer implements ResponseReceiver {
  readonly #exchange: Exchange;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  onHead(head: ResponseHead, end: boolean): void {
    const exchange = this.#exchange;
    if (exchange.over) return;
    if (head.upgrade !== "") {
      exchange.answered = true;
      exchange.tunnel = true;
    } else if (head.status >= 200) {
      exchange.answered = true;
      // The request of an upgrade that was declined has no body (rule 6).
      if (exchange.request.upgrade !== "") exchange.requestEnded = true;
    }
    exchange.stream.sendHead(head, end);
    if (end) exchange.answerComplete();
  }

  onData(chunk: Buffer, end: boolean): void {
    const exchange = this.#exchange;
    if (exchange.over) return;
    const go = exchange.stream.sendData(chunk, end);
    if (end) exchange.answerComplete();
    else if (!go) {
      exchange.held = true;
      exchange.upstream?.pause();
    }
  }

  onTrailers(trailers: HeaderList): void {
    const exchange = this.#exchange;
    if (exchange.over) return;
    exchange.stream.sendTrailers(trailers);
    exchange.answerComplete();
  }

  onReset(cause: ResetCause): void {
    const exchange = this.#exchange;
    if (exchange.over) return;
    exchange.over = true;
    exchange.tell(cause);
  }

  onWritable(): void {
    if (!this.#exchange.over) this.#exchange.stream.resume();
  }
}
