/**
 * The client end of an HTTP/1 connection: one exchange at a time, and no pipelining, because a request behind another
 * could not be given up without losing both.
 *
 * States of the input and how they follow each other:
 *
 *   IDLE ──open──▶ HEAD ──final head──▶ BODY ──last byte──▶ IDLE
 *                   └──101, or 2xx to CONNECT──▶ TUNNEL
 *   any ──fault, loss, answered early, last answer──▶ CLOSED
 */
import type { Connection, ConnectionHandler } from "../../net/connection.ts";
import {
  type ClientConnection,
  type ClientOwner,
  type ClientStream,
  type ProtocolFault,
  type RequestHead,
  ResetCause,
  type ResetCode,
  type ResponseReceiver,
} from "../exchange.ts";
import { BODY_BAD, BODY_DATA, BODY_LAST_DATA, BODY_MORE, BodyReader } from "./body-reader.ts";
import { BodyWriter } from "./body-writer.ts";
import { type ClientStreamOwner, Http1ClientStream } from "./client-stream.ts";
import { BAD, MORE } from "./field-scanner.ts";
import { EMPTY, FRAMING_CLOSE, FRAMING_NONE } from "./framing.ts";
import { writeRequestHead, written } from "./head-writer.ts";
import type { Http1Options } from "./options.ts";
import { ResponseReader } from "./response-reader.ts";

/** Interim heads before one final answer. Go's client bounds their bytes, ours their number; each has the bounds of a head. */
export const INTERIM_HEADS_MAX = 100;

const IDLE = 0;
const HEAD = 1;
const BODY = 2;
const TUNNEL = 3;
const CLOSED = 4;

export class Http1ClientConnection implements ClientConnection, ConnectionHandler, ClientStreamOwner {
  readonly connection: Connection;
  readonly bodyWriter = new BodyWriter();
  reused = false;

  readonly #owner: ClientOwner;
  readonly #reader: ResponseReader;
  readonly #body: BodyReader;
  #state = IDLE;
  #stream: Http1ClientStream | undefined = undefined;
  #closing = false;
  #bodyPaused = false;
  /** Interim heads of the answer in progress. */
  #interims = 0;

  constructor(connection: Connection, owner: ClientOwner, options: Http1Options) {
    this.connection = connection;
    this.#owner = owner;
    this.#reader = new ResponseReader(options.limits);
    this.#body = new BodyReader(options.limits);
    connection.handler = this;
  }

  get available(): number {
    return this.#state === IDLE && !this.#closing && this.#stream === undefined ? 1 : 0;
  }

  get active(): number {
    return this.#stream === undefined ? 0 : 1;
  }

  get usable(): boolean {
    return this.#state !== CLOSED && !this.#closing;
  }

  open(head: RequestHead, end: boolean, receiver: ResponseReceiver): ClientStream {
    const stream = new Http1ClientStream(this, receiver, head.upgrade !== "", end && head.upgrade === "");
    if (this.available === 0 || !writeRequestHead(this.connection, head, end || stream.upgrade)) {
      // Nothing has been written, so the connection is as good as before, and its owner may use it again.
      setImmediate(() => {
        stream.lost(new ResetCause("internal", "the request head cannot be written in HTTP/1"));
        if (this.available > 0) this.#owner.onAvailable();
      });
      return stream;
    }
    this.#stream = stream;
    this.#state = HEAD;
    this.#interims = 0;
    this.#reader.toHead = head.method === "HEAD";
    this.#reader.toConnect = head.method === "CONNECT";
    this.bodyWriter.start(written.framing, written.length);
    return stream;
  }

