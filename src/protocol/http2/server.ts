/** The server's end of an HTTP/2 connection. */
import type { Timer } from "../../net/clock.ts";
import type { Connection } from "../../net/connection.ts";
import type {
  BodyReceiver,
  RequestHead,
  ResponseHead,
  ServerConnection,
  ServerHandler,
  ServerStream,
} from "../exchange.ts";
import { removeHeader } from "../headers.ts";
import { ErrorCode, errorName, MAX_FRAME_BYTES, MAX_STREAM_ID, SettingId } from "./frames.ts";
import type { Http2Options } from "./options.ts";
import { type AnyStream, Http2Session } from "./session.ts";
import { Http2Stream } from "./stream.ts";
import { Http2TunnelStream } from "./tunnel-stream.ts";

/** Milliseconds that a client has to answer our first GOAWAY's PING, before the last stream is fixed. */
export const SHUTDOWN_NOTICE_MS = 1_000;

const SHUTDOWN_PING = Buffer.from("farewell");

/** Until the handler has set its own: it must do so before `onRequest` returns. */
const noReceiver: BodyReceiver = {
  onData() {},
  onTrailers() {},
  onReset() {},
  onWritable() {},
};

class Http2ServerStream extends Http2Stream implements ServerStream {
  readonly #connection: Http2ServerConnection;

  constructor(id: number, connection: Http2ServerConnection) {
    super(id, connection, noReceiver);
    this.#connection = connection;
  }

  sendHead(head: ResponseHead, end: boolean): void {
    if (this.closed || this.endGiven) return;
    this.#connection.sendHead(this, head, end);
  }
}

export class Http2ServerConnection extends Http2Session implements ServerConnection {
  readonly #handler: ServerHandler;
  /** After the first GOAWAY, until the last stream is fixed. */
  #shutdownTimer: Timer | undefined;
  /** Streams above are ignored: set by the last GOAWAY. */
  #lastStreamId = MAX_STREAM_ID;
  /** The highest of those: what follows on them is ignored as well. */
  #lastIgnored = 0;

  /** Takes the connection over. The caller feeds what it has read already with `onData`, then resumes the connection. */
  constructor(connection: Connection, handler: ServerHandler, options: Http2Options) {
    super(connection, options, true);
    this.#handler = handler;
    const { concurrentStreams } = options.limits;
    this.sendSettings([SettingId.maxConcurrentStreams, concurrentStreams, SettingId.enableConnectProtocol, 1]);
  }

  receivers(): BodyReceiver[] {
    return this.streams.all().map(({ user }) => user);
  }

