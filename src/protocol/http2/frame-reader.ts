/**
 * Cuts what arrives into frames, however the network tore it.
 *
 * DATA is handed on piece by piece as it comes, straight from the shared read buffer, so a body is never gathered here.
 * Every other frame is handed on whole: in place when it lies whole in the chunk, else from a copy of at most one frame.
 */
import {
  CLIENT_PREFACE,
  ErrorCode,
  Flag,
  FRAME_HEADER_BYTES,
  FrameType,
  MAX_FRAME_BYTES,
  readUint31,
} from "./frames.ts";

/** What the reader reports to. Bytes are valid only during the call. */
export interface FrameSink {
  /** A whole frame of any type but DATA: its payload lies in `bytes` from `start` to `end`. */
  onFrame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void;
  /** A DATA frame begins. @param length of its payload, padding included: what counts for flow control */
  onDataStart(flags: number, streamId: number, length: number): void;
  /** Content of the DATA frame last begun, without padding. May be empty when `last`. @param last the frame is over */
  onDataPiece(bytes: Buffer, start: number, end: number, last: boolean): void;
  /** The input is no HTTP/2. The reader takes nothing after it. */
  onFrameError(code: number, detail: string): void;
}

const State = { preface: 0, header: 1, payload: 2, padLength: 3, content: 4, padding: 5, stopped: 6 } as const;

const NOTHING = Buffer.alloc(0);

export class FrameReader {
  /** Frames whose header has been read so far. */
  begun = 0;
  readonly #sink: FrameSink;
  #state: number;
  /** Octets of the preface seen so far. */
  #prefaceSeen = 0;
  /** A torn frame header or frame, or empty. */
  #torn: Buffer = NOTHING;
  #tornBytes = 0;
  /** Only once a header has been torn: most connections never see one. */
  #tornHeader: Buffer | undefined;
  #content = 0;
  #padding = 0;

  /** @param expectPreface a server's reader: the client preface comes first */
  constructor(sink: FrameSink, expectPreface: boolean) {
    this.#sink = sink;
    this.#state = expectPreface ? State.preface : State.header;
  }

  /** True while a preface, a frame header or a frame other than DATA has begun and not ended. */
  get midFrame(): boolean {
    return this.#tornBytes > 0 || this.#state === State.preface || this.#state === State.payload;
  }

  /** Ignores all further input. */
  stop(): void {
    this.#state = State.stopped;
    this.#torn = NOTHING;
    this.#tornBytes = 0;
  }

  /** Takes the next bytes of the connection. */
  read(chunk: Buffer): void {
    const end = chunk.length;
    let at = 0;
    while (at < end) {
      switch (this.#state) {
        case State.header:
          at = this.#readHeader(chunk, at, end);
          break;
        case State.content:
          at = this.#readContent(chunk, at, end);
          break;
        case State.payload:
          at = this.#completeTorn(chunk, at, end);
          break;
        case State.padLength:
          at = this.#readPadLength(chunk, at);
          break;
        case State.padding:
          at = this.#readPadding(chunk, at, end);
          break;
        case State.preface:
          at = this.#readPreface(chunk, at, end);
          break;
        default:
          return;
      }
    }
  }