  shutdown(): void {
    if (this.#closing) return;
    this.#closing = true;
    if (this.#stream === undefined && this.#state === IDLE) this.#leave();
  }

  destroy(): void {
    if (this.#state === CLOSED) return;
    this.#state = CLOSED;
    this.#loseStream("cancelled", "the connection was closed by its owner");
    this.connection.destroy();
  }

  // What the connection says.

  onData(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      switch (this.#state) {
        case HEAD:
          at = this.#readHead(chunk, at);
          break;
        case BODY:
          at = this.#readBody(chunk, at);
          break;
        case TUNNEL:
          this.#stream?.receiver.onData(at === 0 ? chunk : chunk.subarray(at), false);
          return;
        case IDLE:
          // Bytes that no request asked for could pass for the answer to the next one.
          this.#leave();
          return;
        default:
          return;
      }
    }
  }

  onEnd(): void {
    const stream = this.#stream;
    if (stream !== undefined && this.#state === BODY && this.#body.framing === FRAMING_CLOSE) {
      this.#endResponse(stream, EMPTY);
    } else if (stream !== undefined && this.#state === TUNNEL) {
      this.#endTunnelInput(stream);
    } else if (this.#state !== CLOSED) {
      const within = this.#state === HEAD && !this.#reader.partial ? "before" : "within";
      this.#leave();
      this.#loseStream("closed", `the server closed the connection ${within} its response`);
    }
  }

  onDrain(): void {
    const stream = this.#stream;
    if (stream !== undefined && stream.open && !stream.requestEnded) stream.receiver.onWritable();
  }

  onClose(error: Error | undefined): void {
    this.#state = CLOSED;
    this.#loseStream("closed", error === undefined ? "the server closed the connection" : error.message);
    this.#owner.onClose(error);
  }

  // What the stream says.

  requestEnded(stream: Http1ClientStream): void {
    if (!stream.tunnel) return;
    this.connection.end();
    if (stream.responseEnded) this.#stream = undefined;
  }

  abort(stream: Http1ClientStream): void {
    if (this.#stream !== stream) return;
    this.#stream = undefined;
    this.#state = CLOSED;
    this.connection.reset();
  }

  pauseResponse(stream: Http1ClientStream): void {
    if (this.#stream !== stream) return;
    this.#bodyPaused = true;
    this.connection.pause();
  }

  resumeResponse(stream: Http1ClientStream): void {
    if (this.#stream !== stream) return;
    this.#unpauseBody();
  }

  // Input.

  #readHead(chunk: Buffer, from: number): number {
    const reader = this.#reader;
    const stream = this.#stream;
    const at = reader.read(chunk, from);
    if (at === MORE) return chunk.length;
    if (stream === undefined || at === BAD) {
      this.#fault(reader.fault);
      return chunk.length;
    }
    const { head } = reader;
    if (head.status === 101 && (!stream.upgrade || reader.toConnect || head.upgrade === "")) {
      this.#fault({ status: 400, kind: "bad_upgrade", detail: "a 101 that was not asked for" });
      return chunk.length;
    }
    if (head.status < 200 || head.upgrade !== "") {
      if (head.upgrade !== "") {
        stream.tunnel = true;
        this.#state = TUNNEL;
        this.bodyWriter.start(FRAMING_CLOSE, 0);
      } else if (++this.#interims > INTERIM_HEADS_MAX) {
        // Nothing holds them back: they are written on at once, however slowly the caller reads.
        this.#fault({ status: 400, kind: "interim_heads", detail: `over ${INTERIM_HEADS_MAX} interim heads` });
        return chunk.length;
      }
      stream.receiver.onHead(head, false);
      return at;
    }
    // An upgrade that is not granted leaves a request without a body.
    if (stream.upgrade) stream.requestEnded = true;
    if (!reader.keepAlive) this.#closing = true;
    if (reader.framing === FRAMING_NONE) {
      this.#finish(stream, at < chunk.length);
      stream.receiver.onHead(head, true);
      this.#afterResponse();
      return chunk.length;
    }
    this.#state = BODY;
    this.#body.start(reader.framing, reader.bodyLength);
    stream.receiver.onHead(head, false);
    return at;
  }

  #readBody(chunk: Buffer, from: number): number {
    const body = this.#body;
    const stream = this.#stream;
    const event = body.next(chunk, from);
    const at = body.position;
    if (event === BODY_MORE) return at;
    if (event === BODY_BAD || stream === undefined) {
      this.#fault(body.fault);
      return chunk.length;
    }
    const { dataStart, dataEnd } = body;
    if (event === BODY_DATA) {
      stream.receiver.onData(
        dataStart === 0 && dataEnd === chunk.length ? chunk : chunk.subarray(dataStart, dataEnd),
        false,
      );
      return at;
    }
    this.#finish(stream, at < chunk.length);
    if (event === BODY_LAST_DATA) stream.receiver.onData(chunk.subarray(dataStart, dataEnd), true);
    else if (body.trailers.length > 0) stream.receiver.onTrailers(body.trailers);
    else stream.receiver.onData(EMPTY, true);
    this.#afterResponse();
    return chunk.length;
  }

  #endResponse(stream: Http1ClientStream, last: Buffer): void {
    this.#finish(stream, false);
    stream.receiver.onData(last, true);
    this.#afterResponse();
  }

  /** The response is whole. Changes all state before the receiver hears of it. */
  #finish(stream: Http1ClientStream, surplus: boolean): void {
    // An answer before the end of the request, or bytes behind the answer: this connection has no next exchange.
    if (!stream.requestEnded || surplus) this.#closing = true;
    stream.open = false;
    this.#stream = undefined;
    this.#state = IDLE;
    this.reused = true;
    this.#unpauseBody();
  }

  #afterResponse(): void {
    if (this.#state === CLOSED) return;
    if (this.#closing && this.#stream === undefined) this.#leave();
    else this.#owner.onAvailable();
  }

  #endTunnelInput(stream: Http1ClientStream): void {
    if (stream.responseEnded) return;
    stream.responseEnded = true;
    if (stream.requestEnded) {
      stream.open = false;
      this.#stream = undefined;
    }
    stream.receiver.onData(EMPTY, true);
  }

  #unpauseBody(): void {
    if (!this.#bodyPaused) return;
    this.#bodyPaused = false;
    this.connection.resume();
  }

  // The end.

  #fault(fault: ProtocolFault | undefined): void {
    this.#state = CLOSED;
    this.connection.reset();
    this.#loseStream("protocol", fault?.detail ?? "a malformed response");
  }

  #leave(): void {
    this.#state = CLOSED;
    this.connection.destroy();
  }

  #loseStream(code: ResetCode, detail: string): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    this.#stream = undefined;
    stream.lost(new ResetCause(code, detail));
  }
}
