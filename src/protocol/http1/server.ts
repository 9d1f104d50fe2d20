/**
 * The server end of an HTTP/1 connection: reads requests, one at a time, and hands each out as an exchange.
 *
 * States of the input and how they follow each other:
 *
 *   HEAD ──head──▶ BODY ──last byte──▶ HOLD ──answered──▶ HEAD
 *     └──head without body──▶ HOLD ──101, or 2xx to CONNECT──▶ TUNNEL
 *   BODY ──answered early──▶ DRAIN ──last byte──▶ HEAD
 *   any ──fault, last answer──▶ LINGER ──peer's FIN, time, bytes──▶ CLOSED
 *
 * In HOLD the next requests of a pipelining client wait: at most what one read brings, then the connection is paused.
 */
import type { Timer } from "../../net/clock.ts";
import type { Connection, ConnectionHandler } from "../../net/connection.ts";
import {
  type BodyReceiver,
  type ProtocolFault,
  ResetCause,
  type ServerConnection,
  type ServerHandler,
} from "../exchange.ts";
import { removeHeader } from "../headers.ts";
import { Standstill } from "../standstill.ts";
import { BODY_BAD, BODY_DATA, BODY_END, BODY_LAST_DATA, BODY_MORE, BodyReader } from "./body-reader.ts";
import { BodyWriter } from "./body-writer.ts";
import { BAD, MORE } from "./field-scanner.ts";
import { EMPTY, FRAMING_LENGTH, FRAMING_NONE } from "./framing.ts";
import { type AnswerContext, writeResponseHead } from "./head-writer.ts";
import type { Http1Options } from "./options.ts";
import { RequestReader } from "./request-reader.ts";
import { Http1ServerStream, type ServerStreamOwner } from "./server-stream.ts";
import { CR, LF } from "./syntax.ts";

/** Bytes that may wait while a request is being answered: two reads (one may be in flight when we pause). */
export const PENDING_BYTES_MAX = 128 * 1024;

/** Bytes of a request body that are read and thrown away after an early answer, to keep the connection. */
export const DRAIN_BYTES_MAX = 256 * 1024;

/** Milliseconds that draining may take. */
export const DRAIN_MS = 5_000;

/**
 * Milliseconds between our FIN and the end of the connection. Closing at once while the client still sends would make
 * the kernel answer with RST, which can destroy the response before the client has read it (RFC 9112 §9.6).
 */
export const LINGER_MS = 1_000;

/** Bytes read and thrown away in that time. */
export const LINGER_BYTES_MAX = 1024 * 1024;

const HEAD = 0;
const BODY = 1;
const HOLD = 2;
const TUNNEL = 3;
const DRAIN = 4;
const LINGER = 5;
const CLOSED = 6;

const faultContext: AnswerContext = { isHead: false, http10: false, keepAlive: false };

export class Http1ServerConnection implements ServerConnection, ConnectionHandler, ServerStreamOwner {
  readonly connection: Connection;
  readonly bodyWriter = new BodyWriter();
  closing = false;

  readonly #handler: ServerHandler;
  readonly #options: Http1Options;
  readonly #reader: RequestReader;
  readonly #body: BodyReader;
  #state = HEAD;
  #stream: Http1ServerStream | undefined = undefined;
  /** Input that waits for the answer in progress, from `#pendingFrom` on. */
  #pending: Buffer | undefined = undefined;
  #pendingFrom = 0;
  /** `#process` is on the stack: it goes on by itself. */
  #processing = false;
  /** The connection is paused because the receiver of the body asked for it. */
  #bodyPaused = false;
  #peerEnded = false;
  /** Bytes of a CRLF before a request line that were skipped: 0, 1 or 2 (RFC 9112 §2.2). */
  #skipped = 0;
  /** Bytes thrown away in DRAIN or LINGER. */
  #discarded = 0;
  #idleSince: number;
  #idleTimer: Timer;
  readonly #standstill = new Standstill();
  /** The time limit of a head, of draining or of lingering: never two at once. */
  #timer: Timer | undefined = undefined;

  constructor(connection: Connection, handler: ServerHandler, options: Http1Options) {
    this.connection = connection;
    this.#handler = handler;
    this.#options = options;
    this.#reader = new RequestReader(options.limits, "http");
    this.#body = new BodyReader(options.limits);
    this.#idleSince = options.clock.now();
    this.#idleTimer = options.clock.after(options.idleTimeoutMs, () => this.#checkIdle());
    connection.handler = this;
  }

  get active(): number {
    return this.#stream === undefined ? 0 : 1;
  }

  receivers(): BodyReceiver[] {
    return this.#stream === undefined ? [] : [this.#stream.receiver];
  }

