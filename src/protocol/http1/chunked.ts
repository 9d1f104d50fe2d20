/**
 * The chunked transfer coding (RFC 9112 §7.1): a decoder that is driven over torn input and copies nothing, and the
 * bytes around the chunks that are sent.
 */
import type { HeaderList, ProtocolFault } from "../exchange.ts";
import { removeHeader } from "../headers.ts";
import type { HttpLimits } from "../limits.ts";
import { afterExtensionByte, EXTENSION_BAD, EXTENSION_END, EXTENSION_START } from "./chunk-extension.ts";
import { fieldOffsets, FieldScanner } from "./field-scanner.ts";
import { HeadBuffer } from "./head-buffer.ts";
import { CR, LF } from "./syntax.ts";

/** Hex digits of a chunk size, leading zeros included: 2^48 - 1 bytes at most. */
export const CHUNK_SIZE_DIGITS_MAX = 12;

/** Bytes of chunk extensions in one message. They mean nothing to us and are dropped. */
export const CHUNK_EXTENSION_BYTES_MAX = 4096;

/** The input ends before the next event. */
export const CHUNKED_MORE = 0;
/** Data from `dataStart` to `dataEnd`. */
export const CHUNKED_DATA = 1;
/** Likewise, and they are the last. */
export const CHUNKED_LAST_DATA = 2;
/** The body has ended; `trailers` may hold fields. */
export const CHUNKED_END = 3;
/** Refused: see `fault`. */
export const CHUNKED_BAD = 4;

const SIZE = 0;
const EXTENSION = 1;
const SIZE_LF = 2;
const DATA = 3;
const DATA_CR = 4;
const DATA_LF = 5;
const TRAILERS = 6;

const SEMICOLON = 0x3b;
const NO_TRAILERS: HeaderList = [];

/** Fields that would frame or route the message if a receiver merged them (RFC 9110 §6.5.1): dropped. */
const NOT_IN_TRAILERS = [
  "content-length",
  "transfer-encoding",
  "host",
  "connection",
  "keep-alive",
  "proxy-connection",
  "upgrade",
  "te",
  "trailer",
];

const HEX = new Int8Array(256).fill(-1);
for (let digit = 0; digit < 16; digit++) {
  HEX[digit.toString(16).charCodeAt(0)] = digit;
  HEX[digit.toString(16).toUpperCase().charCodeAt(0)] = digit;
}

export class ChunkedDecoder {
  /** Where the input has been consumed to. */
  position = 0;
  dataStart = 0;
  dataEnd = 0;
  /** With CHUNKED_END: the trailer fields, belonging to the receiver. */
  trailers: HeaderList = NO_TRAILERS;
  fault: ProtocolFault | undefined = undefined;

  readonly #limits: HttpLimits;
  readonly #buffer = new HeadBuffer();
  #state = SIZE;
  #remaining = 0;
  #digits = 0;
  #extensionBytes = 0;
  #extension = EXTENSION_START;

  constructor(limits: HttpLimits) {
    this.#limits = limits;
  }

