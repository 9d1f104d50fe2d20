/**
 * Writes frames into the connection's outgoing block, encoded where they lie. What goes out in one turn of the event loop
 * leaves in one piece: that is the connection's doing.
 */
import type { Connection } from "../../net/connection.ts";
import type { HeaderList, RequestHead, ResponseHead } from "../exchange.ts";
import {
  CLIENT_PREFACE,
  Flag,
  FRAME_HEADER_BYTES,
  FrameType,
  MAX_FRAME_BYTES,
  writeFrameHeader,
  writeUint32,
} from "./frames.ts";
import { BLOCK_OVERHEAD_BYTES, FIELD_OVERHEAD_BYTES, HpackEncoder } from "./hpack/encoder.ts";

/**
 * Octets of frames that flow control does not hold back (heads, acknowledgements, resets) that may be added to a connection
 * whose peer does not read. Beyond that we stop reading as well, so the peer cannot ask for more.
 */
export const CONTROL_BACKLOG_BYTES_MAX = 64 * 1024;

/** Characters of the explanation in a GOAWAY. */
const GOAWAY_DETAIL_MAX = 200;

const NOTHING = Buffer.alloc(0);

export class FrameWriter {
  readonly encoder = new HpackEncoder();
  /** Octets added while the connection was congested, DATA aside. */
  backlogBytes = 0;
  readonly #connection: Connection;
  /** Where the head at hand is encoded: in the connection's block, or apart when it may need more than one frame. */
  #block: Buffer = NOTHING;
  #offset = 0;
  #apart = false;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  preface(): void {
    this.#connection.writeLatin1(CLIENT_PREFACE);
  }

  requestHead(streamId: number, head: RequestHead, end: boolean): void {
    const { method, upgrade } = head;
    const connect = method === "CONNECT";
    let fixed = method.length + head.scheme.length + head.authority.length + head.path.length;
    // A request for an upgrade is an extended CONNECT (RFC 8441 §4).
    if (upgrade !== "") fixed += upgrade.length + "CONNECT".length + FIELD_OVERHEAD_BYTES;
    if (!this.#beginHead(head.headers, fixed + 4 * FIELD_OVERHEAD_BYTES)) return;
    const encoder = this.encoder;
    encoder.method(upgrade === "" ? method : "CONNECT");
    if (upgrade !== "" && !connect) encoder.protocol(upgrade);
    if (!connect) {
      encoder.scheme(head.scheme);
      encoder.path(head.path === "" ? "/" : head.path);
    }
    if (head.authority !== "") encoder.authority(head.authority);
    this.#endHead(streamId, head.headers, true, end);
  }

  responseHead(streamId: number, head: ResponseHead, end: boolean): void {
    if (!this.#beginHead(head.headers, 3 + FIELD_OVERHEAD_BYTES)) return;
    this.encoder.status(head.status);
    this.#endHead(streamId, head.headers, false, end);
  }

  /** Trailers; they end the stream. */
  trailers(streamId: number, trailers: HeaderList): void {
    if (this.#beginHead(trailers, 0)) this.#endHead(streamId, trailers, true, true);
  }

  /**
   * `chunk[from, to)` as DATA, in frames of at most 16 KiB. Flow control is the caller's business.
   *
   * @returns false when the connection is congested
   */
  data(streamId: number, chunk: Uint8Array, from: number, to: number, end: boolean): boolean {
    const connection = this.#connection;
    if (connection.closed || connection.ended) return true;
    let open: boolean;
    let at = from;
    do {
      const length = Math.min(to - at, MAX_FRAME_BYTES);
      const { block, offset } = connection.reserve(FRAME_HEADER_BYTES + length);
      const flags = end && at + length === to ? Flag.endStream : Flag.none;
      writeFrameHeader(block, offset, length, FrameType.data, flags, streamId);
      block.set(length === chunk.length ? chunk : chunk.subarray(at, at + length), offset + FRAME_HEADER_BYTES);
      open = connection.commit(FRAME_HEADER_BYTES + length);
      at += length;
    } while (at < to);
    return open;
  }

  /** @param settings identifier and value by turns */
  settings(settings: readonly number[]): void {
    const length = settings.length * 3;
    const block = this.#beginFrame(length, FrameType.settings, Flag.none, 0);
    for (let i = 0; i < settings.length; i += 2) {
      const at = this.#offset + FRAME_HEADER_BYTES + i * 3;
      block[at] = (settings[i] as number) >>> 8;
      block[at + 1] = settings[i] as number;
      writeUint32(block, at + 2, settings[i + 1] as number);
    }
    this.#endFrame(length);
  }

  settingsAck(): void {
    this.#beginFrame(0, FrameType.settings, Flag.ack, 0);
    this.#endFrame(0);
  }

  /** @param payload 8 octets from `offset` on */
  ping(ack: boolean, payload: Uint8Array, offset: number): void {
    const block = this.#beginFrame(8, FrameType.ping, ack ? Flag.ack : Flag.none, 0);
    for (let i = 0; i < 8; i++) block[this.#offset + FRAME_HEADER_BYTES + i] = payload[offset + i] as number;
    this.#endFrame(8);
  }

  resetStream(streamId: number, code: number): void {
    const block = this.#beginFrame(4, FrameType.rstStream, Flag.none, streamId);
    writeUint32(block, this.#offset + FRAME_HEADER_BYTES, code);
    this.#endFrame(4);
  }

  windowUpdate(streamId: number, increment: number): void {
    const block = this.#beginFrame(4, FrameType.windowUpdate, Flag.none, streamId);
    writeUint32(block, this.#offset + FRAME_HEADER_BYTES, increment);
    this.#endFrame(4);
  }

  goaway(lastStreamId: number, code: number, detail: string): void {
    const text = detail.slice(0, GOAWAY_DETAIL_MAX);
    const length = 8 + text.length;
    const block = this.#beginFrame(length, FrameType.goaway, Flag.none, 0);
    const at = this.#offset + FRAME_HEADER_BYTES;
    writeUint32(block, at, lastStreamId);
    writeUint32(block, at + 4, code);
    block.write(text, at + 8, "latin1");
    this.#endFrame(length);
  }

  #beginFrame(length: number, type: number, flags: number, streamId: number): Buffer {
    // A reservation on a closed connection would take a block from the pool for good.
    if (this.#connection.closed || this.#connection.ended) {
      this.#block = Buffer.allocUnsafe(FRAME_HEADER_BYTES + length);
      this.#offset = 0;
    } else {
      const { block, offset } = this.#connection.reserve(FRAME_HEADER_BYTES + length);
      this.#block = block;
      this.#offset = offset;
    }
    writeFrameHeader(this.#block, this.#offset, length, type, flags, streamId);
    return this.#block;
  }

  #endFrame(length: number): void {
    this.#block = NOTHING;
    this.#count(this.#connection.commit(FRAME_HEADER_BYTES + length), FRAME_HEADER_BYTES + length);
  }

  #count(open: boolean, length: number): void {
    if (!open) this.backlogBytes += length;
  }

  #beginHead(headers: HeaderList, otherBytes: number): boolean {
    const connection = this.#connection;
    if (connection.closed || connection.ended) return false;
    let most = BLOCK_OVERHEAD_BYTES + otherBytes + (headers.length >> 1) * FIELD_OVERHEAD_BYTES;
    for (let i = 0; i < headers.length; i++) most += (headers[i] as string).length;
    this.#apart = most > MAX_FRAME_BYTES;
    if (this.#apart) {
      this.#block = Buffer.allocUnsafe(most);
      this.#offset = 0;
      this.encoder.begin(this.#block, 0);
    } else {
      const { block, offset } = connection.reserve(FRAME_HEADER_BYTES + most);
      this.#block = block;
      this.#offset = offset;
      this.encoder.begin(block, offset + FRAME_HEADER_BYTES);
    }
    return true;
  }

  #endHead(streamId: number, headers: HeaderList, withoutHost: boolean, end: boolean): void {
    const encoder = this.encoder;
    for (let i = 0; i < headers.length; i += 2) {
      encoder.field(headers[i] as string, headers[i + 1] as string, withoutHost);
    }
    const after = encoder.end();
    const block = this.#block;
    this.#block = NOTHING;
    const endStream = end ? Flag.endStream : Flag.none;
    if (this.#apart) {
      this.#writeInPieces(streamId, block, after, endStream);
      return;
    }
    const length = after - this.#offset - FRAME_HEADER_BYTES;
    writeFrameHeader(block, this.#offset, length, FrameType.headers, Flag.endHeaders | endStream, streamId);
    this.#count(this.#connection.commit(FRAME_HEADER_BYTES + length), length);
  }

  #writeInPieces(streamId: number, headerBlock: Buffer, total: number, endStream: number): void {
    for (let from = 0; from === 0 || from < total; from += MAX_FRAME_BYTES) {
      const length = Math.min(MAX_FRAME_BYTES, total - from);
      const type = from === 0 ? FrameType.headers : FrameType.continuation;
      const flags = (from === 0 ? endStream : 0) | (from + length === total ? Flag.endHeaders : 0);
      const { block, offset } = this.#connection.reserve(FRAME_HEADER_BYTES + length);
      writeFrameHeader(block, offset, length, type, flags, streamId);
      headerBlock.copy(block, offset + FRAME_HEADER_BYTES, from, from + length);
      this.#count(this.#connection.commit(FRAME_HEADER_BYTES + length), length);
    }
  }
}