  shutdown(): void {
    if (this.closing) return;
    this.closing = true;
    if (this.#idle) this.#linger();
  }

  destroy(): void {
    if (this.#state === CLOSED) return;
    const tunnel = this.#state === TUNNEL;
    this.#close();
    this.#loseStream("cancelled", "the connection was closed by its owner");
    // A tunnel's content has no end of its own that would tell a cut from the whole.
    if (tunnel) this.connection.reset();
    else this.connection.destroy();
  }

  // What the connection says.

  onData(chunk: Buffer): void {
    if (this.#pending !== undefined || this.#state === HOLD) this.#hold(chunk, 0, false);
    else this.#process(chunk, 0, false);
  }

  onEnd(): void {
    this.#peerEnded = true;
    switch (this.#state) {
      case HEAD:
        if (this.#reader.partial) this.#fault({ status: 400, kind: "truncated_head", detail: "FIN within a head" });
        else this.#linger();
        break;
      case BODY:
        this.#close();
        this.#loseStream("closed", "the client closed the connection within its request");
        this.connection.reset();
        break;
      case TUNNEL:
        this.#endTunnelInput();
        break;
      case DRAIN:
        this.#linger();
        break;
      case LINGER:
        this.connection.endAndDestroy();
        break;
      case HOLD:
        // Almost always a client that has left, hardly ever one that half-closes and waits. hyper, nginx and Envoy give
        // the request up as well: its far end should not go on working for nobody.
        if (this.#stream === undefined || this.#pending !== undefined) break;
        this.#close();
        this.#loseStream("closed", "the client closed the connection before its answer had ended");
        this.connection.endAndDestroy();
        break;
      default:
        break;
    }
  }

  onDrain(): void {
    const stream = this.#stream;
    if (stream !== undefined) {
      if (stream.open && !stream.responseEnded) stream.receiver.onWritable();
    } else if (this.#state === HOLD) {
      this.#nextRequest();
    }
  }

  onClose(error: Error | undefined): void {
    this.#idleTimer.cancel();
    this.#close();
    this.#loseStream("closed", error === undefined ? "the client closed the connection" : error.message);
    this.#handler.onClose();
  }

  // What the stream says.

  switched(stream: Http1ServerStream): void {
    this.#state = TUNNEL;
    stream.requestEnded = false;
    this.#continue();
  }

  responseEnded(stream: Http1ServerStream): void {
    if (stream.tunnel && !stream.requestEnded) {
      this.connection.end();
      return;
    }
    this.#stream = undefined;
    if (!stream.keepAlive || this.closing) {
      this.#linger();
    } else if (stream.requestEnded) {
      this.#nextRequest();
    } else {
      this.#drain();
    }
  }

  abort(stream: Http1ServerStream): void {
    if (this.#stream !== stream) return;
    this.#stream = undefined;
    this.#close();
    this.connection.reset();
  }

  pauseRequest(stream: Http1ServerStream): void {
    if (this.#stream !== stream || (this.#state !== BODY && this.#state !== TUNNEL)) return;
    this.#bodyPaused = true;
    this.connection.pause();
  }

  resumeRequest(stream: Http1ServerStream): void {
    if (this.#stream !== stream || !this.#bodyPaused) return;
    this.#bodyPaused = false;
    this.connection.resume();
  }

  // Input.

  get #idle(): boolean {
    return this.#state === HEAD && !this.#reader.partial && this.#pending === undefined;
  }

  /** @param own the chunk is ours to keep, not the shared read buffer */
  #process(chunk: Buffer, from: number, own: boolean): void {
    this.#processing = true;
    let at = from;
    while (at < chunk.length) {
      switch (this.#state) {
        case HEAD:
          at = this.#readHead(chunk, at);
          break;
        case BODY:
        case DRAIN:
          at = this.#readBody(chunk, at);
          break;
        case TUNNEL:
          this.#stream?.receiver.onData(at === 0 ? chunk : chunk.subarray(at), false);
          at = chunk.length;
          break;
        case HOLD:
          this.#hold(chunk, at, own);
          at = chunk.length;
          break;
        case LINGER:
          this.#discard(chunk.length - at);
          at = chunk.length;
          break;
        default:
          at = chunk.length;
          break;
      }
    }
    this.#processing = false;
  }

  /** Goes on with input that had to wait, or with reading. */
  #continue(): void {
    if (this.#processing) return;
    const pending = this.#pending;
    if (pending !== undefined) {
      this.#pending = undefined;
      this.#process(pending, this.#pendingFrom, true);
      if (this.#pending !== undefined) return;
      if (!this.#bodyPaused) this.connection.resume();
    }
    if (this.#peerEnded) this.onEnd();
  }

  #hold(chunk: Buffer, from: number, own: boolean): void {
    const pending = this.#pending;
    if (pending !== undefined) {
      const kept = pending.length - this.#pendingFrom;
      if (kept + chunk.length - from > PENDING_BYTES_MAX) {
        this.#close();
        this.#loseStream("overflow", `the client sent over ${PENDING_BYTES_MAX} bytes ahead`);
        this.connection.reset();
        return;
      }
      this.#pending = Buffer.concat([pending.subarray(this.#pendingFrom), chunk.subarray(from)]);
      this.#pendingFrom = 0;
    } else {
      this.#pending = own ? chunk : Buffer.from(chunk.subarray(from));
      this.#pendingFrom = own ? from : 0;
    }
    this.connection.pause();
  }

  #readHead(chunk: Buffer, from: number): number {
    // A client that sends requests without reading the answers is held to what the connection may buffer.
    if (this.connection.congested) {
      this.#state = HOLD;
      return from;
    }
    const reader = this.#reader;
    let at = from;
    if (!reader.partial && this.#skipped < 2) {
      const byte = chunk[at];
      if (byte === (this.#skipped === 0 ? CR : LF)) {
        this.#skipped++;
        return at + 1;
      }
    }
    if (this.#skipped === 1) {
      this.#fault({ status: 400, kind: "bad_line_end", detail: "a CR without LF before a request" });
      return chunk.length;
    }
    at = reader.read(chunk, at);
    if (at === MORE) {
      this.#timer ??= this.#options.clock.after(this.#options.limits.headTimeoutMs, () => this.#headTimedOut());
      return chunk.length;
    }
    this.#stopTimer();
    if (at === BAD) {
      this.#fault(reader.fault);
      return chunk.length;
    }
    this.#skipped = 0;
    this.#request();
    return at;
  }

  #request(): void {
    const reader = this.#reader;
    const { head, framing } = reader;
    const upgrade = head.upgrade !== "";
    const end = framing === FRAMING_NONE && !upgrade;
    if (framing === FRAMING_NONE) {
      this.#state = HOLD;
    } else {
      this.#state = BODY;
      this.#body.start(framing, reader.bodyLength);
    }
    // What follows a CONNECT is meant for a tunnel, never for us.
    const keepAlive = reader.keepAlive && head.method !== "CONNECT";
    const stream = new Http1ServerStream(this, head, end, keepAlive, reader.awaits100);
    this.#stream = stream;
    this.#handler.onRequest(stream, head, end);
  }

  #readBody(chunk: Buffer, from: number): number {
    const body = this.#body;
    const stream = this.#stream;
    const event = body.next(chunk, from);
    const at = body.position;
    if (event === BODY_BAD) {
      this.#badBody(body.fault);
      return chunk.length;
    }
    if (stream === undefined) {
      this.#discard(at - from);
      if ((event === BODY_LAST_DATA || event === BODY_END) && this.#state === DRAIN) this.#nextRequest();
      return at;
    }
    if (event === BODY_DATA) {
      stream.awaits100 = false;
      stream.receiver.onData(part(chunk, body.dataStart, body.dataEnd), false);
    } else if (event !== BODY_MORE) {
      this.#state = HOLD;
      stream.requestEnded = true;
      this.#unpauseBody();
      if (event === BODY_LAST_DATA) stream.receiver.onData(part(chunk, body.dataStart, body.dataEnd), true);
      else if (body.trailers.length > 0) stream.receiver.onTrailers(body.trailers);
      else stream.receiver.onData(EMPTY, true);
    }
    return at;
  }

  #unpauseBody(): void {
    if (!this.#bodyPaused) return;
    this.#bodyPaused = false;
    if (this.#pending === undefined) this.connection.resume();
  }

  #endTunnelInput(): void {
    const stream = this.#stream;
    if (stream === undefined || stream.requestEnded) return;
    stream.requestEnded = true;
    if (stream.responseEnded) {
      stream.open = false;
      this.#stream = undefined;
      this.#linger();
    }
    stream.receiver.onData(EMPTY, true);
  }

  // From one exchange to the next, and the end.

  #nextRequest(): void {
    this.#stopTimer();
    if (this.closing) {
      this.#linger();
      return;
    }
    this.#state = HEAD;
    this.#idleSince = this.#options.clock.now();
    this.#continue();
  }

  #drain(): void {
    this.#state = DRAIN;
    this.#discarded = 0;
    this.#unpauseBody();
    if (this.#body.framing === FRAMING_LENGTH && this.#body.remaining > DRAIN_BYTES_MAX) this.#linger();
    else this.#timer = this.#options.clock.after(DRAIN_MS, () => this.#linger());
  }

  #discard(bytes: number): void {
    this.#discarded += bytes;
    if (this.#state === DRAIN && this.#discarded > DRAIN_BYTES_MAX) {
      this.#linger();
    } else if (this.#state === LINGER && this.#discarded > LINGER_BYTES_MAX) {
      this.#close();
      this.connection.destroy();
    }
  }

  /** Nothing more is read or written here: sends what is unsent and FIN, then waits a little for the client's. */
  #linger(): void {
    if (this.#state === LINGER || this.#state === CLOSED) return;
    this.#close();
    this.#state = LINGER;
    this.#discarded = 0;
    this.#idleSince = this.#options.clock.now();
    this.#timer = this.#options.clock.after(LINGER_MS, () => this.#endLinger(this.connection.unsentBytes));
    if (this.#peerEnded) {
      this.connection.endAndDestroy();
    } else {
      this.connection.end();
      this.connection.resume();
    }
  }

  /** A slow client may take its time for the response, as long as it takes some of it now and then. */
  #endLinger(unsentBefore: number): void {
    const { clock, idleTimeoutMs } = this.#options;
    const unsent = this.connection.unsentBytes;
    if (unsent < unsentBefore) this.#idleSince = clock.now();
    if (unsent > 0 && clock.now() - this.#idleSince < idleTimeoutMs) {
      this.#timer = clock.after(LINGER_MS, () => this.#endLinger(unsent));
      return;
    }
    this.#close();
    this.connection.destroy();
  }

  #close(): void {
    this.#state = CLOSED;
    this.#pending = undefined;
    this.#stopTimer();
  }

  #stopTimer(): void {
    if (this.#timer === undefined) return;
    this.#timer.cancel();
    this.#timer = undefined;
  }

  #loseStream(code: "cancelled" | "closed" | "overflow" | "protocol", detail: string): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    this.#stream = undefined;
    stream.lost(new ResetCause(code, detail));
  }

  #badBody(fault: ProtocolFault | undefined): void {
    const stream = this.#stream;
    const answered = stream === undefined || stream.headSent;
    this.#loseStream("protocol", fault?.detail ?? "a malformed request body");
    if (!answered) {
      this.#fault(fault);
    } else if (stream === undefined) {
      this.#linger();
    } else {
      this.#close();
      this.connection.reset();
    }
  }

  #headTimedOut(): void {
    const detail = `no whole head within ${this.#options.limits.headTimeoutMs} ms`;
    this.#fault({ status: 408, kind: "head_timeout", detail });
  }

