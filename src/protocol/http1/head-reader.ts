/**
 * What reading a request head and reading a response head have in common: finding the end over torn input, the limits,
 * and the fields that mean something to the connection itself.
 */
import type { HeaderList, ProtocolFault } from "../exchange.ts";
import { removeHeader } from "../headers.ts";
import type { HttpLimits } from "../limits.ts";
import { BAD, fieldOffsets, FieldScanner, MORE } from "./field-scanner.ts";
import { HeadBuffer } from "./head-buffer.ts";
import { listMembers, parseContentLength } from "./syntax.ts";

export abstract class HeadReader {
  /** Why the last `read` answered {@link BAD}. */
  fault: ProtocolFault | undefined = undefined;

  /** The fields of the last head without the hop-by-hop ones. */
  protected headers: HeaderList = [];
  /** 0 or 1: the minor version. */
  protected minor = 1;
  /** The decoded head; index 0 is the first byte of the start line. */
  protected text = "";

  /** Connection: close was there. */
  protected saysClose = false;
  /** Connection: keep-alive was there. */
  protected saysKeepAlive = false;
  /** Connection: upgrade was there. */
  protected saysUpgrade = false;
  protected upgradeValue = "";
  /** -1: none. */
  protected contentLength = -1;
  protected chunked = false;
  protected hostCount = 0;
  /** Index of the value of the first Host in `headers`. */
  protected hostIndex = 0;
  protected expectsContinue = false;

  protected readonly limits: HttpLimits;
  readonly #scanner: FieldScanner;
  readonly #buffer = new HeadBuffer();
  #nominated: string[] | undefined = undefined;

  constructor(limits: HttpLimits) {
    this.limits = limits;
    this.#scanner = new FieldScanner(limits.headerCount);
  }

  /** Some bytes of a head have arrived, but not all. */
  get partial(): boolean {
    return this.#buffer.length > 0;
  }

  /** Takes bytes of a head. @returns the index in `chunk` after the head, {@link MORE} or {@link BAD} */
  read(chunk: Buffer, from: number): number {
    if (this.#buffer.length === 0) {
      const end = this.#parse(chunk, from, chunk.length);
      if (end !== MORE) return end;
    }
    return this.#readTorn(chunk, from);
  }

  /** Reads the start line. @returns the index after it, {@link MORE} or {@link BAD} */
  protected abstract startLine(bytes: Buffer, from: number, to: number): number;

  /** Makes the head out of `text`, `headers` and the rest. @returns false when it is refused */
  protected abstract finish(): boolean;

  protected refuse(status: number, kind: string, detail: string): typeof BAD {
    this.fault = { status, kind, detail };
    return BAD;
  }

