/** The client's end of an HTTP/2 connection. */
import type { Connection } from "../../net/connection.ts";
import {
  type ClientConnection,
  type ClientOwner,
  type ClientStream,
  type RequestHead,
  ResetCause,
  type ResponseHead,
  type ResponseReceiver,
} from "../exchange.ts";
import { removeHeader } from "../headers.ts";
import { ErrorCode, errorName, MAX_STREAM_ID, SettingId } from "./frames.ts";
import { KeepAlive } from "./keep-alive.ts";
import type { Http2ClientOptions } from "./options.ts";
import { type AnyStream, Http2Session } from "./session.ts";
import { Http2Stream } from "./stream.ts";
import { WaitingRequest } from "./waiting-request.ts";

/** Streams that may be opened before the server has said how many (RFC 9113 §6.5.2 wants no less than 100). */
export const STREAMS_BEFORE_SETTINGS = 100;

const UNKNOWN = -1;

const EMPTY = Buffer.alloc(0);

class Http2ClientStream extends Http2Stream<ResponseReceiver> {
  /** The answer to HEAD has no content, whatever its Content-Length says. */
  readonly isHead: boolean;
  /** It asks for a tunnel, by extended CONNECT unless `connect`. */
  readonly upgrade: string;
  readonly connect: boolean;

  constructor(id: number, connection: Http2ClientConnection, receiver: ResponseReceiver, head: RequestHead) {
    super(id, connection, receiver);
    this.isHead = head.method === "HEAD";
    this.upgrade = head.upgrade;
    this.connect = head.method === "CONNECT";
  }
}

export class Http2ClientConnection extends Http2Session implements ClientConnection {
  reused = false;
  readonly #owner: ClientOwner;
  readonly #keepAlive: KeepAlive | undefined;
  #nextStreamId: number;
  #peerStreams = UNKNOWN;
  /** The server takes extended CONNECT (RFC 8441 §3). */
  #takesUpgrades = false;
  readonly #waiting = new Set<WaitingRequest>();

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
      busy: () => this.active > 0,
      ping: (payload) => this.writer.ping(false, payload, 0),
      expired: () => {
        const error = new Error(`no answer to a PING within ${times.timeoutMs} ms`);
        connection.destroy(Object.assign(error, { code: "ETIMEDOUT" }));
      },
    });
  }

  override get active(): number {
    return this.streams.size + this.#waiting.size;
  }

  get usable(): boolean {
    return !this.closing;
  }

  get available(): number {
    if (!this.usable) return 0;
    const allowed = this.#peerStreams === UNKNOWN ? STREAMS_BEFORE_SETTINGS : this.#peerStreams;
    const most = Math.min(allowed, this.options.limits.concurrentStreams);
    return Math.max(0, most - this.active);
  }

  /** An upgrade waits until the server has said whether it takes them. */
  open(head: RequestHead, end: boolean, receiver: ResponseReceiver): ClientStream {
    const usable = this.usable && !this.connection.closed;
    const upgrade = head.upgrade !== "" && head.method !== "CONNECT";
    if (usable && (!upgrade || this.#takesUpgrades)) return this.#start(head, end, receiver);
    const waiting = new WaitingRequest(head, receiver, (given) => this.#giveUp(given));
    this.#waiting.add(waiting);
    if (!usable) queueMicrotask(() => this.#refuse(waiting));
    else if (this.#peerStreams !== UNKNOWN) queueMicrotask(() => this.#decideOn(waiting));
    this.#keepAlive?.touch();
    return waiting;
  }

  #start(head: RequestHead, end: boolean, receiver: ResponseReceiver): ClientStream {
    const stream = new Http2ClientStream(this.#nextStreamId, this, receiver, head);
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
    this.#refuseWaiting();
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
    else if (id === SettingId.enableConnectProtocol) {
      if (this.#takesUpgrades && value === 0) {
        this.fail(ErrorCode.protocolError, "SETTINGS_ENABLE_CONNECT_PROTOCOL taken back");
      }
      this.#takesUpgrades = value === 1;
    } else if (id === SettingId.enablePush && value !== 0) {
      this.fail(ErrorCode.protocolError, "a server that enables push");
    }
  }

  protected onPeerSettings(): void {
    // A server that has not named a limit has none.
    if (this.#peerStreams === UNKNOWN) this.#peerStreams = MAX_STREAM_ID;
    for (const waiting of this.#waiting) this.#decideOn(waiting);
    this.#owner.onAvailable();
  }

  protected onPeerGoaway(lastStreamId: number, code: number, detail: string): void {
    this.closing = true;
    const said = `GOAWAY ${errorName(code)}${detail === "" ? "" : `: ${detail}`}`;
    for (const stream of this.streams.all()) {
      if (stream.id > lastStreamId) this.loseRefused(stream, `not processed before ${said}`);
    }
    this.#refuseWaiting();
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
    this.#refuseWaiting();
    this.#owner.onClose(error);
  }

  /** The server has said what it takes. */
  #decideOn(waiting: WaitingRequest): void {
    if (!this.#waiting.has(waiting)) return;
    if (!this.usable || this.streams.size >= this.#peerStreams) {
      this.#refuse(waiting);
    } else if (this.#takesUpgrades) {
      this.#waiting.delete(waiting);
      waiting.begin(this.#start(waiting.head, false, waiting.receiver));
    } else {
      this.#waiting.delete(waiting);
      const detail = "the server does not take extended CONNECT (RFC 8441)";
      waiting.receiver.onReset(new ResetCause("protocol", detail, ErrorCode.http11Required));
      this.#owner.onAvailable();
    }
  }

  #refuse(waiting: WaitingRequest): void {
    if (!this.#waiting.delete(waiting)) return;
    waiting.receiver.onReset(new ResetCause("refused", "the connection takes no more requests"));
  }

  #refuseWaiting(): void {
    for (const waiting of this.#waiting) this.#refuse(waiting);
  }

  #giveUp(waiting: WaitingRequest): void {
    if (this.#waiting.delete(waiting)) this.#owner.onAvailable();
  }

  #onHead(stream: Http2ClientStream, end: boolean): void {
    // RFC 9113 §8.5.
    if (stream.tunnel) return this.failStream(stream, ErrorCode.protocolError, "HEADERS within a tunnel");
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
    if (stream.upgrade !== "") {
      if (head.status < 300) return this.#onGrant(stream, head, end);
      // Declined: there is nothing to be sent (rule 6).
      stream.sendData(EMPTY, true);
    }
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

  #onGrant(stream: Http2ClientStream, head: ResponseHead, end: boolean): void {
    stream.tunnel = true;
    removeHeader(head.headers, "content-length");
    head.upgrade = stream.connect ? "connect" : stream.upgrade;
    if (!stream.connect) head.status = 101;
    stream.receiver.onHead(head, false);
    if (!end || stream.closed) return;
    const over = this.remoteEnd(stream);
    stream.receiver.onData(EMPTY, true);
    if (over) this.onStreamGone(stream);
  }
}
