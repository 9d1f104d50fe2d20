/** Reads response heads by RFC 9112 §4 and says how the body is framed. */
import type { ResponseHead } from "../exchange.ts";
import { removeHeader } from "../headers.ts";
import { MORE } from "./field-scanner.ts";
import { type Framing, FRAMING_CHUNKED, FRAMING_CLOSE, FRAMING_LENGTH, FRAMING_NONE } from "./framing.ts";
import { HeadReader } from "./head-reader.ts";
import { CR, FIELD_VALUE, LF, SP } from "./syntax.ts";

const ZERO = 0x30;
/** "HTTP/1.1 200" and at least CR or SP. */
const STATUS_END = 12;

export class ResponseReader extends HeadReader {
  /** Set before `read`: the request was a HEAD, so no body follows whatever the head says. */
  toHead = false;
  /** Set before `read`: the request was a CONNECT, so a 2xx turns the connection into a tunnel. */
  toConnect = false;

  head: ResponseHead = noHead;
  framing: Framing = FRAMING_NONE;
  /** With FRAMING_LENGTH: body bytes to come, at least 1. */
  bodyLength = 0;
  /** The server will take another request on this connection. */
  keepAlive = true;

  #status = 0;
  #reasonStart = 0;
  #reasonEnd = 0;

  protected override startLine(bytes: Buffer, from: number, to: number): number {
    if (to - from < STATUS_END + 2) return prefixFits(bytes, from, to) ? MORE : this.#badLine();
    const minor = (bytes[from + 7] as number) - ZERO;
    const hundreds = (bytes[from + 9] as number) - ZERO;
    const tens = (bytes[from + 10] as number) - ZERO;
    const ones = (bytes[from + 11] as number) - ZERO;
    if (
      !prefixFits(bytes, from, from + 7) ||
      (minor !== 0 && minor !== 1) ||
      bytes[from + 8] !== SP ||
      hundreds < 1 ||
      hundreds > 9 ||
      tens < 0 ||
      tens > 9 ||
      ones < 0 ||
      ones > 9
    ) {
      return this.#badLine();
    }
    let at = from + STATUS_END;
    // Some servers leave the space out when there is no reason phrase; nothing can be mistaken by that.
    if (bytes[at] === SP) at++;
    else if (bytes[at] !== CR) return this.#badLine();
    this.#reasonStart = at - from;
    while (at < to && FIELD_VALUE[bytes[at] as number] === 1) at++;
    if (at + 1 >= to) return at === to || bytes[at] === CR ? MORE : this.#badLine();
    if (bytes[at] !== CR || bytes[at + 1] !== LF) return this.#badLine();
    this.#reasonEnd = at - from;
    this.minor = minor;
    this.#status = 100 * hundreds + 10 * tens + ones;
    return at + 2;
  }

  protected override finish(): boolean {
    const status = this.#status;
    const connected = this.toConnect && status >= 200 && status < 300;
    this.head = {
      status,
      reason: this.text.substring(this.#reasonStart, this.#reasonEnd),
      headers: this.headers,
      upgrade: connected ? "connect" : status === 101 ? this.upgradeValue : "",
    };
    this.keepAlive = this.minor === 1 ? !this.saysClose : this.saysKeepAlive && !this.saysClose;
    this.bodyLength = 0;
    if (connected) {
      // RFC 9110 §9.3.6: a length means nothing here.
      removeHeader(this.headers, "content-length");
      this.framing = FRAMING_NONE;
    } else if (this.toHead || status < 200 || status === 204 || status === 304) {
      this.framing = FRAMING_NONE;
      // Neither of them may have a length (RFC 9110 §8.6), and HTTP/2 takes one for a body that is missing.
      if (this.contentLength > 0 && (status < 200 || status === 204)) removeHeader(this.headers, "content-length");
    } else if (this.chunked) {
      this.framing = FRAMING_CHUNKED;
    } else if (this.contentLength >= 0) {
      this.framing = this.contentLength === 0 ? FRAMING_NONE : FRAMING_LENGTH;
      this.bodyLength = this.contentLength;
    } else {
      this.framing = FRAMING_CLOSE;
      this.keepAlive = false;
    }
    return true;
  }

  #badLine(): number {
    return this.refuse(400, "bad_status_line", "the status line is not one");
  }
}

function prefixFits(bytes: Buffer, from: number, to: number): boolean {
  const until = Math.min(to, from + PREFIX.length);
  for (let at = from; at < until; at++) if (bytes[at] !== PREFIX.charCodeAt(at - from)) return false;
  return true;
}

const PREFIX = "HTTP/1.";

const noHead: ResponseHead = { status: 0, reason: "", headers: [], upgrade: "" };