  #readTorn(chunk: Buffer, from: number): number {
    const buffer = this.#buffer;
    const end = buffer.append(chunk, from, this.limits.headBytes);
    if (buffer.badLineEnd) return this.refuse(400, "bad_line_end", "a bare CR or LF in a head");
    if (!buffer.firstLineEnded && buffer.length > this.limits.startLineBytes + 2) return this.#startLineTooLong();
    if (buffer.length > this.limits.headBytes) return this.#headTooLarge();
    if (end < 0) return MORE;
    const parsed = this.#parse(buffer.bytes, 0, buffer.length);
    buffer.clear();
    if (parsed === MORE) return this.refuse(400, "bad_start_line", "the start line is not one");
    return parsed === BAD ? BAD : end;
  }

  #parse(bytes: Buffer, from: number, to: number): number {
    const fieldsFrom = this.startLine(bytes, from, to);
    if (fieldsFrom < 0) return fieldsFrom;
    if (fieldsFrom - from > this.limits.startLineBytes + 2) return this.#startLineTooLong();
    const scanner = this.#scanner;
    const end = scanner.scan(bytes, fieldsFrom, to);
    if (end === MORE) return MORE;
    if (end === BAD) {
      this.fault = scanner.fault;
      return BAD;
    }
    if (end - from > this.limits.headBytes) return this.#headTooLarge();
    this.text = bytes.toString("latin1", from, end);
    if (!this.#collect(bytes, from) || !this.finish()) return BAD;
    return end;
  }

  #startLineTooLong(): number {
    return this.refuse(414, "start_line_too_long", `a start line over ${this.limits.startLineBytes} bytes`);
  }

  #headTooLarge(): number {
    return this.refuse(431, "headers_too_large", `a head over ${this.limits.headBytes} bytes`);
  }

  #collect(bytes: Buffer, from: number): boolean {
    const text = this.text;
    const offsets = fieldOffsets;
    const last = 4 * this.#scanner.count;
    const headers: HeaderList = [];
    this.headers = headers;
    this.saysClose = false;
    this.saysKeepAlive = false;
    this.saysUpgrade = false;
    this.upgradeValue = "";
    this.contentLength = -1;
    this.chunked = false;
    this.hostCount = 0;
    this.expectsContinue = false;
    this.#nominated = undefined;
    for (let i = 0; i < last; i += 4) {
      const nameStart = offsets[i] as number;
      const nameEnd = offsets[i + 1] as number;
      const value = text.substring((offsets[i + 2] as number) - from, (offsets[i + 3] as number) - from);
      let keep = true;
      // The length alone tells most fields apart from those that matter here.
      switch (nameEnd - nameStart) {
        case 2:
          if (named(bytes, nameStart, "te")) {
            // "trailers" is the one member that a gRPC server looks for behind a proxy.
            keep = false;
            if (value === "trailers" || listMembers(value).includes("trailers")) {
              headers.push(text.substring(nameStart - from, nameEnd - from), "trailers");
            }
          }
          break;
        case 4:
          if (named(bytes, nameStart, "host") && this.hostCount++ === 0) this.hostIndex = headers.length + 1;
          break;
        case 6:
          if (named(bytes, nameStart, "expect")) this.expectsContinue ||= value.toLowerCase() === "100-continue";
          break;
        case 7:
          if (named(bytes, nameStart, "upgrade")) {
            keep = false;
            this.upgradeValue = this.upgradeValue === "" ? value : `${this.upgradeValue}, ${value}`;
          }
          break;
        case 10:
          if (named(bytes, nameStart, "connection")) {
            keep = false;
            this.#connectionOptions(value);
          } else if (named(bytes, nameStart, "keep-alive")) {
            keep = false;
          }
          break;
        case 14:
          if (named(bytes, nameStart, "content-length") && !this.#length(value)) return false;
          break;
        case 16:
          if (named(bytes, nameStart, "proxy-connection")) keep = false;
          break;
        case 17:
          if (named(bytes, nameStart, "transfer-encoding")) {
            keep = false;
            if (!this.#transferEncoding(value)) return false;
          }
          break;
        default:
          break;
      }
      if (keep) headers.push(text.substring(nameStart - from, nameEnd - from), value);
    }
    if (this.chunked && this.contentLength >= 0) {
      this.refuse(400, "ambiguous_length", "both Content-Length and Transfer-Encoding");
      return false;
    }
    if (this.#nominated !== undefined) {
      this.#removeNominated(this.#nominated);
    }
    return true;
  }

  #length(value: string): boolean {
    if (this.contentLength >= 0) {
      this.refuse(400, "bad_content_length", "more than one Content-Length");
      return false;
    }
    this.contentLength = parseContentLength(value);
    if (this.contentLength >= 0) return true;
    this.refuse(400, "bad_content_length", `Content-Length ${JSON.stringify(value)}`);
    return false;
  }

  #transferEncoding(value: string): boolean {
    if (this.minor === 0) {
      this.refuse(400, "bad_transfer_encoding", "Transfer-Encoding in an HTTP/1.0 message");
      return false;
    }
    if (this.chunked || (value !== "chunked" && value.toLowerCase() !== "chunked")) {
      this.refuse(501, "bad_transfer_encoding", `a transfer coding other than one "chunked": ${JSON.stringify(value)}`);
      return false;
    }
    this.chunked = true;
    return true;
  }

  #connectionOptions(value: string): void {
    // The words that make up nearly all of them, as they are usually spelled.
    if (value === "keep-alive" || value === "Keep-Alive") {
      this.saysKeepAlive = true;
    } else if (value === "close") {
      this.saysClose = true;
    } else {
      for (const option of listMembers(value)) {
        if (option === "close") this.saysClose = true;
        else if (option === "keep-alive") this.saysKeepAlive = true;
        else if (option === "upgrade") this.saysUpgrade = true;
        else (this.#nominated ??= []).push(option);
      }
    }
  }

  #removeNominated(nominated: string[]): void {
    const host = this.hostCount > 0 ? this.headers[this.hostIndex] : undefined;
    for (const name of nominated) {
      // A peer must not be able to take from a message what frames or routes it; TE has been dealt with already.
      if (name !== "host" && name !== "content-length" && name !== "te") removeHeader(this.headers, name);
    }
    if (host !== undefined) {
      this.hostIndex = 1;
      while (this.headers[this.hostIndex - 1]?.toLowerCase() !== "host") this.hostIndex += 2;
    }
  }
}

/** Compares a field name in the bytes, of the same length, with a lower-case one. */
function named(bytes: Uint8Array, start: number, lowerCaseName: string): boolean {
  for (let i = 0; i < lowerCaseName.length; i++) {
    // Field names hold no character that this bit turns into another token character, except letters.
    if (((bytes[start + i] as number) | 0x20) !== lowerCaseName.charCodeAt(i)) return false;
  }
  return true;
}
