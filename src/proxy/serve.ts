/** What becomes of an accepted connection: looked at if need be, then HTTP, or bytes passed through, or refused. */
import type { Timer } from "../net/clock.ts";
import type { Connection } from "../net/connection.ts";
import { HANDSHAKE_TIMEOUT_MS } from "../net/handshake-error.ts";
import type { ServerConnection } from "../protocol/exchange.ts";
import { classify, classifyTls, type Detection, detectProtocol, isGreeting } from "../protocol/detect.ts";
import type { ProxyContext } from "./context.ts";
import type { FarSide, FarSideOwner } from "./far-side.ts";
import { type HttpContext, reviewHttp, serveHttp } from "./http-session.ts";
import type { Session } from "./listener.ts";
import type { Direction } from "./metrics.ts";

/** Milliseconds that detection waits for the first bytes. Linkerd waits ten times as long (design, decision 10). */
export const DETECT_TIMEOUT_MS = 1_000;

/**
 * Milliseconds of a caller's silence after which the server is dialled, to hear whether it speaks first. So a greeting
 * passes two sidecars in about twice this time instead of twice the time of detection, and where neither side speaks,
 * the far sidecar's wait runs beside ours. A caller of HTTP has asked long before.
 */
export const LISTEN_AHEAD_MS = 50;

/**
 * Milliseconds that a listener which takes nothing but HTTP waits for the first bytes: there is nothing to decide, and
 * clients open connections ahead of their need.
 */
export const FIRST_BYTES_TIMEOUT_MS = 60_000;

/**
 * A request line that names another protocol than HTTP ("DESCRIBE rtsp://a/ RTSP/1.0", "INVITE sip:a SIP/2.0", a preface
 * that is not HTTP/2's): an answer in HTTP would be taken for one in that protocol, so the connection is just closed.
 */
const OTHER_PROTOCOL = /^(?!HTTP\/)[^ \r\n]+ [^ \r\n]+ (?!HTTP)[^ \r\n]+\r?\n/i;

/** What becomes of connections whose bytes nobody looks at. */
export interface OpaqueService {
  /**
   * Passes bytes through.
   *
   * @param first was read already
   * @param ended so was FIN
   * @param ahead what `dialAhead` gave, to be used for this connection
   */
  serve(connection: Connection, first: Buffer, ended: boolean, ahead: FarSide | undefined, done: () => void): Session;
  /** Looks for a far side before it is known whether one is needed; undefined if there is none to be had. */
  dialAhead(owner: FarSideOwner, connection: Connection): FarSide | undefined;
}

/** Where the mesh comes in by TLS: what becomes of a connection that begins with it, or does not. */
export interface TlsDoor {
  /** Without TLS of the mesh nobody comes in. It may change while a connection is looked at. */
  readonly strict: boolean;
  /** Nothing but TLS is looked for: whatever else it is, it is passed through. */
  readonly opaque: boolean;
  /**
   * A TLS record has come.
   *
   * @param foreign serves it, with all that was read by then, as TLS that is none of the mesh's business
   */
  enter(
    connection: Connection,
    first: Buffer,
    ended: boolean,
    foreign: (first: Buffer, ended: boolean) => Session,
    done: () => void,
  ): Session;
  /** It is something else, or nothing within the time, and is let in. @param tls it is TLS with the application */
  admit(connection: Connection, tls: boolean): void;
  /** The same where nothing else is let in. */
  refuse(connection: Connection, timedOut: boolean, done: () => void): Session;
}

/**
 * Detects the protocol and serves accordingly.
 *
 * @param door looks at it first
 * @param opaque what to do with bytes that are not HTTP; undefined: there is nothing but HTTP here, so whoever does not
 *   speak it is told so in HTTP, but for TLS and request lines of other protocols, where that would be read as noise
 */
export function serveDetected(
  connection: Connection,
  direction: Direction,
  context: ProxyContext,
  http: HttpContext,
  opaque: OpaqueService | undefined,
  done: () => void,
  door?: TlsDoor,
): Session {
  return new DetectingSession(connection, direction, context, http, opaque, done, door);
}

/**
 *   silent ──LISTEN_AHEAD_MS──▶ listening to the server, too ──▶ decided
 *      └───────────── first bytes of either, or time ────────────────┘
 */
class DetectingSession implements Session, FarSideOwner {
  readonly #connection: Connection;
  readonly #direction: Direction;
  readonly #context: ProxyContext;
  readonly #http: HttpContext;
  readonly #opaque: OpaqueService | undefined;
  readonly #done: () => void;
  readonly #door: TlsDoor | undefined;
  readonly #startedAt: number;
  #serverSpoke: (() => void) | undefined;
  #aheadTimer: Timer | undefined;
  #ahead: FarSide | undefined;
  #over = false;
  /** What was decided on. */
  #session: Session | ServerConnection | undefined;
  /** A shutdown was asked for before the first bytes were here. */
  #lastCall: Timer | undefined;

