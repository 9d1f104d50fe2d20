/**
 * What both ends of an HTTP/2 connection have in common (RFC 9113): the life of the connection, flow control, and which
 * frame means what to which stream. The roles add what a head means to them.
 */
import type { Connection, ConnectionHandler } from "../../net/connection.ts";
import type { Timer } from "../../net/clock.ts";
import { ResetCause } from "../exchange.ts";
import { Budget } from "./budget.ts";
import { ClosedStreams } from "./closed-streams.ts";
import { DEFAULT_WINDOW_BYTES, MAX_WINDOW_BYTES, SendScheduler } from "./flow-control.ts";
import { CONTROL_BACKLOG_BYTES_MAX, FrameWriter } from "./frame-writer.ts";
import { ErrorCode, errorName, SettingId } from "./frames.ts";
import type { Holder } from "./held-bytes.ts";
import { type FrameMeaning, InboundFrames } from "./inbound-frames.ts";
import type { MessageHead } from "./message.ts";
import type { Http2Options } from "./options.ts";
import { Patrol, type Patrolled } from "./patrol.ts";
import { creditIsDue, ReceiveWindows } from "./receive-windows.ts";
import { RecentHeads } from "./recent-heads.ts";
import { errorCodeOf, resetCodeOf } from "./reset-code.ts";
import { StreamTable } from "./stream-table.ts";
import type { Http2Stream } from "./stream.ts";

/** Frames without use (PING, SETTINGS, empty DATA, …) that a peer may send in a row before it is told to calm down. */
export const USELESS_FRAMES_MAX = 1_000;
/** Streams that a peer may reset, or make us reset, in a row; at least twice what it may have open. */
export const RESETS_MAX = 1_000;
/** What comes back of both with time. */
const FORGIVEN_PER_SECOND = 100;

/** Milliseconds that a peer has to read our GOAWAY and close, before we do. */
export const LINGER_MS = 1_000;

/** Milliseconds that a peer has to acknowledge our SETTINGS (RFC 9113 §6.5.3): as long as for a head. */
export const SETTINGS_ACK_MS = 10_000;

/** WINDOW_UPDATE frames that are reasonable for each DATA frame sent; Envoy allows as many. */
const UPDATES_PER_DATA_FRAME = 10;

export type AnyStream = Http2Stream;

const EMPTY = Buffer.alloc(0);

export abstract class Http2Session implements ConnectionHandler, FrameMeaning, Holder, Patrolled {
  /** @internal */
  readonly options: Http2Options;
  /** @internal */
  readonly scheduler: SendScheduler;
  /** @internal The initial window that the peer gives to each stream. */
  peerStreamWindow = DEFAULT_WINDOW_BYTES;
  /** The same while a SETTINGS frame is read, which may name it more than once: each change is a walk over all streams. */
  #newStreamWindow = DEFAULT_WINDOW_BYTES;

  protected readonly connection: Connection;
  protected readonly writer: FrameWriter;
  protected readonly streams = new StreamTable<AnyStream>();
  protected readonly closedStreams = new ClosedStreams();
  /** The highest stream of the peer's that was looked at; what GOAWAY tells. */
  protected lastPeerStreamId = 0;
  /** GOAWAY with an error has been sent, or the connection is gone: nothing is read any more. */
  protected dead = false;
  /** Nothing new is taken; the connection closes when the last stream has ended. */
  protected closing = false;

  readonly #server: boolean;
  readonly #inbound: InboundFrames;
  readonly #heads: RecentHeads;
  readonly #windows: ReceiveWindows;
  readonly #useless: Budget;
  readonly #resets: Budget;
  readonly #patrol: Patrol;
  #settingsTimer: Timer | undefined;
  /** WINDOW_UPDATE frames, less what DATA frames sent account for. */
  #windowUpdates = 0;

  #uncredited = 0;
  #readingPaused = false;
  // The DATA frame at hand.
  #dataStream: AnyStream | undefined;
  #dataEnds = false;
  #dataLength = 0;
  #dataContent = 0;
  #reading = false;
  /** Streams whose answer ended before the request did, in this read. */
  #early: AnyStream[] = [];
  #headTimer: Timer | undefined;
  #lingerTimer: Timer | undefined;

