/** What becomes of an accepted connection: looked at if need be, then HTTP, or bytes passed through, or refused. */
import type { Timer } from "../net/clock.ts";
import type { Connection } from "../net/connection.ts";
import { type Detection, detectProtocol } from "../protocol/detect.ts";
import type { ProxyContext } from "./context.ts";
import { type HttpContext, serveHttp } from "./http-session.ts";
import type { Session } from "./listener.ts";
import type { Direction } from "./metrics.ts";

/** Milliseconds that detection waits for the first bytes. Linkerd waits ten times as long (design, decision 10). */
export const DETECT_TIMEOUT_MS = 1_000;

/**
 * Milliseconds that a listener which takes nothing but HTTP waits for the first bytes: there is nothing to decide, and
 * clients open connections ahead of their need.
 */
export const FIRST_BYTES_TIMEOUT_MS = 60_000;

/**
 * A request line that names another protocol than HTTP ("DESCRIBE rtsp://a/ RTSP/1.0", "INVITE sip:a SIP/2.0", a preface
 * that is not HTTP/2's): an answer in HTTP would be taken for one in that protocol, so the connection is just closed.
 */
const OTHER_PROTOCOL = /^[^ \r\n]+ [^ \r\n]+ (?!HTTP)[^ \r\n]+\r?\n/i;

/** Passes bytes through; `first` was read already. */
export type ServeOpaque = (connection: Connection, first: Buffer, ended: boolean, done: () => void) => Session;

/**
 * Detects the protocol and serves accordingly.
 *
 * @param opaque what to do with bytes that are not HTTP; undefined: there is nothing but HTTP here, so whoever does not
 *   speak it is told so in HTTP, but for TLS and request lines of other protocols, where that would be read as noise
 */
export function serveDetected(
  connection: Connection,
  direction: Direction,
  context: ProxyContext,
  http: HttpContext,
  opaque: ServeOpaque | undefined,
  done: () => void,
): Session {
  return new DetectingSession(connection, direction, context, http, opaque, done);
}

class DetectingSession implements Session {
  readonly #connection: Connection;
  readonly #direction: Direction;
  readonly #context: ProxyContext;
  readonly #http: HttpContext;
  readonly #opaque: ServeOpaque | undefined;
  readonly #done: () => void;
  readonly #startedAt: number;
  /** What was decided on. */
  #session: Session | undefined;
  /** A shutdown was asked for before the first bytes were here. */
  #lastCall: Timer | undefined;

  constructor(
    connection: Connection,
    direction: Direction,
    context: ProxyContext,
    http: HttpContext,
    opaque: ServeOpaque | undefined,
    done: () => void,
  ) {
    const { clock } = context;
    this.#connection = connection;
    this.#direction = direction;
    this.#context = context;
    this.#http = http;
    this.#opaque = opaque;
    this.#done = done;
    this.#startedAt = clock.now();
    const timeoutMs = opaque === undefined ? FIRST_BYTES_TIMEOUT_MS : DETECT_TIMEOUT_MS;
    const onClose = (): void => {
      this.#lastCall?.cancel();
      done();
    };
    detectProtocol(connection, { timeoutMs, clock, onClose }, (detection) => this.#decide(detection));
  }

  /** A request may be on its way already, so a connection without one is given a moment. */
  shutdown(): void {
    if (this.#session !== undefined) this.#session.shutdown();
    else this.#lastCall ??= this.#context.clock.after(DETECT_TIMEOUT_MS, () => this.#connection.destroy());
  }

  destroy(): void {
    if (this.#session === undefined) this.#connection.destroy();
    else this.#session.destroy();
  }

  #decide({ protocol, timedOut, first, ended }: Detection): void {
    const { metrics, clock } = this.#context;
    const direction = this.#direction;
    const result = timedOut ? "read_timeout" : RESULTS[protocol];
    metrics.detections[direction].labels({ direction, result }).inc();
    metrics.detectSeconds[direction].labels({ direction }).observe((clock.now() - this.#startedAt) / 1_000);
    const lastCall = this.#lastCall;
    lastCall?.cancel();
    if (protocol === "http1" || protocol === "http2") {
      this.#serve(protocol, first, ended);
    } else if (first.length === 0 && (ended || this.#opaque === undefined)) {
      this.#close();
    } else if (this.#opaque !== undefined) {
      this.#session = this.#opaque(this.#connection, first, ended, this.#done);
    } else {
      this.#refuse(protocol, first, ended);
    }
    if (lastCall !== undefined) this.#session?.shutdown();
  }

  #serve(version: "http1" | "http2", first: Buffer, ended: boolean): void {
    const codec = serveHttp(this.#connection, version, this.#http, this.#done);
    this.#session = codec;
    codec.onData(first);
    if (ended) codec.onEnd();
    this.#connection.resume();
  }

  #refuse(protocol: Detection["protocol"], first: Buffer, ended: boolean): void {
    const { metrics, logger } = this.#context;
    metrics.tcpErrors[this.#direction].labels({ direction: this.#direction, error: "not_http" }).inc();
    logger.warn("a connection does not speak HTTP", {
      direction: this.#direction,
      peer: `${this.#connection.remoteAddress}:${this.#connection.remotePort}`,
      found: protocol === "tls" ? "TLS" : first.subarray(0, 16).toString("latin1"),
    });
    // The codec says what is wrong with it.
    if (protocol === "opaque" && !OTHER_PROTOCOL.test(first.toString("latin1"))) this.#serve("http1", first, ended);
    else this.#close();
  }

  #close(): void {
    this.#connection.handler = { onData() {}, onEnd() {}, onDrain() {}, onClose: this.#done };
    this.#connection.destroy();
  }
}

const RESULTS = { http1: "http/1", http2: "http/2", tls: "not_http", opaque: "not_http" } as const;