  constructor(
    connection: Connection,
    direction: Direction,
    context: ProxyContext,
    http: HttpContext,
    opaque: OpaqueService | undefined,
    done: () => void,
    door: TlsDoor | undefined,
  ) {
    const { clock } = context;
    this.#connection = connection;
    this.#direction = direction;
    this.#context = context;
    this.#http = http;
    this.#opaque = opaque;
    this.#done = done;
    this.#door = door;
    this.#startedAt = clock.now();
    const strict = door?.strict === true;
    const timeoutMs = strict ? HANDSHAKE_TIMEOUT_MS : opaque === undefined ? FIRST_BYTES_TIMEOUT_MS : DETECT_TIMEOUT_MS;
    const onClose = (): void => {
      this.#settle();
      this.#ahead?.giveUp();
      this.#lastCall?.cancel();
      done();
    };
    const looksFor = strict || door?.opaque === true ? classifyTls : classify;
    this.#serverSpoke = detectProtocol(connection, { timeoutMs, clock, onClose, classify: looksFor }, (detection) =>
      this.#decide(detection),
    );
    // Nobody hears from the server before he has said who he is.
    if (opaque === undefined || strict) return;
    // After the poll for input: the caller's bytes may be here, and only we were busy for so long.
    this.#aheadTimer = clock.after(LISTEN_AHEAD_MS, () => setImmediate(() => this.#listenAhead()));
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

  /** Before it is decided what it is nothing has been let in, and where there is a door that looks at the policy of then. */
  review(): void {
    const session = this.#session;
    if (session === undefined) {
      if (this.#door === undefined && this.#http.guard?.shut === true) this.destroy();
    } else if ("receivers" in session) {
      reviewHttp(session, this.#connection, this.#http);
    } else {
      session.review?.();
    }
  }

  onConnected(): void {
    this.#ahead?.listen();
  }

  onSpoke(): void {
    if (this.#ahead !== undefined && isGreeting(this.#ahead.first)) this.#serverSpoke?.();
  }

  /** It was dialled on suspicion. If the connection turns out to be opaque, it is tried once more, and then it counts. */
  onFailed(): void {}

  #listenAhead(): void {
    if (!this.#over) this.#ahead = this.#opaque?.dialAhead(this, this.#connection);
  }

  #settle(): void {
    this.#over = true;
    this.#aheadTimer?.cancel();
    // What looked at the first bytes, and these themselves, are not to be kept as long as the connection.
    this.#aheadTimer = undefined;
    this.#serverSpoke = undefined;
  }

  #decide(detection: Detection): void {
    const door = this.#door;
    const { protocol, timedOut, first, ended } = detection;
    this.#settle();
    if (door === undefined || (protocol !== "tls" && !door.strict)) {
      door?.admit(this.#connection, false);
      this.#serveAs(detection);
      return;
    }
    this.#ahead?.giveUp();
    const foreign = (bytes: Buffer, over: boolean): Session => {
      door.admit(this.#connection, true);
      this.#ahead = undefined;
      return this.#serveAs({ protocol: "tls", timedOut: false, first: bytes, ended: over });
    };
    this.#session =
      protocol === "tls"
        ? door.enter(this.#connection, first, ended, foreign, this.#done)
        : door.refuse(this.#connection, timedOut, this.#done);
    this.#lastCalled();
  }

  #serveAs({ protocol, timedOut, first, ended }: Detection): Session {
    if (this.#door?.opaque !== true) this.#count(protocol, timedOut);
    if (protocol === "http1" || protocol === "http2") {
      this.#ahead?.giveUp();
      this.#session = this.#serve(protocol, first, ended);
    } else if (this.#opaque !== undefined) {
      this.#session = this.#opaque.serve(this.#connection, first, ended, this.#ahead, this.#done);
    } else if (first.length === 0) {
      this.#session = this.#close();
    } else {
      this.#session = this.#refuse(protocol, first, ended);
    }
    this.#lastCalled();
    return this.#session;
  }

  /** A shutdown was asked for meanwhile. */
  #lastCalled(): void {
    const lastCall = this.#lastCall;
    if (lastCall === undefined) return;
    lastCall.cancel();
    this.#session?.shutdown();
  }

  #count(protocol: Detection["protocol"], timedOut: boolean): void {
    const { metrics, clock } = this.#context;
    const direction = this.#direction;
    const result = timedOut ? "read_timeout" : RESULTS[protocol];
    metrics.detections[direction].labels({ direction, result }).inc();
    metrics.detectSeconds[direction].labels({ direction }).observe((clock.now() - this.#startedAt) / 1_000);
  }

  #serve(version: "http1" | "http2", first: Buffer, ended: boolean): Session {
    const codec = serveHttp(this.#connection, version, this.#http, this.#done);
    this.#session = codec;
    codec.onData(first);
    if (ended) codec.onEnd();
    this.#connection.resume();
    return codec;
  }

  #refuse(protocol: Detection["protocol"], first: Buffer, ended: boolean): Session {
    const { metrics, logger } = this.#context;
    metrics.tcpErrors[this.#direction].labels({ direction: this.#direction, error: "not_http" }).inc();
    logger.warn("a connection does not speak HTTP", {
      direction: this.#direction,
      peer: `${this.#connection.remoteAddress}:${this.#connection.remotePort}`,
      found: protocol === "tls" ? "TLS" : first.subarray(0, 16).toString("latin1"),
    });
    // The codec says what is wrong with it.
    if (protocol === "opaque" && !OTHER_PROTOCOL.test(first.toString("latin1"))) {
      return this.#serve("http1", first, ended);
    }
    return this.#close();
  }

  #close(): Session {
    this.#connection.handler = { onData() {}, onEnd() {}, onDrain() {}, onClose: this.#done };
    this.#connection.destroy();
    return { shutdown() {}, destroy() {} };
  }
}

const RESULTS = { http1: "http/1", http2: "http/2", tls: "not_http", opaque: "not_http" } as const;
