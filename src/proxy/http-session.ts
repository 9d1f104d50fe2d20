/** HTTP on one accepted connection: the codec below, the services above, and the failures in between. */
import type { Clock } from "../net/clock.ts";
import type { Connection, ConnectionHandler } from "../net/connection.ts";
import type {
  ProtocolFault,
  RequestHead,
  ResponseHead,
  ServerConnection,
  ServerHandler,
  ServerStream,
} from "../protocol/exchange.ts";
import { Http1ServerConnection } from "../protocol/http1/server.ts";
import { defaultHttp1Options } from "../protocol/http1/options.ts";
import { defaultHttp2Options } from "../protocol/http2/options.ts";
import { Http2ServerConnection } from "../protocol/http2/server.ts";
import type { Logger } from "../telemetry/log.ts";
import { answerFailure, answerFault, explainCut, type Speaker } from "./answer.ts";
import { PACKED_LIMITS } from "./context.ts";
import { Exchange, forward, type Hop } from "./exchange.ts";
import type { Failure } from "./failure.ts";
import type { ProxyMetrics } from "./metrics.ts";
import type { HttpService } from "./service.ts";

export interface HttpContext {
  readonly speaker: Speaker;
  readonly metrics: ProxyMetrics;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Where requests go. */
  readonly service: HttpService;
  /** Who may send them; undefined: everybody, always. */
  readonly guard?: HttpGuard;
}

/** What stands before a service and judges requests by the connection that they come by. */
export interface HttpGuard {
  /** Nothing is judged at the moment. */
  readonly open: boolean;
  /** Connections like this are not taken any more. */
  readonly shut: boolean;
  /** The service as it is to be had by this connection. */
  serviceFor(connection: Connection): HttpService;
  /** Judges again what is under way on this connection. */
  review(connection: Connection, exchanges: readonly Exchange[]): void;
}

/** Serves HTTP on a connection; the caller feeds what was read already and resumes it. */
export function serveHttp(
  connection: Connection,
  version: "http1" | "http2",
  context: HttpContext,
  done: () => void,
): ServerConnection & ConnectionHandler {
  const { clock } = context;
  const handler = new HttpHandler(context, connection, done);
  return version === "http2"
    ? new Http2ServerConnection(connection, handler, { ...defaultHttp2Options, clock, limits: PACKED_LIMITS })
    : new Http1ServerConnection(connection, handler, { ...defaultHttp1Options, clock });
}

/** Who may send requests has changed: ends those that must not go on, and the connection if it is not to be used any more. */
export function reviewHttp(codec: ServerConnection, connection: Connection, { guard }: HttpContext): void {
  if (guard === undefined) return;
  // First, so that answers that are given now say so.
  if (guard.shut) codec.shutdown();
  const exchanges = codec.receivers().filter((receiver) => receiver instanceof Exchange);
  if (exchanges.length > 0) guard.review(connection, exchanges);
}

class HttpHandler implements ServerHandler, Hop {
  readonly #context: HttpContext;
  readonly #connection: Connection;
  readonly #done: () => void;
  /** Made when it is first needed. */
  #guarded: HttpService | undefined;

  constructor(context: HttpContext, connection: Connection, done: () => void) {
    this.#context = context;
    this.#connection = connection;
    this.#done = done;
  }

  onRequest(stream: ServerStream, head: RequestHead, end: boolean): void {
    const { service, guard } = this.#context;
    const direct = guard === undefined || guard.open;
    forward(stream, head, end, direct ? service : (this.#guarded ??= guard.serviceFor(this.#connection)), this);
  }

  onFault(fault: ProtocolFault): { readonly head: ResponseHead; readonly body: string } {
    const { speaker, metrics, logger } = this.#context;
    metrics.httpErrors[speaker.direction].labels({ direction: speaker.direction, error: fault.kind }).inc();
    logger.warn("a peer broke the HTTP protocol", {
      peer: `${this.#connection.remoteAddress}:${this.#connection.remotePort}`,
      fault: fault.kind,
      detail: fault.detail,
    });
    return answerFault(speaker, fault.status, fault.detail);
  }

  onClose(): void {
    this.#done();
  }

  answer(stream: ServerStream, request: RequestHead, failure: Failure, detail: string): void {
    this.#report(failure, detail, request);
    answerFailure(stream, request, this.#context.speaker, failure, detail);
  }

  cut(failure: Failure, detail: string, request: RequestHead): void {
    this.#report(failure, detail, request);
  }

  explainCut(stream: ServerStream, request: RequestHead, failure: Failure, detail: string): boolean {
    return explainCut(stream, request, this.#context.speaker, failure, detail);
  }

  #report(failure: Failure, detail: string, request: RequestHead): void {
    const { speaker, metrics, logger } = this.#context;
    metrics.httpErrors[speaker.direction].labels({ direction: speaker.direction, error: failure.kind }).inc();
    logger.info("a request failed", {
      code: failure.code,
      hop: speaker.direction,
      method: request.method,
      authority: request.authority,
      detail,
    });
  }
}
