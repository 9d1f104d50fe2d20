/**
 * The form of incoming frames (RFC 9113 §4 and §6): which length, on which stream, in which order. What passes is handed
 * on by its meaning, so the session need not know how a frame is laid out.
 */
import { FrameReader, type FrameSink } from "./frame-reader.ts";
import { ErrorCode, Flag, FrameType, MAX_FRAME_BYTES, readUint31, readUint32, SettingId } from "./frames.ts";
import { MAX_WINDOW_BYTES } from "./flow-control.ts";
import { HeaderBlock } from "./header-block.ts";

/** Characters of the explanation in a peer's GOAWAY that are kept. */
const GOAWAY_DETAIL_MAX = 200;

/**
 * Settings in one frame. There are fewer kinds, and each may cost a look at every stream: nghttp2 has the same bound since
 * CVE-2020-11080.
 */
export const SETTINGS_MAX = 32;

/** What well-formed frames mean. Bytes are valid only during the call. */
export interface FrameMeaning {
  /** A connection error: the frame's form is wrong. */
  fail(code: number, detail: string): void;
  /** A frame without consequence; too many of them are an attack. */
  countUseless(what: string): void;
  /** A DATA frame begins. @param length of its payload, with padding */
  dataStarts(streamId: number, length: number, endStream: boolean): void;
  /** @param last the frame ends here */
  dataPiece(bytes: Buffer, start: number, end: number, last: boolean): void;
  /** A whole header block. @param dependsOn the stream that its priority names, or -1 */
  headerBlock(streamId: number, endStream: boolean, dependsOn: number, bytes: Buffer, start: number, end: number): void;
  /** A frame's form is wrong, and only its stream suffers. */
  streamError(streamId: number, code: number, detail: string): void;
  streamReset(streamId: number, code: number): void;
  setting(id: number, value: number): void;
  settingsAck(): void;
  /** All settings of a frame have been told. */
  settingsEnd(): void;
  /** @param offset of the 8 octets to be returned */
  ping(bytes: Buffer, offset: number): void;
  pingAck(): void;
  goaway(lastStreamId: number, code: number, detail: string): void;
  /** @param streamId 0 for the connection's window */
  windowUpdate(streamId: number, increment: number): void;
}

export class InboundFrames implements FrameSink {
  readonly #reader: FrameReader;
  readonly #block: HeaderBlock;
  readonly #meaning: FrameMeaning;
  #settingsReceived = false;
  #stopped = false;

  /** @param server a server's: the client preface comes first */
  constructor(meaning: FrameMeaning, headBytes: number, server: boolean) {
    this.#meaning = meaning;
    this.#block = new HeaderBlock(headBytes);
    this.#reader = new FrameReader(this, server);
  }

  /** Something has begun that should end soon: the preface, the first settings, a header block, a frame that is no DATA. */
  get unfinished(): boolean {
    return this.#reader.midFrame || this.#block.open || !this.#settingsReceived;
  }

  /** Changes whenever one unfinished thing has ended and another may have begun. */
  get progress(): number {
    return this.#block.open ? -this.#block.begun : this.#reader.begun;
  }

  read(chunk: Buffer): void {
    this.#reader.read(chunk);
  }

  /** Ignores all further input. */
  stop(): void {
    this.#stopped = true;
    this.#reader.stop();
  }