  #readPreface(chunk: Buffer, from: number, end: number): number {
    let at = from;
    while (at < end && this.#prefaceSeen < CLIENT_PREFACE.length) {
      if (chunk[at] !== CLIENT_PREFACE.charCodeAt(this.#prefaceSeen)) {
        return this.#fail(ErrorCode.protocolError, "the client preface is not that of HTTP/2", end);
      }
      at++;
      this.#prefaceSeen++;
    }
    if (this.#prefaceSeen === CLIENT_PREFACE.length) this.#state = State.header;
    return at;
  }

  #readHeader(chunk: Buffer, from: number, end: number): number {
    let header = chunk;
    let offset = from;
    let at = from + FRAME_HEADER_BYTES;
    if (this.#tornBytes > 0 || at > end) {
      const torn = (this.#tornHeader ??= Buffer.alloc(FRAME_HEADER_BYTES));
      const count = Math.min(FRAME_HEADER_BYTES - this.#tornBytes, end - from);
      chunk.copy(torn, this.#tornBytes, from, from + count);
      this.#tornBytes += count;
      at = from + count;
      if (this.#tornBytes < FRAME_HEADER_BYTES) return at;
      this.#tornBytes = 0;
      header = torn;
      offset = 0;
    }
    this.begun++;
    const length =
      ((header[offset] as number) << 16) | ((header[offset + 1] as number) << 8) | (header[offset + 2] as number);
    const type = header[offset + 3] as number;
    const flags = header[offset + 4] as number;
    const streamId = readUint31(header, offset + 5);
    if (length > MAX_FRAME_BYTES) {
      return this.#fail(ErrorCode.frameSizeError, `frame of ${length} octets, at most ${MAX_FRAME_BYTES} allowed`, end);
    }
    if (type === FrameType.data) return this.#beginData(chunk, at, flags, streamId, length);
    if (at + length <= end) {
      this.#sink.onFrame(type, flags, streamId, chunk, at, at + length);
      return at + length;
    }
    this.#torn = Buffer.allocUnsafe(FRAME_HEADER_BYTES + length);
    header.copy(this.#torn, 0, offset, offset + FRAME_HEADER_BYTES);
    this.#tornBytes = FRAME_HEADER_BYTES;
    this.#state = State.payload;
    return at;
  }

  #completeTorn(chunk: Buffer, from: number, end: number): number {
    const torn = this.#torn;
    const count = Math.min(torn.length - this.#tornBytes, end - from);
    chunk.copy(torn, this.#tornBytes, from, from + count);
    this.#tornBytes += count;
    if (this.#tornBytes === torn.length) {
      this.#torn = NOTHING;
      this.#tornBytes = 0;
      this.#state = State.header;
      this.#sink.onFrame(
        torn[3] as number,
        torn[4] as number,
        readUint31(torn, 5),
        torn,
        FRAME_HEADER_BYTES,
        torn.length,
      );
    }
    return from + count;
  }

  #beginData(chunk: Buffer, at: number, flags: number, streamId: number, length: number): number {
    this.#content = length;
    this.#padding = 0;
    if ((flags & Flag.padded) !== 0) {
      if (length === 0)
        return this.#fail(ErrorCode.frameSizeError, "padded DATA frame without pad length", chunk.length);
      this.#state = State.padLength;
      this.#sink.onDataStart(flags, streamId, length);
      return at;
    }
    this.#state = length === 0 ? State.header : State.content;
    this.#sink.onDataStart(flags, streamId, length);
    if (this.#state === State.header) this.#sink.onDataPiece(chunk, at, at, true);
    return at;
  }

  #readPadLength(chunk: Buffer, at: number): number {
    const padding = chunk[at] as number;
    const content = this.#content - 1 - padding;
    if (content < 0) {
      return this.#fail(ErrorCode.protocolError, "padding is longer than its DATA frame", chunk.length);
    }
    this.#content = content;
    this.#padding = padding;
    if (content > 0) this.#state = State.content;
    else if (padding > 0) this.#state = State.padding;
    else this.#endData(chunk, at + 1, at + 1);
    return at + 1;
  }

  #readContent(chunk: Buffer, from: number, end: number): number {
    const available = end - from;
    if (available < this.#content) {
      this.#content -= available;
      this.#sink.onDataPiece(chunk, from, end, false);
      return end;
    }
    const at = from + this.#content;
    if (at + this.#padding <= end) {
      const next = at + this.#padding;
      this.#endData(chunk, from, at);
      return next;
    }
    this.#content = 0;
    this.#state = State.padding;
    this.#sink.onDataPiece(chunk, from, at, false);
    return at;
  }

  #readPadding(chunk: Buffer, from: number, end: number): number {
    const count = Math.min(this.#padding, end - from);
    this.#padding -= count;
    if (this.#padding === 0) this.#endData(chunk, from, from);
    return from + count;
  }

  #endData(chunk: Buffer, start: number, end: number): void {
    if (this.#state !== State.stopped) this.#state = State.header;
    this.#sink.onDataPiece(chunk, start, end, true);
  }

  #fail(code: number, detail: string, end: number): number {
    this.stop();
    this.#sink.onFrameError(code, detail);
    return end;
  }
}