  constructor(connection: Connection, options: Http2Options, server: boolean) {
    const { limits, clock } = options;
    this.options = options;
    this.connection = connection;
    this.#server = server;
    this.writer = new FrameWriter(connection);
    this.scheduler = new SendScheduler(connection, this.writer, this, options.held);
    this.#heads = new RecentHeads(limits);
    this.#inbound = new InboundFrames(this, limits.headBytes, server);
    this.#windows = new ReceiveWindows(options.streamWindowBytes, clock);
    this.#useless = new Budget(USELESS_FRAMES_MAX, FORGIVEN_PER_SECOND, clock);
    const resets = Math.max(RESETS_MAX, 2 * limits.concurrentStreams);
    this.#resets = new Budget(resets, FORGIVEN_PER_SECOND, clock);
    this.#patrol = new Patrol(clock, this, connection, this.scheduler, this.streams, this.closedStreams);
    connection.handler = this;
  }

  /** The fields of the header block received last. */
  protected get head(): MessageHead {
    return this.#heads.head;
  }

  /** Exchanges that have not ended. */
  get active(): number {
    return this.streams.size;
  }

  // What the roles add.

  /** A head or trailers on an open stream. @param end it has END_STREAM */
  protected abstract onStreamHead(stream: AnyStream, end: boolean): void;
  /** A head on a stream that is not open. */
  protected abstract onUnknownHead(streamId: number, end: boolean): void;
  /** True if this stream was never used by either side. */
  protected abstract isIdle(streamId: number): boolean;
  protected abstract onPeerSetting(id: number, value: number): void;
  /** A SETTINGS frame has been applied. */
  protected abstract onPeerSettings(): void;
  /** @internal No stream was open for long. */
  abstract idle(): void;
  protected abstract onPeerGoaway(lastStreamId: number, code: number, detail: string): void;
  /** @internal */
  abstract pingAck(): void;
  /** A stream has ended and its receiver has been told. */
  protected abstract onStreamGone(stream: AnyStream): void;
  /** We end the connection because the peer broke the protocol. */
  protected abstract onConnectionFault(code: number, detail: string): void;
  /** The connection is gone; all streams have been told. */
  protected abstract onGone(error: Error | undefined): void;