  onFrame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (this.#block.open && (type !== FrameType.continuation || streamId !== this.#block.streamId)) {
      return this.#protocolError("another frame within a header block");
    }
    if (!this.#settingsReceived && (type !== FrameType.settings || (flags & Flag.ack) !== 0)) {
      return this.#protocolError("the first frame is not SETTINGS");
    }
    switch (type) {
      case FrameType.headers:
        return this.#headers(flags, streamId, bytes, start, end);
      case FrameType.windowUpdate:
        return this.#windowUpdate(streamId, bytes, start, end);
      case FrameType.rstStream:
        return this.#resetStream(streamId, bytes, start, end);
      case FrameType.continuation:
        return this.#continuation(flags, bytes, start, end);
      case FrameType.settings:
        return this.#settings(flags, streamId, bytes, start, end);
      case FrameType.ping:
        return this.#ping(flags, streamId, bytes, start, end);
      case FrameType.goaway:
        return this.#goaway(streamId, bytes, start, end);
      case FrameType.priority:
        return this.#priority(streamId, bytes, start, end);
      case FrameType.pushPromise:
        return this.#protocolError("PUSH_PROMISE, which is not allowed here");
      default:
        return this.#meaning.countUseless("unknown frames");
    }
  }

  onFrameError(code: number, detail: string): void {
    this.#meaning.fail(code, detail);
  }

  onDataStart(flags: number, streamId: number, length: number): void {
    if (this.#block.open) return this.#protocolError("DATA within a header block");
    if (!this.#settingsReceived) return this.#protocolError("the first frame is not SETTINGS");
    if (streamId === 0) return this.#protocolError("DATA on stream 0");
    return this.#meaning.dataStarts(streamId, length, (flags & Flag.endStream) !== 0);
  }

  onDataPiece(bytes: Buffer, start: number, end: number, last: boolean): void {
    this.#meaning.dataPiece(bytes, start, end, last);
  }

  #protocolError(detail: string): void {
    this.#meaning.fail(ErrorCode.protocolError, detail);
  }

  #sizeError(detail: string): void {
    this.#meaning.fail(ErrorCode.frameSizeError, detail);
  }

  #headers(flags: number, streamId: number, bytes: Buffer, from: number, to: number): void {
    if (streamId === 0) return this.#protocolError("HEADERS on stream 0");
    let start = from;
    let end = to;
    let dependsOn = -1;
    if ((flags & Flag.padded) !== 0) {
      if (start === end) return this.#sizeError("padded HEADERS without pad length");
      end -= bytes[start] as number;
      start++;
    }
    if ((flags & Flag.priority) !== 0) {
      if (to - start < 5) return this.#sizeError("HEADERS too short for its priority");
      dependsOn = readUint31(bytes, start);
      start += 5;
    }
    if (start > end) return this.#protocolError("padding is longer than its HEADERS frame");
    const endStream = (flags & Flag.endStream) !== 0;
    if ((flags & Flag.endHeaders) === 0) this.#block.begin(streamId, endStream, dependsOn, bytes, start, end);
    else this.#meaning.headerBlock(streamId, endStream, dependsOn, bytes, start, end);
  }

  #continuation(flags: number, bytes: Buffer, start: number, end: number): void {
    const block = this.#block;
    if (!block.open) return this.#protocolError("CONTINUATION without HEADERS");
    if (!block.add(bytes, start, end)) {
      return this.#meaning.fail(ErrorCode.enhanceYourCalm, "the header block is too large");
    }
    if ((flags & Flag.endHeaders) === 0) return;
    const whole = block.take();
    this.#meaning.headerBlock(block.streamId, block.endStream, block.dependsOn, whole, 0, whole.length);
  }

  #priority(streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId === 0) return this.#protocolError("PRIORITY on stream 0");
    if (end - start !== 5) {
      return this.#meaning.streamError(streamId, ErrorCode.frameSizeError, "PRIORITY of wrong length");
    }
    if (readUint31(bytes, start) === streamId) {
      return this.#meaning.streamError(streamId, ErrorCode.protocolError, "stream depends on itself");
    }
    return this.#meaning.countUseless("PRIORITY frames");
  }

  #resetStream(streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId === 0) return this.#protocolError("RST_STREAM on stream 0");
    if (end - start !== 4) return this.#sizeError("RST_STREAM of wrong length");
    return this.#meaning.streamReset(streamId, readUint32(bytes, start));
  }

  #settings(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    const length = end - start;
    if (streamId !== 0) return this.#protocolError("SETTINGS on a stream");
    if ((flags & Flag.ack) !== 0) {
      if (length !== 0) this.#sizeError("SETTINGS acknowledgement with content");
      else this.#meaning.settingsAck();
      return;
    }
    if (length % 6 !== 0) return this.#sizeError("SETTINGS of wrong length");
    if (length > 6 * SETTINGS_MAX) {
      return this.#meaning.fail(ErrorCode.enhanceYourCalm, `more than ${SETTINGS_MAX} settings in a frame`);
    }
    this.#settingsReceived = true;
    for (let at = start; at < end && !this.#stopped; at += 6) {
      this.#setting(((bytes[at] as number) << 8) | (bytes[at + 1] as number), readUint32(bytes, at + 2));
    }
    if (!this.#stopped) this.#meaning.settingsEnd();
  }

  #setting(id: number, value: number): void {
    if (id === SettingId.enablePush && value > 1) return this.#protocolError(`SETTINGS_ENABLE_PUSH ${value}`);
    if (id === SettingId.enableConnectProtocol && value > 1) {
      return this.#protocolError(`SETTINGS_ENABLE_CONNECT_PROTOCOL ${value}`);
    }
    if (id === SettingId.maxFrameSize && (value < MAX_FRAME_BYTES || value > 0xff_ffff)) {
      return this.#protocolError(`SETTINGS_MAX_FRAME_SIZE ${value}`);
    }
    if (id === SettingId.initialWindowSize && value > MAX_WINDOW_BYTES) {
      return this.#meaning.fail(ErrorCode.flowControlError, `SETTINGS_INITIAL_WINDOW_SIZE ${value}`);
    }
    return this.#meaning.setting(id, value);
  }

  #ping(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId !== 0) return this.#protocolError("PING on a stream");
    if (end - start !== 8) return this.#sizeError("PING of wrong length");
    if ((flags & Flag.ack) === 0) this.#meaning.ping(bytes, start);
    else {
      this.#meaning.pingAck();
      this.#meaning.countUseless("PING acknowledgements");
    }
  }

  #goaway(streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId !== 0) return this.#protocolError("GOAWAY on a stream");
    if (end - start < 8) return this.#sizeError("GOAWAY of wrong length");
    const detail = bytes.toString("latin1", start + 8, Math.min(end, start + 8 + GOAWAY_DETAIL_MAX));
    return this.#meaning.goaway(readUint31(bytes, start), readUint32(bytes, start + 4), detail);
  }

  #windowUpdate(streamId: number, bytes: Buffer, start: number, end: number): void {
    if (end - start !== 4) return this.#sizeError("WINDOW_UPDATE of wrong length");
    return this.#meaning.windowUpdate(streamId, readUint31(bytes, start));
  }
}
