/**
 * As much of HTTP/2 as a generator and an echo need: frames in both directions, flow control, no reading of headers. It
 * trusts the other side to be correct, and takes all that one read gives before it writes once.
 */
import type { Socket } from "node:net";

export const FRAME_HEAD_BYTES = 9;
export const Frame = { data: 0, headers: 1, settings: 4, ping: 6, goaway: 7, windowUpdate: 8, reset: 3 } as const;
export const END_STREAM = 1;
export const ACK = 1;
export const END_HEADERS = 4;

export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

const WINDOW_DEFAULT = 65_535;
const WINDOW_MAX = 2 ** 31 - 1;
/** Received bytes after which the other side is given as many again. */
const REPLENISH_BYTES = 2 ** 28;
const SETTING_INITIAL_WINDOW = 4;
const SETTING_STREAMS_MAX = 3;
const STREAMS_MAX = 10_000;

/** What a {@link Http2Peer} tells of. `payload` is valid only during the call. */
export interface FrameHandler {
  /** HEADERS and DATA; of other kinds RST_STREAM and GOAWAY alone. */
  onFrame(type: number, flags: number, streamId: number, payload: Buffer): void;
}

export class Http2Peer {
  readonly #socket: Socket;
  readonly #handler: FrameHandler;
  /** The beginning of a frame whose rest has not come. */
  #rest = Buffer.alloc(0);
  #out: Buffer[] = [];
  #prefaceLeft: number;
  #received = 0;
  #window = WINDOW_DEFAULT;
  #initialWindow = WINDOW_DEFAULT;
  /** What each open stream may still send. */
  readonly #windows = new Map<number, number>();
  /** Frames of DATA that wait for a window, and what follows them, in order. */
  #waiting: Buffer[] = [];

  constructor(socket: Socket, side: "client" | "server", handler: FrameHandler) {
    this.#socket = socket;
    this.#handler = handler;
    this.#prefaceLeft = side === "server" ? PREFACE.length : 0;
    if (side === "client") this.#out.push(PREFACE);
    this.#out.push(settings(), windowUpdate(0, WINDOW_MAX - WINDOW_DEFAULT));
    this.flush();
  }

