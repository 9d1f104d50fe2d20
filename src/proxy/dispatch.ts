/**
 * One request on its way through a backend: waits for an endpoint if there is none, for a connection if there is none,
 * goes out, is measured, and goes out again elsewhere if the first endpoint has certainly not processed it.
 *
 *   queued ──endpoint──▶ connecting ──connection──▶ open ──final head──▶ answered ──▶ done
 *      ▲                     │ no connection          │ refused, not processed
 *      └─────────────────────┴────────────────────────┘  (at most ATTEMPTS_MAX times)
 *
 * Sending again is safe only when nothing was processed: no connection, REFUSED_STREAM, GOAWAY (RFC 9113 §8.7), the far
 * sidecar's word that it may go elsewhere, or an idempotent request that met a kept-alive connection just as it closed
 * (RFC 9110 §9.2.2, RFC 9112 §9.3.1). The last is what a killed process looks like, so it is worth its price: a request
 * that kills whoever reads it may reach ATTEMPTS_MAX of them. What was already sent of the body is kept for sending it
 * again, up to REPLAY_BYTES_MAX.
 */
import type { Clock } from "../net/clock.ts";
import type {
  ClientConnection,
  ClientStream,
  HeaderList,
  RequestHead,
  ResponseHead,
  ResponseReceiver,
} from "../protocol/exchange.ts";
import { ResetCause } from "../protocol/exchange.ts";
import { GrpcCode, grpcCodeOfHttp, grpcStatusOf, isJudgedByGrpc } from "../protocol/grpc.ts";
import { getHeader, removeHeader } from "../protocol/headers.ts";
import type { BalancedEndpoint } from "./endpoint.ts";
import { failureOf } from "./failure.ts";
import { tellTimeLeft } from "./grpc-deadline.ts";
import type { EndpointMetrics } from "./metrics.ts";
import { packRequest, unpackResponse } from "./original.ts";
import { dropOwnFields, UNPROCESSED_HEADER } from "./own-fields.ts";
import type { PoolWaiter } from "./pool/connection-pool.ts";
import type { Place } from "./pool/wait-list.ts";
import type { EndpointSource, Seeker } from "./seeker.ts";
import type { Translation } from "./websocket.ts";

/** Bytes of a request body kept for sending it again; a longer body is sent once. Linkerd: 64 KiB. */
export const REPLAY_BYTES_MAX = 64 * 1024;

/** Endpoints that one request may be sent to. */
export const ATTEMPTS_MAX = 4;

export class Dispatch implements ClientStream, ResponseReceiver, PoolWaiter, Seeker {
  readonly head: RequestHead;
  endpoint: BalancedEndpoint | undefined;
  done = false;
  attempts = 0;
  readonly #backend: EndpointSource;
  readonly #clock: Clock;
  readonly #receiver: ResponseReceiver;
  /** Where it is counted, if not with the endpoint. */
  readonly #metrics: EndpointMetrics | undefined;
  /** Where it waits, or has waited. */
  #place: Place<Seeker> | Place<PoolWaiter> | undefined;
  #stream: ClientStream | undefined;
  /** A loss may just be an idle connection's close that crossed the request. */
  #reused = false;
  #packed = false;
  /** Of a request for an upgrade that goes out in the other version of HTTP. */
  #translation: Translation | undefined;
  #startedAt = 0;
  /** The endpoint still counts this request as in flight. */
  #loading = false;
  #status = 0;
  #grpc = false;
  /** The head that grants it has passed: the two directions end independently. */
  #tunnel = false;
  #answerEnded = false;
  /** The request has been handed over in full by the caller. */
  #ended: boolean;
  #paused = false;
  /** The caller was told to wait, and is to be told when it may go on. */
  #held = false;
  /** What was sent so far; undefined once the request cannot be sent again. */
  #replay: Buffer[] | undefined;
  #replayBytes = 0;
  #trailers: HeaderList | undefined;

  constructor(
    backend: EndpointSource,
    clock: Clock,
    head: RequestHead,
    end: boolean,
    receiver: ResponseReceiver,
    metrics: EndpointMetrics | undefined,
  ) {
    this.#backend = backend;
    this.#clock = clock;
    this.head = head;
    this.#ended = end;
    this.#receiver = receiver;
    this.#metrics = metrics;
    this.#replay = end ? NO_BODY : [];
  }

  // What the caller does.