  /** Sends what each side begins with: settings, and the connection's window. */
  protected sendSettings(extra: readonly number[]): void {
    const { limits, streamWindowBytes, connectionWindowBytes } = this.options;
    const common = [SettingId.initialWindowSize, streamWindowBytes, SettingId.maxHeaderListSize, limits.headBytes];
    this.writer.settings([...extra, ...common]);
    if (connectionWindowBytes > DEFAULT_WINDOW_BYTES) {
      this.writer.windowUpdate(0, connectionWindowBytes - DEFAULT_WINDOW_BYTES);
    }
    this.#settingsTimer = this.options.clock.after(SETTINGS_ACK_MS, () =>
      this.fail(ErrorCode.settingsTimeout, "SETTINGS were not acknowledged in time"),
    );
  }

  // From the connection.

  onData(chunk: Buffer): void {
    this.#reading = true;
    this.#inbound.read(chunk);
    this.#reading = false;
    if (this.#early.length > 0) this.#resetEarly();
    if (this.dead) return;
    if (this.#inbound.unfinished) this.#headTimer ??= this.#watch();
    if (this.writer.backlogBytes > CONTROL_BACKLOG_BYTES_MAX && !this.#readingPaused) {
      this.#readingPaused = true;
      this.connection.pause();
    }
  }

  onDrain(): void {
    this.writer.backlogBytes = 0;
    if (this.#readingPaused) {
      this.#readingPaused = false;
      this.connection.resume();
    }
    this.scheduler.drained();
  }

  onEnd(): void {
    if (this.dead) return;
    this.closing = true;
    // Nothing more comes: streams that wait for input or for a window are lost, other answers may be finished.
    for (const stream of this.streams.all()) {
      if (!stream.remoteEnded || !this.#server || stream.heldBytes > stream.sendWindow)
        this.#lose(stream, new ResetCause("closed", "the peer has closed the connection"));
    }
    this.finishIfDone();
  }

  onClose(error: Error | undefined): void {
    this.dead = true;
    this.closing = true;
    this.#inbound.stop();
    this.#stopTimers();
    this.#lingerTimer?.cancel();
    const detail = error === undefined ? "the connection was closed" : `the connection was lost: ${error.message}`;
    this.#loseAll(new ResetCause("closed", detail));
    this.onGone(error);
  }

  /** Closes at once; open exchanges are reset. */
  destroy(): void {
    if (this.connection.closed) return;
    this.dead = true;
    this.closing = true;
    this.#inbound.stop();
    this.#loseAll(new ResetCause("closed", "the connection was given up"));
    this.connection.destroy();
  }

  /** Closes the connection if it is to be closed and nothing is left to do. */
  protected finishIfDone(): void {
    if (!this.closing || this.dead || this.streams.size > 0) return;
    this.dead = true;
    this.#inbound.stop();
    this.#endConnection();
  }

  // What frames mean.

  /** @internal A connection error: GOAWAY, then the end. */
  fail(code: number, detail: string): void {
    if (this.dead) return;
    this.dead = true;
    this.closing = true;
    this.#inbound.stop();
    this.writer.goaway(this.lastPeerStreamId, code, detail);
    this.#loseAll(new ResetCause("protocol", `${errorName(code)}: ${detail}`, code));
    this.onConnectionFault(code, detail);
    this.#endConnection();
  }

  /** @internal */
  countUseless(what: string): void {
    if (!this.#useless.spend()) this.fail(ErrorCode.enhanceYourCalm, `too many ${what}`);
  }

  /** @internal */
  dataStarts(streamId: number, length: number, endStream: boolean): void {
    this.#dataStream = undefined;
    this.#dataEnds = endStream;
    this.#dataLength = length;
    // No check of the connection's window: it is never less than half open, and no frame is that large.
    this.#uncredited += length;
    this.#dataContent = 0;
    const stream = this.streams.get(streamId);
    if (stream === undefined) return this.#onUnknownData(streamId);
    if (stream.remoteEnded) return this.failStream(stream, ErrorCode.streamClosed, "DATA after END_STREAM");
    if (!this.#server && !stream.headReceived) {
      return this.failStream(stream, ErrorCode.protocolError, "DATA before the response head");
    }
    stream.receiveWindow -= length;
    if (stream.receiveWindow < 0) {
      return this.failStream(stream, ErrorCode.flowControlError, "DATA beyond the stream's window");
    }
    this.#dataStream = stream;
  }

  /** @internal */
  dataPiece(bytes: Buffer, start: number, end: number, last: boolean): void {
    this.#dataContent += end - start;
    if (last) this.#dataOver();
    if (last && creditIsDue(this.#uncredited, this.options.connectionWindowBytes) && !this.dead) {
      this.writer.windowUpdate(0, this.#uncredited);
      this.#uncredited = 0;
    }
    const stream = this.#dataStream;
    if (stream === undefined || stream.closed) return;
    stream.receivedBytes += end - start;
    const ended = last && this.#dataEnds;
    if (stream.expectedBytes >= 0) {
      if (stream.receivedBytes > stream.expectedBytes || (ended && stream.receivedBytes < stream.expectedBytes)) {
        return this.failStream(stream, ErrorCode.protocolError, "content differs from content-length");
      }
    }
    if (ended) {
      const chunk = start === end ? EMPTY : bytes.subarray(start, end);
      const over = this.remoteEnd(stream);
      stream.receiver.onData(chunk, true);
      if (over) this.onStreamGone(stream);
      return;
    }
    if (start !== end) stream.receiver.onData(bytes.subarray(start, end), false);
    if (last && !stream.closed) {
      stream.uncredited += this.#dataLength;
      this.credit(stream);
    }
  }

  /** @internal */
  headerBlock(
    streamId: number,
    endStream: boolean,
    dependsOn: number,
    bytes: Buffer,
    start: number,
    end: number,
  ): void {
    const flaw = dependsOn === streamId ? "stream depends on itself" : "";
    const error = this.#heads.read(bytes, start, end, flaw);
    if (error !== undefined) return this.fail(ErrorCode.compressionError, error);
    const stream = this.streams.get(streamId);
    if (stream === undefined) this.onUnknownHead(streamId, endStream);
    else if (stream.remoteEnded) this.failStream(stream, ErrorCode.streamClosed, "HEADERS after END_STREAM");
    else this.onStreamHead(stream, endStream);
  }

  /** @internal */
  streamError(streamId: number, code: number, detail: string): void {
    const stream = this.streams.get(streamId);
    // RST_STREAM is not for idle streams: the connection suffers instead (RFC 9113 §6.4).
    if (stream !== undefined) this.failStream(stream, code, detail);
    else if (this.isIdle(streamId)) this.fail(code, detail);
    else this.refuseStream(streamId, code);
  }

  /** @internal */
  streamReset(streamId: number, code: number): void {
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      if (this.isIdle(streamId)) return this.fail(ErrorCode.protocolError, "RST_STREAM on an idle stream");
      return this.countUseless("RST_STREAM frames");
    }
    this.#lose(stream, new ResetCause(resetCodeOf(code), `the peer reset the stream: ${errorName(code)}`, code));
    // A client has asked for these streams itself; to a server they may be an attack.
    if (this.#server && !this.#resets.spend()) this.fail(ErrorCode.enhanceYourCalm, "too many streams were reset");
  }

  /** @internal */
  setting(id: number, value: number): void {
    if (id === SettingId.headerTableSize) this.writer.encoder.setPeerTableBytes(value);
    else if (id === SettingId.initialWindowSize) this.#newStreamWindow = value;
    else this.onPeerSetting(id, value);
  }

  /** @internal */
  settingsAck(): void {
    if (this.#settingsTimer === undefined) return this.countUseless("SETTINGS acknowledgements");
    this.#settingsTimer.cancel();
    this.#settingsTimer = undefined;
  }

  /** @internal */
  settingsEnd(): void {
    if (this.#newStreamWindow !== this.peerStreamWindow) this.#changeStreamWindows(this.#newStreamWindow);
    if (this.dead) return;
    this.writer.settingsAck();
    this.countUseless("SETTINGS frames");
    this.onPeerSettings();
    this.scheduler.pump();
  }

  /** @internal */
  ping(bytes: Buffer, offset: number): void {
    this.writer.ping(true, bytes, offset);
    this.countUseless("PING frames");
  }

  /** @internal */
  goaway(lastStreamId: number, code: number, detail: string): void {
    this.onPeerGoaway(lastStreamId, code, detail);
    this.countUseless("GOAWAY frames");
  }

  /** @internal */
  windowUpdate(streamId: number, increment: number): void {
    if (++this.#windowUpdates > USELESS_FRAMES_MAX) this.#countWindowUpdates();
    if (streamId === 0) {
      if (increment === 0) return this.fail(ErrorCode.protocolError, "WINDOW_UPDATE of 0");
      if (this.scheduler.grant(increment)) return this.scheduler.pump();
      return this.fail(ErrorCode.flowControlError, "the connection's window is too large");
    }
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      if (this.isIdle(streamId)) this.fail(ErrorCode.protocolError, "WINDOW_UPDATE on an idle stream");
      return;
    }
    if (increment === 0) return this.failStream(stream, ErrorCode.protocolError, "WINDOW_UPDATE of 0");
    if (stream.sendWindow + increment > MAX_WINDOW_BYTES) {
      return this.failStream(stream, ErrorCode.flowControlError, "the stream's window is too large");
    }
    stream.sendWindow += increment;
    if (stream.held !== undefined) {
      this.scheduler.enqueue(stream);
      this.scheduler.pump();
    }
  }

  // For the patrol, and for whoever counts what is held.

  /** @internal */
  get heldBytes(): number {
    return this.scheduler.heldBytes;
  }

  /** @internal */
  shedLargest(): void {
    let largest: AnyStream | undefined;
    for (const stream of this.streams.all()) {
      if (largest === undefined || stream.heldCapacity > largest.heldCapacity) largest = stream;
    }
    if (largest === undefined) return;
    this.giveUpStream(largest, `${largest.heldCapacity} octets wait for its window, and too many do so in all`);
  }

  /** @internal A server may think for as long as it likes before it sends what it has announced. */
  owesContent(stream: AnyStream): boolean {
    return this.#server && stream.expectedBytes > stream.receivedBytes && !stream.remoteEnded && !stream.paused;
  }

  /** @internal */
  giveUpStream(stream: AnyStream, detail: string): void {
    this.failStream(stream, ErrorCode.enhanceYourCalm, detail);
  }

  /** @internal */
  giveUpConnection(detail: string): void {
    this.fail(ErrorCode.enhanceYourCalm, detail);
  }

  // For streams.

  /** @internal Gives the peer credit for what was delivered on a stream, unless its reader wants it held back. */
  credit(stream: AnyStream): void {
    if (stream.paused) return;
    const credit = this.#windows.credit(stream);
    if (credit > 0) this.writer.windowUpdate(stream.id, credit);
  }

  /** @internal END_STREAM has been written. */
  localEnd(stream: AnyStream): void {
    stream.localEnded = true;
    if (stream.remoteEnded) {
      this.#forget(stream, true);
      this.#completed();
      this.onStreamGone(stream);
    } else if (this.#server && !stream.tunnel) {
      this.#early.push(stream);
      // The rest of the request may lie in the bytes at hand.
      if (!this.#reading) this.#resetEarly();
    }
  }

  /** @internal The user gives a stream up. */
  resetByUser(stream: AnyStream, cause: ResetCause): void {
    this.#forget(stream, stream.remoteEnded);
    if (!this.dead) this.writer.resetStream(stream.id, cause.http2Code ?? errorCodeOf(cause.code));
    this.onStreamGone(stream);
  }

  /** @internal A stream cannot go on through a fault on our side of it. */
  failOwn(stream: AnyStream, detail: string): void {
    this.#forget(stream, stream.remoteEnded);
    if (!this.dead) this.writer.resetStream(stream.id, ErrorCode.internalError);
    stream.receiver.onReset(new ResetCause("overflow", detail, ErrorCode.internalError));
    this.onStreamGone(stream);
  }

  // For the roles.

  /** END_STREAM was received. @returns true if the stream is over: call `onStreamGone` after the receiver */
  protected remoteEnd(stream: AnyStream): boolean {
    stream.remoteEnded = true;
    if (!stream.localEnded) return false;
    this.#forget(stream, true);
    this.#completed();
    return true;
  }

  /** Delivers trailers, which must end the stream. */
  protected deliverTrailers(stream: AnyStream, end: boolean): void {
    if (!end) return this.failStream(stream, ErrorCode.protocolError, "a second head without END_STREAM");
    if (this.head.tooLarge) return this.failStream(stream, ErrorCode.enhanceYourCalm, "trailers are too large");
    const trailers = this.head.trailers();
    if (trailers === undefined) return this.failStream(stream, ErrorCode.protocolError, this.head.flaw);
    if (stream.expectedBytes >= 0 && stream.receivedBytes !== stream.expectedBytes) {
      return this.failStream(stream, ErrorCode.protocolError, "content differs from content-length");
    }
    const over = this.remoteEnd(stream);
    stream.receiver.onTrailers(trailers);
    if (over) this.onStreamGone(stream);
  }

  /** A stream error: RST_STREAM to the peer, a reset to the receiver. */
  protected failStream(stream: AnyStream, code: number, detail: string): void {
    this.#forget(stream, stream.remoteEnded);
    this.refuseStream(stream.id, code);
    const reset = code === ErrorCode.enhanceYourCalm ? "overflow" : "protocol";
    if (!(stream.endGiven && stream.remoteEnded)) stream.receiver.onReset(new ResetCause(reset, detail, code));
    this.onStreamGone(stream);
  }

  /** Resets a stream that nobody has seen, or that is forgotten already; too many of that end the connection. */
  protected refuseStream(streamId: number, code: number): void {
    if (this.dead) return;
    this.writer.resetStream(streamId, code);
    if (!this.#resets.spend()) this.fail(ErrorCode.enhanceYourCalm, "too many streams were reset");
  }

  /** A stream that the peer has refused or that GOAWAY left out. */
  protected loseRefused(stream: AnyStream, detail: string): void {
    this.#lose(stream, new ResetCause("refused", detail, ErrorCode.refusedStream));
  }

  #endConnection(): void {
    this.#stopTimers();
    if (this.connection.closed) return;
    // Reading on until the peer closes: closing with unread input would make the kernel throw away what we sent.
    this.connection.end();
    this.connection.resume();
    this.#lingerTimer ??= this.options.clock.after(LINGER_MS, () => this.connection.destroy());
  }

  #stopTimers(): void {
    this.#headTimer?.cancel();
    this.#settingsTimer?.cancel();
    this.#patrol.stop();
  }

  /** Content is use; padding is none. */
  #dataOver(): void {
    if (this.#dataContent > 0) this.#useless.giveBack();
    else if (!this.#dataEnds) this.countUseless("empty DATA frames");
  }

  /** More than a few: as many as what we have sent and completed accounts for are forgotten, others are useless. */
  #countWindowUpdates(): void {
    this.#windowUpdates -= UPDATES_PER_DATA_FRAME * this.scheduler.framesSent;
    this.scheduler.framesSent = 0;
    if (this.#windowUpdates > USELESS_FRAMES_MAX) this.countUseless("WINDOW_UPDATE frames");
  }

  #forget(stream: AnyStream, endedByPeer: boolean): void {
    stream.closed = true;
    this.streams.delete(stream.id);
    this.scheduler.drop(stream);
    this.#windows.release(stream);
    this.closedStreams.add(stream.id, endedByPeer);
  }

  #completed(): void {
    this.#useless.giveBack();
    this.#resets.giveBack();
  }

  #lose(stream: AnyStream, cause: ResetCause): void {
    if (stream.closed) return;
    this.#forget(stream, true);
    if (!(stream.endGiven && stream.remoteEnded)) stream.receiver.onReset(cause);
    this.onStreamGone(stream);
  }

  #loseAll(cause: ResetCause): void {
    for (const stream of this.streams.all()) this.#lose(stream, cause);
  }

  #resetEarly(): void {
    const early = this.#early;
    this.#early = [];
    for (const stream of early) {
      if (stream.closed) continue;
      this.#forget(stream, false);
      if (!this.dead) this.writer.resetStream(stream.id, ErrorCode.noError);
      this.#completed();
      stream.receiver.onReset(
        new ResetCause("cancelled", "the answer ended before the request did", ErrorCode.noError),
      );
      this.onStreamGone(stream);
    }
  }

  #changeStreamWindows(size: number): void {
    const difference = size - this.peerStreamWindow;
    this.peerStreamWindow = size;
    for (const stream of this.streams.all()) {
      if (stream.sendWindow + difference > MAX_WINDOW_BYTES) {
        return this.fail(ErrorCode.flowControlError, "SETTINGS made a window too large");
      }
      stream.sendWindow += difference;
      this.scheduler.enqueue(stream);
    }
  }

  /** Watches what has begun and not ended; what begins later has its own time. */
  #watch(): Timer {
    const { progress } = this.#inbound;
    return this.options.clock.after(this.options.limits.headTimeoutMs, () => {
      this.#headTimer = undefined;
      if (!this.#inbound.unfinished) return;
      if (this.#inbound.progress !== progress) this.#headTimer = this.#watch();
      else this.fail(ErrorCode.protocolError, "a head was not ended in time");
    });
  }

  #onUnknownData(streamId: number): void {
    if (this.isIdle(streamId)) return this.fail(ErrorCode.protocolError, "DATA on an idle stream");
    const end = this.closedStreams.endOf(streamId);
    if (end === "ended by the peer" || (end === "unknown" && !this.closedStreams.incomplete)) {
      this.fail(ErrorCode.streamClosed, "DATA on a closed stream");
    }
  }
}