  #fault(fault: ProtocolFault | undefined): void {
    if (this.#state === CLOSED || this.#state === LINGER || fault === undefined) return;
    // Before the handler is asked, so that whatever it calls meets a connection that takes nothing more.
    this.#close();
    const { head, body } = this.#handler.onFault(fault);
    const bytes = Buffer.from(body);
    const headers = head.headers.slice();
    removeHeader(headers, "content-length");
    headers.push("Content-Length", `${bytes.length}`);
    if (writeResponseHead(this.connection, { ...head, headers }, bytes.length === 0, faultContext))
      this.connection.write(bytes);
    this.#state = HEAD;
    this.#linger();
  }

  /** The client takes no more of its answer, or sends no more of the body that it has announced. */
  #giveUp(congested: boolean): void {
    if (!congested) return this.#badBody({ status: 408, kind: "body_timeout", detail: "the body does not come" });
    this.#close();
    this.#loseStream("overflow", "the client takes no more of its answer");
    return this.connection.reset();
  }

  #checkIdle(): void {
    const { clock, idleTimeoutMs } = this.#options;
    let wait = idleTimeoutMs;
    // A client that asks on without reading its answers is as idle as a silent one.
    if (this.#idle || (this.#state === HOLD && this.#stream === undefined)) {
      wait = this.#idleSince + idleTimeoutMs - clock.now();
      if (wait <= 0) {
        this.#linger();
        return;
      }
    }
    const { congested, bytesRead, bytesWritten, unsentBytes } = this.connection;
    // Who awaits a 100 owes nothing before it (RFC 9110 §10.1.1).
    const awaits100 = this.#stream?.awaits100 === true;
    const owesBody = this.#state === BODY && !this.#bodyPaused && !awaits100 && this.#body.framing === FRAMING_LENGTH;
    const owes = this.#state !== TUNNEL && (congested || owesBody);
    if (this.#standstill.look(owes ? bytesRead + bytesWritten - unsentBytes : -1)) this.#giveUp(congested);
    if (!this.connection.closed) this.#idleTimer = clock.after(wait, () => this.#checkIdle());
  }
}

function part(chunk: Buffer, from: number, to: number): Buffer {
  return from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to);
}