  sendData(chunk: Uint8Array, end: boolean): boolean {
    if (this.done) return true;
    if (end) this.#ended = true;
    const stream = this.#stream;
    if (stream === undefined) {
      this.#keep(chunk);
      this.#held = this.#replayBytes >= REPLAY_BYTES_MAX;
      return !this.#held;
    }
    if (this.#replay !== undefined) {
      if (this.#replayBytes + chunk.length > REPLAY_BYTES_MAX) this.#replay = undefined;
      else this.#keep(chunk);
    }
    if (end && this.#answerEnded) this.#finish();
    const writable = stream.sendData(chunk, end);
    this.#held = !writable;
    return writable;
  }

  sendTrailers(trailers: HeaderList): void {
    if (this.done) return;
    if (this.#tunnel) {
      this.sendData(EMPTY, true);
      return;
    }
    this.#ended = true;
    this.#trailers = trailers;
    this.#stream?.sendTrailers(trailers);
  }

  reset(cause: ResetCause): void {
    if (this.done) return;
    const stream = this.#stream;
    if (stream === undefined) this.#place?.leave();
    else if (this.#status === 0 || cause.code !== "cancelled") this.#countFailure(cause);
    else if (!this.#answerEnded) this.#account(GrpcCode.cancelled);
    this.#finish();
    stream?.reset(cause);
  }

  pause(): void {
    this.#paused = true;
    this.#stream?.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#stream?.resume();
  }

  // What the backend and the pool do.

  /** Asks for an endpoint. @param failed, cause as for `EndpointSource.place` */
  seek(failed: BalancedEndpoint | undefined, cause: ResetCause | undefined): void {
    const place = this.#backend.place(this, failed, cause);
    if (place !== undefined) this.#place = place;
  }

  /** The balancer has chosen. */
  assign(endpoint: BalancedEndpoint): void {
    this.endpoint = endpoint;
    this.attempts++;
    this.#loading = true;
    endpoint.inFlight++;
    const pool = endpoint.poolFor(this.head);
    const connection = pool.take();
    if (connection === undefined) this.#place = pool.wait(this);
    else this.onConnection(connection);
  }

  onConnection(connection: ClientConnection): void {
    const endpoint = this.endpoint as BalancedEndpoint;
    const replay = this.#replay;
    this.#reused = connection.reused;
    this.#packed = endpoint.packs(this.head);
    this.#startedAt = this.#clock.now();
    tellTimeLeft(this.head, this.#startedAt);
    (this.#metrics ?? endpoint.metrics).requests.inc();
    let bare = this.#ended && this.#trailers === undefined && this.#replayBytes === 0;
    let outgoing = this.#packed ? packRequest(this.head) : this.head;
    if (this.head.upgrade !== "") {
      this.#translation = endpoint.translation(this.head);
      outgoing = this.#translation?.request ?? outgoing;
      bare = outgoing.upgrade === "";
    }
    const stream = connection.open(outgoing, bare, this);
    this.#stream = stream;
    if (this.#paused) stream.pause();
    if (bare || replay === undefined) return;
    if (this.#replayBytes > REPLAY_BYTES_MAX) this.#replay = undefined;
    this.#sendAgain(stream, replay);
  }

  onConnectError(error: Error): void {
    const { endpoint } = this;
    if (endpoint?.closed !== true) {
      this.#failedUnprocessed(new ResetCause("connect", error.message));
      return;
    }
    // Taken off the list while we waited for it: nobody's failure, and no attempt.
    this.#unload();
    this.endpoint = undefined;
    this.attempts--;
    this.seek(endpoint, undefined);
  }

  /** The backend cannot take the request on. */
  fail(cause: ResetCause): void {
    if (this.done) return;
    this.#finish();
    this.#receiver.onReset(cause);
  }

  // What the client codec does.

  onHead(received: ResponseHead, end: boolean): void {
    if (this.done) return;
    const endpoint = this.endpoint as BalancedEndpoint;
    if (!endpoint.unpacks) dropOwnFields(received.headers);
    const asked = this.head.upgrade !== "";
    let head = this.#packed ? unpackResponse(received, asked) : received;
    if (head.status < 200 && head.upgrade === "") {
      // Whoever says so much has the request in hand.
      this.#reused = false;
      this.#receiver.onHead(head, false);
      return;
    }
    if (this.#translation !== undefined) {
      const answer = this.#translation.answer(head);
      if (!("status" in answer)) {
        this.#spoilt(answer);
        return;
      }
      head = answer;
    }
    // A failure of gRPC is a 200 that is all of its answer.
    if (endpoint.unpacks && (head.status >= 500 || end) && getHeader(head.headers, UNPROCESSED_HEADER) !== undefined) {
      removeHeader(head.headers, UNPROCESSED_HEADER);
      if (this.#mayRepeat() && this.attempts < ATTEMPTS_MAX) {
        const stream = this.#stream;
        this.#stream = undefined;
        stream?.reset(new ResetCause("cancelled", "the application behind the sidecar did not get it"));
        this.#failedUnprocessed(new ResetCause("refused", "the application behind the sidecar did not get it"));
        return;
      }
    }
    const now = this.#clock.now();
    this.#replay = undefined;
    this.#status = head.status;
    this.#grpc = isJudgedByGrpc(this.head, head);
    this.#tunnel = head.upgrade !== "";
    if (asked && !this.#tunnel) this.#ended = true;
    endpoint.succeeded(now, now - this.#startedAt);
    this.#backend.answered();
    this.#unload();
    (this.#metrics ?? endpoint.metrics).latency(head.status, now - this.#startedAt);
    if (end) this.#complete(this.#grpc ? grpcStatusOf(head.headers) : undefined);
    this.#receiver.onHead(head, end);
  }

  onData(chunk: Buffer, end: boolean): void {
    if (this.done) return;
    if (end) this.#complete(undefined);
    this.#receiver.onData(chunk, end);
  }

  onTrailers(trailers: HeaderList): void {
    if (this.done) return;
    this.#complete(this.#grpc ? grpcStatusOf(trailers) : undefined);
    this.#receiver.onTrailers(trailers);
  }

  onReset(cause: ResetCause): void {
    if (this.done) return;
    this.#stream = undefined;
    const unprocessed =
      cause.code === "refused" ||
      cause.code === "connect" ||
      (cause.code === "closed" && this.#reused && this.#status === 0 && isIdempotent(this.head.method));
    if (unprocessed && this.#mayRepeat()) {
      this.#failedUnprocessed(cause);
      return;
    }
    this.#countFailure(cause);
    this.#finish();
    this.#receiver.onReset(cause);
  }

  onWritable(): void {
    if (this.done) return;
    this.#held = false;
    this.#receiver.onWritable();
  }

  /** The answer cannot be given to the caller. */
  #spoilt(cause: ResetCause): void {
    const stream = this.#stream;
    this.#stream = undefined;
    this.#countFailure(cause);
    this.#finish();
    stream?.reset(cause);
    this.#receiver.onReset(cause);
  }

  /** What the caller has sent so far, to a stream that has had nothing of it yet. */
  #sendAgain(stream: ClientStream, chunks: readonly Buffer[]): void {
    const end = this.#ended && this.#trailers === undefined;
    let writable = true;
    for (let i = 0; i < chunks.length; i++) {
      writable = stream.sendData(chunks[i] as Buffer, end && i === chunks.length - 1);
    }
    if (this.#trailers !== undefined) stream.sendTrailers(this.#trailers);
    if (this.#held && writable) queueMicrotask(() => this.onWritable());
  }

  #mayRepeat(): boolean {
    return this.#replay !== undefined && this.#status === 0;
  }

  /** Nothing was processed: elsewhere, or back into the queue, or give up. */
  #failedUnprocessed(cause: ResetCause): void {
    if (this.done) return;
    const endpoint = this.endpoint as BalancedEndpoint;
    this.#unload();
    this.endpoint = undefined;
    // A kept-alive connection that closed under our hands says nothing bad about its endpoint.
    const unlucky = cause.code === "closed";
    if (!unlucky && !this.#backend.single) endpoint.failed();
    if (this.attempts < ATTEMPTS_MAX && this.#replay !== undefined && (unlucky || !this.#backend.single)) {
      if (cause.code !== "connect") this.#backend.repeated();
      this.seek(endpoint, cause);
      return;
    }
    (this.#metrics ?? endpoint.metrics).failed(failureOf(cause).kind);
    this.fail(cause);
  }

  /** The answer has ended. */
  #complete(grpcStatus: number | undefined): void {
    this.#account(grpcStatus);
    this.#answerEnded = true;
    if (this.#tunnel && !this.#ended) return;
    const stream = this.#stream;
    this.#finish();
    if (!this.#ended) stream?.reset(new ResetCause("cancelled", "the answer came before the request ended"));
  }

  #keep(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#replay?.push(Buffer.from(chunk));
    this.#replayBytes += chunk.length;
  }

  /** It ended without a whole answer; an answer that was whole (of a tunnel's two halves) is counted already. */
  #countFailure(cause: ResetCause): void {
    if (!this.#answerEnded) (this.#metrics ?? this.endpoint?.metrics)?.failed(failureOf(cause).kind);
  }

  #account(grpcStatus: number | undefined): void {
    const metrics = this.#metrics ?? (this.endpoint as BalancedEndpoint).metrics;
    if (this.#grpc) metrics.answeredGrpc(this.#status, grpcStatus ?? grpcCodeOfHttp(this.#status));
    else metrics.answered(this.#status);
  }

  /** Linkerd counts a request as load until the answer begins (PendingUntilFirstData). */
  #unload(): void {
    if (!this.#loading) return;
    this.#loading = false;
    (this.endpoint as BalancedEndpoint).inFlight--;
  }

  #finish(): void {
    this.#unload();
    this.done = true;
    this.#replay = undefined;
    this.#backend.finished();
  }
}

const NO_BODY: Buffer[] = [];
const EMPTY = Buffer.alloc(0);

/** RFC 9110 §9.2.2. */
function isIdempotent(method: string): boolean {
  return (
    method === "GET" ||
    method === "HEAD" ||
    method === "PUT" ||
    method === "DELETE" ||
    method === "OPTIONS" ||
    method === "TRACE"
  );
}
