/** Frames a body that is sent, and holds the sender to the Content-Length that went before. */
import { LARGE_BLOCK_BYTES } from "../../net/blocks.ts";
import type { Connection } from "../../net/connection.ts";
import type { HeaderList } from "../exchange.ts";
import { chunkHead, LAST_CHUNK } from "./chunked.ts";
import { type Framing, FRAMING_CHUNKED, FRAMING_LENGTH, FRAMING_NONE } from "./framing.ts";
import { writeTrailers } from "./head-writer.ts";

export const SENT = 0;
/** Sent, but the sender should wait for the connection's `onDrain`. */
export const WAIT = 1;
/** More or less than Content-Length, or trailers that cannot be written: the message is spoilt. */
export const REFUSED = 2;

/** Chunk head and the CRLF after the data, at most. */
const CHUNK_OVERHEAD_BYTES = 16;

export class BodyWriter {
  framing: Framing = FRAMING_NONE;
  /** With FRAMING_LENGTH: bytes still owed. */
  remaining = 0;

  start(framing: Framing, length: number): void {
    this.framing = framing;
    this.remaining = length;
  }

  /** @returns {@link SENT}, {@link WAIT} or {@link REFUSED} */
  data(connection: Connection, chunk: Uint8Array, end: boolean): number {
    const length = chunk.length;
    const framing = this.framing;
    if (framing === FRAMING_CHUNKED) return writeChunk(connection, chunk, end);
    // What comes with a HEAD, 204 or 304 is not part of the message.
    if (framing === FRAMING_NONE) return SENT;
    if (framing === FRAMING_LENGTH) {
      this.remaining -= length;
      if (this.remaining < 0 || (end && this.remaining > 0)) return REFUSED;
    }
    return length === 0 || connection.write(chunk) ? SENT : WAIT;
  }

  /** Only the chunked coding has room for trailers; with any other framing they are dropped. */
  trailers(connection: Connection, trailers: HeaderList): number {
    if (this.framing === FRAMING_LENGTH && this.remaining > 0) return REFUSED;
    if (this.framing !== FRAMING_CHUNKED) return SENT;
    return writeTrailers(connection, trailers) ? SENT : REFUSED;
  }
}

function writeChunk(connection: Connection, chunk: Uint8Array, end: boolean): number {
  const length = chunk.length;
  let written = true;
  if (length > 0 && length <= LARGE_BLOCK_BYTES - CHUNK_OVERHEAD_BYTES) {
    const { block, offset } = connection.reserve(length + CHUNK_OVERHEAD_BYTES);
    let at = offset;
    for (let shift = length > 0xfff ? 12 : length > 0xff ? 8 : length > 0xf ? 4 : 0; shift >= 0; shift -= 4) {
      const digit = (length >> shift) & 0xf;
      block[at++] = digit < 10 ? 0x30 + digit : 0x57 + digit;
    }
    block[at++] = 0x0d;
    block[at++] = 0x0a;
    block.set(chunk, at);
    at += length;
    block[at++] = 0x0d;
    block[at++] = 0x0a;
    written = connection.commit(at - offset);
  } else if (length > 0) {
    connection.writeLatin1(chunkHead(length));
    connection.write(chunk);
    written = connection.writeLatin1("\r\n");
  }
  if (end) written = connection.writeLatin1(LAST_CHUNK);
  return written ? SENT : WAIT;
}