  /** Before each body. */
  start(): void {
    this.#state = SIZE;
    this.#remaining = 0;
    this.#digits = 0;
    this.#extensionBytes = 0;
    this.trailers = NO_TRAILERS;
    this.fault = undefined;
    if (this.#buffer.length > 0) this.#buffer.clear();
  }

  /** Consumes input from `from` on up to the next event and answers which. */
  next(chunk: Buffer, from: number): number {
    const to = chunk.length;
    let at = from;
    for (;;) {
      if (at >= to) {
        this.position = at;
        return CHUNKED_MORE;
      }
      switch (this.#state) {
        case SIZE: {
          const byte = chunk[at++] as number;
          const digit = HEX[byte] as number;
          if (digit >= 0) {
            if (++this.#digits > CHUNK_SIZE_DIGITS_MAX) return this.#bad("bad_chunk_size", "too many digits");
            this.#remaining = this.#remaining * 16 + digit;
          } else if (this.#digits === 0) {
            return this.#bad("bad_chunk_size", `byte ${byte} in place of a chunk size`);
          } else if (byte === CR) {
            this.#state = SIZE_LF;
          } else if (byte === SEMICOLON) {
            this.#state = EXTENSION;
            this.#extension = EXTENSION_START;
          } else {
            return this.#bad("bad_chunk_size", `byte ${byte} after a chunk size`);
          }
          break;
        }
        case EXTENSION: {
          const byte = chunk[at++] as number;
          this.#extension = afterExtensionByte(this.#extension, byte);
          if (this.#extension === EXTENSION_END) this.#state = SIZE_LF;
          else if (this.#extension === EXTENSION_BAD) {
            return this.#bad("bad_chunk_extension", `byte ${byte} in an extension`);
          } else if (++this.#extensionBytes > CHUNK_EXTENSION_BYTES_MAX) {
            return this.#bad("bad_chunk_extension", `extensions over ${CHUNK_EXTENSION_BYTES_MAX} bytes`);
          }
          break;
        }
        case SIZE_LF:
          if (chunk[at++] !== LF) return this.#bad("bad_chunk_size", "a CR without LF after a chunk size");
          this.#state = this.#remaining === 0 ? TRAILERS : DATA;
          this.#digits = 0;
          break;
        case DATA: {
          const count = Math.min(this.#remaining, to - at);
          this.dataStart = at;
          at += count;
          this.dataEnd = at;
          this.#remaining -= count;
          this.position = at;
          if (this.#remaining > 0) return CHUNKED_DATA;
          this.#state = DATA_CR;
          return this.#endsAt(chunk, at) ? CHUNKED_LAST_DATA : CHUNKED_DATA;
        }
        case DATA_CR:
          if (chunk[at++] !== CR) return this.#bad("bad_chunk_end", "a chunk is longer than its size says");
          this.#state = DATA_LF;
          break;
        case DATA_LF:
          if (chunk[at++] !== LF) return this.#bad("bad_chunk_end", "a CR without LF after a chunk");
          this.#state = SIZE;
          break;
        default:
          return this.#readTrailers(chunk, at);
      }
    }
  }

  /** The usual case: the end of the body lies right behind its last chunk, without trailers. */
  #endsAt(chunk: Buffer, at: number): boolean {
    if (
      chunk.length - at < 7 ||
      chunk[at + 2] !== 0x30 ||
      chunk[at] !== CR ||
      chunk[at + 1] !== LF ||
      chunk[at + 3] !== CR ||
      chunk[at + 4] !== LF ||
      chunk[at + 5] !== CR ||
      chunk[at + 6] !== LF
    ) {
      return false;
    }
    this.position = at + 7;
    return true;
  }

  #readTrailers(chunk: Buffer, from: number): number {
    const buffer = this.#buffer;
    const end = buffer.append(chunk, from, this.#limits.headBytes);
    if (buffer.badLineEnd) return this.#bad("bad_line_end", "a bare CR or LF in a trailer section");
    if (buffer.length > this.#limits.headBytes) {
      this.fault = { status: 431, kind: "trailers_too_large", detail: `trailers over ${this.#limits.headBytes} bytes` };
      return CHUNKED_BAD;
    }
    if (end < 0) {
      this.position = chunk.length;
      return CHUNKED_MORE;
    }
    this.position = end;
    if (buffer.length > 2) {
      const scanner = new FieldScanner(this.#limits.headerCount);
      if (scanner.scan(buffer.bytes, 0, buffer.length) < 0) {
        this.fault = scanner.fault;
        return CHUNKED_BAD;
      }
      this.trailers = trailerFields(buffer.bytes, scanner.count);
    }
    buffer.clear();
    return CHUNKED_END;
  }

  #bad(kind: string, detail: string): number {
    this.fault = { status: 400, kind, detail };
    return CHUNKED_BAD;
  }
}

function trailerFields(bytes: Buffer, count: number): HeaderList {
  const trailers: HeaderList = [];
  for (let i = 0; i < 4 * count; i += 4) {
    trailers.push(
      bytes.toString("latin1", fieldOffsets[i], fieldOffsets[i + 1]),
      bytes.toString("latin1", fieldOffsets[i + 2], fieldOffsets[i + 3]),
    );
  }
  dropUnfitTrailers(trailers);
  return trailers;
}

/** Takes out, in place, what must not stand in a trailer section. */
export function dropUnfitTrailers(trailers: HeaderList): void {
  for (const name of NOT_IN_TRAILERS) removeHeader(trailers, name);
}

/** The bytes before a chunk's data. */
export function chunkHead(length: number): string {
  return `${length.toString(16)}\r\n`;
}

/** The end of a body without trailers. */
export const LAST_CHUNK = "0\r\n\r\n";
