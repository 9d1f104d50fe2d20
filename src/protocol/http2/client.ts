/** The client's end of an HTTP/2 connection. */
import type { Connection } from "../../net/connection.ts";
import {
  type ClientConnection,
  type ClientOwner,
  type ClientStream,
  type RequestHead,
  ResetCause,
  type ResponseReceiver,
} from "../exchange.ts";
import { ErrorCode, errorName, MAX_STREAM_ID, SettingId } from "./frames.ts";
import { KeepAlive } from "./keep-alive.ts";
import type { Http2ClientOptions } from "./options.ts";
import { type AnyStream, Http2Session } from "./session.ts";
import { Http2Stream } from "./stream.ts";

/** Streams that may be opened before the server has said how many (RFC 9113 §6.5.2 wants no less than 100). */
export const STREAMS_BEFORE_SETTINGS = 100;

const UNKNOWN = -1;

class Http2ClientStream extends Http2Stream<ResponseReceiver> {
  /** The answer to HEAD has no content, whatever its Content-Length says. */
  readonly isHead: boolean;

  constructor(id: number, connection: Http2ClientConnection, receiver: ResponseReceiver, isHead: boolean) {
    super(id, connection, receiver);
    this.isHead = isHead;
  }
}

export class Http2ClientConnection extends Http2Session implements ClientConnection {
  reused = false;
  readonly #owner: ClientOwner;
  readonly #keepAlive: KeepAlive | undefined;
  #nextStreamId: number;
  #peerStreams = UNKNOWN;

  /**
   * Takes the connection over; the caller resumes it. Requests may be opened at once.
   *
   * @param firstStreamId odd: where a test begins that wants to reach the last id
   */
  constructor(connection: Connection, owner: ClientOwner, options: Http2ClientOptions, firstStreamId = 1) {
    super(connection, options, false);
    this.#nextStreamId = firstStreamId;
    this.#owner = owner;
    this.writer.preface();
    this.sendSettings([SettingId.enablePush, 0]);
    const times = options.keepAlive;
    if (times === undefined) return;
    this.#keepAlive = new KeepAlive(options.clock, times, {
      bytesRead: () => connection.bytesRead,
      busy: () => this.streams.size > 0,
      ping: (payload) => this.writer.ping(false, payload, 0),
      expired: () => {
        const error = new Error(`no answer to a PING within ${times.timeoutMs} ms`);
        connection.destroy(Object.assign(error, { code: "ETIMEDOUT" }));
      },
    });
  }

  get usable(): boolean {
    return !this.closing;
  }

  get available(): number {
    if (!this.usable) return 0;
    const allowed = this.#peerStreams === UNKNOWN ? STREAMS_BEFORE_SETTINGS : this.#peerStreams;
    const most = Math.min(allowed, this.options.limits.concurrentStreams);
    return Math.max(0, most - this.streams.size);
  }

  open(head: RequestHead, end: boolean, receiver: ResponseReceiver): ClientStream {
    const stream = new Http2ClientStream(this.#nextStreamId, this, receiver, head.method === "HEAD");
    if (!this.usable || this.connection.closed) {
      stream.closed = true;
      const cause = new ResetCause("refused", "the connection takes no more requests");
      queueMicrotask(() => receiver.onReset(cause));
      return stream;
    }
    this.#nextStreamId += 2;
    // Ids are not used twice: with the last one the connection has served its time.
    if (this.#nextStreamId > MAX_STREAM_ID) this.closing = true;
    this.streams.add(stream);
    this.writer.requestHead(stream.id, head, end);
    if (end) {
      stream.endGiven = true;
      stream.localEnded = true;
    }
    this.#keepAlive?.touch();
    return stream;
  }

  /** Takes nothing new; closes when what has begun has ended. */
  shutdown(): void {
    if (this.closing) return;
    this.closing = true;
    this.writer.goaway(0, ErrorCode.noError, "");
    this.finishIfDone();
    this.#owner.onAvailable();
  }

  protected onStreamHead(stream: AnyStream, end: boolean): void {
    this.#onHead(stream as Http2ClientStream, end);
  }

  protected onUnknownHead(streamId: number): void {
    if (this.isIdle(streamId)) return this.fail(ErrorCode.protocolError, "HEADERS on a stream that was never opened");
    // Of streams given up the answer may still be on its way.
    if (this.closedStreams.endOf(streamId) === "ended by the peer") {
      return this.fail(ErrorCode.streamClosed, "HEADERS on a closed stream");
    }
    return this.countUseless("HEADERS on closed streams");
  }

  protected isIdle(streamId: number): boolean {
    return streamId % 2 === 0 || streamId >= this.#nextStreamId;
  }

  protected onPeerSetting(id: number, value: number): void {
    if (id === SettingId.maxConcurrentStreams) this.#peerStreams = value;
    else if (id === SettingId.enablePush && value !== 0) {
      this.fail(ErrorCode.protocolError, "a server that enables push");
    }
  }

  protected onPeerSettings(): void {
    // A server that has not named a limit has none.
    if (this.#peerStreams === UNKNOWN) this.#peerStreams = MAX_STREAM_ID;
    this.#owner.onAvailable();
  }

  protected onPeerGoaway(lastStreamId: number, code: number, detail: string): void {
    this.closing = true;
    const said = `GOAWAY ${errorName(code)}${detail === "" ? "" : `: ${detail}`}`;
    for (const stream of this.streams.all()) {
      if (stream.id > lastStreamId) this.loseRefused(stream, `not processed before ${said}`);
    }
    this.#owner.onAvailable();
    this.finishIfDone();
  }

  /** @internal */
  pingAck(): void {
    this.#keepAlive?.answered();
  }

  /** @internal The pool decides how long an unused connection is kept. */
  idle(): void {}

  protected onStreamGone(stream: AnyStream): void {
    this.reused ||= stream.remoteEnded;
    this.finishIfDone();
    this.#owner.onAvailable();
  }

  protected onConnectionFault(): void {
    this.#owner.onAvailable();
  }

  protected onGone(error: Error | undefined): void {
    this.#keepAlive?.stop();
    this.#owner.onClose(error);
  }

  #onHead(stream: Http2ClientStream, end: boolean): void {
    if (stream.headReceived) return this.deliverTrailers(stream, end);
    const block = this.head;
    if (block.tooLarge) return this.failStream(stream, ErrorCode.enhanceYourCalm, "the response head is too large");
    const head = block.response();
    if (head === undefined) return this.failStream(stream, ErrorCode.protocolError, block.flaw);
    if (head.status < 200) {
      if (end) return this.failStream(stream, ErrorCode.protocolError, "an interim response that ends the stream");
      this.countUseless("interim responses");
      if (!stream.closed) stream.receiver.onHead(head, false);
      return;
    }
    stream.headReceived = true;
    // These answers have no content, whatever their Content-Length says (RFC 9110 §6.4.1).
    if (stream.isHead || head.status === 304 || head.status === 204) {
      stream.expectedBytes = 0;
    } else {
      if (end && block.contentLength > 0) {
        return this.failStream(stream, ErrorCode.protocolError, "content-length without content");
      }
      stream.expectedBytes = block.contentLength;
    }
    const over = end && this.remoteEnd(stream);
    stream.receiver.onHead(head, end);
    if (over) this.onStreamGone(stream);
  }
}