  push(chunk: Buffer): void {
    const skipped = Math.min(this.#prefaceLeft, chunk.length);
    this.#prefaceLeft -= skipped;
    const fresh = skipped === 0 ? chunk : chunk.subarray(skipped);
    const bytes = this.#rest.length === 0 ? fresh : Buffer.concat([this.#rest, fresh]);
    let from = 0;
    while (bytes.length - from >= FRAME_HEAD_BYTES) {
      const end = from + FRAME_HEAD_BYTES + bytes.readUIntBE(from, 3);
      if (end > bytes.length) break;
      this.#take(bytes, from, end);
      from = end;
    }
    // The chunk may be the reader's only buffer.
    this.#rest = Buffer.from(bytes.subarray(from));
    this.flush();
  }

  /** Opens a stream, or answers on one. The frame stays the caller's and must not change. */
  sendHeaders(headers: Buffer): void {
    const streamId = headers.readUInt32BE(5);
    if (!this.#windows.has(streamId)) this.#windows.set(streamId, this.#initialWindow);
    this.#send(headers);
  }

  /** Sends a frame of DATA as soon as the windows let it. */
  sendData(data: Buffer): void {
    this.#send(data);
  }

  /** Nothing more is sent on a stream. */
  forget(streamId: number): void {
    this.#windows.delete(streamId);
  }

  /** Writes what has gathered; `push` does it by itself. */
  flush(): void {
    if (this.#out.length === 0) return;
    this.#socket.write(this.#out.length === 1 ? (this.#out[0] as Buffer) : Buffer.concat(this.#out));
    this.#out = [];
  }

  #send(bytes: Buffer): void {
    if (this.#waiting.length > 0 || !this.#fits(bytes)) this.#waiting.push(bytes);
    else this.#out.push(bytes);
  }

  /** Takes the frame out of the windows if it fits. Only DATA has to. */
  #fits(bytes: Buffer): boolean {
    if (bytes[3] !== Frame.data) return true;
    const streamId = bytes.readUInt32BE(5);
    const length = bytes.length - FRAME_HEAD_BYTES;
    const window = this.#windows.get(streamId) ?? this.#initialWindow;
    if (length > this.#window || length > window) return false;
    this.#window -= length;
    this.#windows.set(streamId, window - length);
    return true;
  }

  #take(bytes: Buffer, from: number, end: number): void {
    const type = bytes[from + 3] ?? 0;
    const flags = bytes[from + 4] ?? 0;
    const streamId = bytes.readUInt32BE(from + 5) & WINDOW_MAX;
    const payload = bytes.subarray(from + FRAME_HEAD_BYTES, end);
    if (type === Frame.data) this.#replenish(payload.length);
    if (type === Frame.settings && (flags & ACK) === 0) this.#onSettings(payload);
    else if (type === Frame.ping && (flags & ACK) === 0) this.#out.push(frame(Frame.ping, ACK, 0, payload));
    else if (type === Frame.windowUpdate) this.#onWindowUpdate(streamId, payload.readUInt32BE(0));
    else if (type <= Frame.headers || type === Frame.reset || type === Frame.goaway) {
      this.#handler.onFrame(type, flags, streamId, payload);
    }
  }

  #replenish(bytes: number): void {
    this.#received += bytes;
    if (this.#received < REPLENISH_BYTES) return;
    this.#out.push(windowUpdate(0, this.#received));
    this.#received = 0;
  }

  #onSettings(payload: Buffer): void {
    for (let at = 0; at + 6 <= payload.length; at += 6) {
      if (payload.readUInt16BE(at) !== SETTING_INITIAL_WINDOW) continue;
      const window = payload.readUInt32BE(at + 2);
      for (const [id, left] of this.#windows) this.#windows.set(id, left + window - this.#initialWindow);
      this.#initialWindow = window;
    }
    this.#out.push(frame(Frame.settings, ACK, 0, Buffer.alloc(0)));
    this.#retry();
  }

  #onWindowUpdate(streamId: number, bytes: number): void {
    const window = this.#windows.get(streamId);
    if (streamId === 0) this.#window += bytes;
    else if (window !== undefined) this.#windows.set(streamId, window + bytes);
    this.#retry();
  }

  #retry(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const each of waiting) this.#send(each);
  }
}

export function frame(type: number, flags: number, streamId: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(FRAME_HEAD_BYTES + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(streamId, 5);
  bytes.set(payload, FRAME_HEAD_BYTES);
  return bytes;
}

/** A header block that neither uses nor fills a dynamic table (RFC 7541 §6.2.2), so that nobody has to read in order. */
export function headerBlock(...namesAndValues: readonly string[]): Buffer {
  const parts: number[] = [];
  for (const [index, text] of namesAndValues.entries()) {
    if (text.length > 126) throw new RangeError(`a field of ${text.length} bytes, expected at most 126: ${text}`);
    if (index % 2 === 0) parts.push(0);
    parts.push(text.length, ...Buffer.from(text, "latin1"));
  }
  return Buffer.from(parts);
}

function settings(): Buffer {
  const payload = Buffer.alloc(12);
  payload.writeUInt16BE(SETTING_INITIAL_WINDOW, 0);
  payload.writeUInt32BE(WINDOW_MAX, 2);
  payload.writeUInt16BE(SETTING_STREAMS_MAX, 6);
  payload.writeUInt32BE(STREAMS_MAX, 8);
  return frame(Frame.settings, 0, 0, payload);
}

function windowUpdate(streamId: number, bytes: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(bytes);
  return frame(Frame.windowUpdate, 0, streamId, payload);
}