  /** Announces the end, waits until the client must have heard of it, and closes when what has begun has ended. */
  shutdown(): void {
    if (this.closing || this.#shutdownTimer !== undefined) return;
    // The highest id first: requests that are on their way already are still served (RFC 9113 §6.8).
    this.writer.goaway(MAX_STREAM_ID, ErrorCode.noError, "shutting down");
    this.writer.ping(false, SHUTDOWN_PING, 0);
    this.#shutdownTimer = this.options.clock.after(SHUTDOWN_NOTICE_MS, () => this.#fixLastStream());
  }

  /** @internal */
  sendHead(stream: AnyStream, head: ResponseHead, end: boolean): void {
    this.writer.responseHead(stream.id, head, end);
    if (!end) return;
    stream.endGiven = true;
    this.localEnd(stream);
  }

  protected onUnknownHead(streamId: number, end: boolean): void {
    if (streamId % 2 === 0) return this.fail(ErrorCode.protocolError, "HEADERS on a stream of the server's");
    if (streamId <= this.lastPeerStreamId) return this.#onLateHead(streamId);
    if (streamId > this.#lastStreamId) return this.#ignore(streamId);
    this.lastPeerStreamId = streamId;
    if (this.streams.size >= this.options.limits.concurrentStreams) {
      this.closedStreams.add(streamId, end);
      return this.refuseStream(streamId, ErrorCode.refusedStream);
    }
    const head = this.head;
    if (head.tooLarge) return this.#refuseLargeHead(streamId, end);
    const request = head.request();
    if (request === undefined) return this.#refuseMalformed(streamId, end, head.flaw);
    if (end && head.contentLength > 0) {
      return this.#refuseMalformed(streamId, end, "content-length without content");
    }
    this.#open(streamId, request, end);
  }

  protected onStreamHead(stream: AnyStream, end: boolean): void {
    if (stream instanceof Http2TunnelStream) {
      // RFC 9113 §8.5.
      return this.failStream(stream, ErrorCode.protocolError, "HEADERS within a tunnel");
    }
    this.deliverTrailers(stream, end);
  }

  protected isIdle(streamId: number): boolean {
    return streamId % 2 === 0 || streamId > Math.max(this.lastPeerStreamId, this.#lastIgnored);
  }

  protected onPeerSetting(): void {}

  protected onPeerSettings(): void {}

  protected onPeerGoaway(): void {
    this.closing = true;
    this.finishIfDone();
  }

  /** @internal */
  pingAck(): void {
    if (this.#shutdownTimer !== undefined) this.#fixLastStream();
  }

  /** @internal */
  idle(): void {
    this.shutdown();
  }

  protected onStreamGone(): void {
    this.finishIfDone();
  }

  protected onConnectionFault(code: number, detail: string): void {
    this.#handler.onFault({ status: 400, kind: `http2_${errorName(code).toLowerCase()}`, detail });
  }

  protected onGone(): void {
    this.#shutdownTimer?.cancel();
    this.#handler.onClose();
  }

  #open(streamId: number, request: RequestHead, end: boolean): void {
    if (request.upgrade !== "") return this.#openTunnel(streamId, request, end);
    const stream = new Http2ServerStream(streamId, this);
    stream.remoteEnded = end;
    stream.expectedBytes = this.head.contentLength;
    this.streams.add(stream);
    this.#handler.onRequest(stream, request, end);
  }

  #openTunnel(streamId: number, request: RequestHead, end: boolean): void {
    const stream = new Http2TunnelStream(streamId, this, request.method !== "CONNECT", noReceiver);
    stream.remoteEnded = end;
    this.streams.add(stream);
    this.#handler.onRequest(stream, request, false);
    stream.guard();
  }

  /** Of a stream that the client opened before it read our GOAWAY, which tells it to try elsewhere (RFC 9113 §6.8). */
  #ignore(streamId: number): void {
    if (streamId > this.#lastIgnored) {
      this.#lastIgnored = streamId;
      this.closedStreams.add(streamId, false);
    }
    this.countUseless("requests after GOAWAY");
  }

  #onLateHead(streamId: number): void {
    const end = this.closedStreams.endOf(streamId);
    if (end === "ended by the peer") return this.fail(ErrorCode.streamClosed, "HEADERS on a closed stream");
    if (end === "reset by us" || this.closedStreams.incomplete) return this.countUseless("HEADERS on closed streams");
    this.fail(ErrorCode.protocolError, "a new stream with a lower number than an earlier one");
  }

  #refuseMalformed(streamId: number, end: boolean, flaw: string): void {
    this.closedStreams.add(streamId, end);
    this.#handler.onFault({ status: 400, kind: "malformed_request", detail: flaw });
    this.refuseStream(streamId, ErrorCode.protocolError);
  }

  #refuseLargeHead(streamId: number, end: boolean): void {
    this.closedStreams.add(streamId, end);
    const { headBytes, headerCount } = this.options.limits;
    this.countUseless("heads that are too large");
    if (this.dead) return;
    const detail = `more than ${headBytes} octets or ${headerCount} fields in a head`;
    const answer = this.#handler.onFault({ status: 431, kind: "headers_too_large", detail });
    const body = Buffer.from(answer.body);
    const room = Math.min(this.peerStreamWindow, this.scheduler.window, MAX_FRAME_BYTES);
    const withBody = body.length > 0 && body.length <= room;
    if (!withBody) removeHeader(answer.head.headers, "content-length");
    this.writer.responseHead(streamId, answer.head, !withBody);
    if (withBody) {
      this.scheduler.window -= body.length;
      this.writer.data(streamId, body, 0, body.length, true);
    }
    if (!end) this.refuseStream(streamId, ErrorCode.noError);
  }

  #fixLastStream(): void {
    this.#shutdownTimer?.cancel();
    this.#shutdownTimer = undefined;
    if (this.closing) return;
    this.closing = true;
    this.#lastStreamId = this.lastPeerStreamId;
    this.writer.goaway(this.lastPeerStreamId, ErrorCode.noError, "shutting down");
    this.finishIfDone();
  }
}
