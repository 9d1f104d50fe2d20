/** From fields to messages: what a request, a response and trailers must look like (RFC 9113 §8). */
import type { HeaderList, RequestHead, ResponseHead } from "../exchange.ts";
import { removeHeader } from "../headers.ts";
import { isAuthority, parseContentLength } from "../http1/syntax.ts";
import type { HttpLimits } from "../limits.ts";
import { isConnectTarget, withoutHttp } from "../upgrade.ts";
import type { FieldSink } from "./hpack/decoder.ts";
import { ENTRY_OVERHEAD_BYTES } from "./hpack/decoder.ts";
import { BAD_VALUE, FieldKind, HAS_BLANK, KIND_MASK } from "./hpack/field-kind.ts";

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/**
 * Takes the fields of one header block after the other and holds what they make. What it gives is the receiver's own, so
 * it may be asked again.
 *
 * A block that is malformed or too large is taken to its end all the same, since the compression table depends on it, but
 * no more of it is kept.
 */
export class MessageHead implements FieldSink {
  readonly #maxBytes: number;
  readonly #maxCount: number;
  #headers: HeaderList = [];
  #method = "";
  #scheme = "";
  #authority = "";
  #path = "";
  #protocol = "";
  #status = "";
  #host: string | undefined;
  /** Of the value in `#headers`, or -1. */
  #cookieAt = -1;
  #seen = 0;
  #regularSeen = false;
  #bytes = 0;
  #count = 0;

  /** The value of Content-Length, or -1. */
  contentLength = -1;
  /** What makes the block malformed, or "". */
  flaw = "";
  /** The block has more octets or fields than allowed. */
  tooLarge = false;

  constructor(limits: HttpLimits) {
    this.#maxBytes = limits.headBytes;
    this.#maxCount = limits.headerCount;
  }

  /** Begins the next block. */
  begin(): void {
    this.#headers = [];
    this.#method = "";
    this.#scheme = "";
    this.#authority = "";
    this.#path = "";
    this.#protocol = "";
    this.#status = "";
    this.#host = undefined;
    this.#cookieAt = -1;
    this.#seen = 0;
    this.#regularSeen = false;
    this.#bytes = 0;
    this.#count = 0;
    this.contentLength = -1;
    this.flaw = "";
    this.tooLarge = false;
  }

  onField(name: string, value: string, kind: number): void {
    if (this.tooLarge) return;
    this.#bytes += name.length + value.length + ENTRY_OVERHEAD_BYTES;
    if (this.#bytes > this.#maxBytes || ++this.#count > this.#maxCount) {
      this.tooLarge = true;
      this.#headers = [];
      return;
    }
    if (kind === FieldKind.regular) {
      this.#regularSeen = true;
      this.#headers.push(name, value);
      return;
    }
    if (this.flaw !== "") return;
    if ((kind & BAD_VALUE) !== 0) {
      this.flaw = `value of ${shown(name)} with control characters or outer blanks`;
      return;
    }
    this.#special(name, value, kind & KIND_MASK, (kind & HAS_BLANK) !== 0);
  }

  /** The request that the block makes, or undefined and `flaw` is set. */
  request(): RequestHead | undefined {
    const extended = this.#has(FieldKind.protocol);
    const connect = this.#method === "CONNECT" && !extended;
    if (this.flaw === "") {
      if (!this.#has(FieldKind.method)) this.flaw = "no :method";
      else if (this.#has(FieldKind.status)) this.flaw = ":status in a request";
      else if (!isMethod(this.#method)) this.flaw = ":method is no token";
      else if (connect) this.#checkConnect();
      else this.#checkTarget();
      if (extended) this.#checkExtendedConnect();
    }
    if (this.#has(FieldKind.authority)) {
      if (this.#host !== undefined && !sameHost(this.#host, this.#authority)) {
        this.flaw ||= ":authority and Host differ";
      }
    } else if (this.#host !== undefined) {
      this.#authority = this.#host;
    }
    if (!isAuthority(this.#authority)) this.flaw ||= `the authority ${shown(this.#authority)}`;
    if (this.contentLength > 0 && (connect || extended)) this.flaw ||= "content-length in a request for a tunnel";
    if (this.flaw !== "") return undefined;
    return {
      method: extended ? "GET" : this.#method,
      scheme: connect ? "http" : this.#scheme,
      authority: this.#authority,
      path: this.#path,
      headers: this.#headers.slice(),
      version: "2",
      upgrade: connect ? "connect" : this.#protocol,
    };
  }

  /** The response head that the block makes, or undefined and `flaw` is set. */
  response(): ResponseHead | undefined {
    const status = parseStatus(this.#status);
    if (this.flaw === "") {
      if (this.#seen !== 1 << FieldKind.status) this.flaw = "response pseudo-header fields are not :status alone";
      else if (status < 100) this.flaw = ":status is not a number from 100 to 999";
      else if (status === 101) this.flaw = "status 101, which HTTP/2 does not have";
    }
    if (this.flaw !== "") return undefined;
    return { status, reason: "", headers: this.#headers.slice(), upgrade: "" };
  }

  /** The trailers that the block makes, or undefined and `flaw` is set. */
  trailers(): HeaderList | undefined {
    if (this.#seen !== 0) this.flaw ||= "pseudo-header field in trailers";
    // Dropped, as in HTTP/1: they would frame or route the message if a receiver merged them (RFC 9110 §6.5.1).
    if (this.contentLength >= 0) removeHeader(this.#headers, "content-length");
    if (this.#host !== undefined) removeHeader(this.#headers, "host");
    return this.flaw === "" ? this.#headers.slice() : undefined;
  }

  #has(kind: number): boolean {
    return (this.#seen & (1 << kind)) !== 0;
  }

  #checkConnect(): void {
    if (this.#has(FieldKind.scheme) || this.#has(FieldKind.path)) this.flaw = "CONNECT with :scheme or :path";
    else if (this.#authority === "") this.flaw = "CONNECT without :authority";
    else if (!isConnectTarget(this.#authority)) this.flaw = `CONNECT to ${shown(this.#authority)}`;
  }

  /** RFC 8441 §4. */
  #checkExtendedConnect(): void {
    if (this.#method !== "CONNECT") this.flaw ||= ":protocol without CONNECT";
    else if (this.#authority === "") this.flaw ||= ":protocol without :authority";
    else if (!TOKEN.test(this.#protocol)) this.flaw ||= ":protocol is no token";
    else if (withoutHttp(this.#protocol) === "") this.flaw ||= `:protocol ${this.#protocol}, which is HTTP itself`;
  }

  #checkTarget(): void {
    if (!this.#has(FieldKind.scheme) || this.#scheme === "") this.flaw = "no :scheme";
    else if (this.#scheme !== "http" && this.#scheme !== "https") this.flaw = `:scheme ${shown(this.#scheme)}`;
    else if (!this.#has(FieldKind.path)) this.flaw = "no :path";
    else if (this.#path.charCodeAt(0) !== 0x2f && !(this.#path === "*" && this.#method === "OPTIONS")) {
      this.flaw = ":path does not begin with a slash";
    } else if (this.#path.includes("#")) {
      this.flaw = ":path with a fragment";
    }
  }

  #special(name: string, value: string, kind: number, hasBlank: boolean): void {
    if ((kind >= FieldKind.method && kind <= FieldKind.unknownPseudo) || kind === FieldKind.protocol) {
      this.#pseudo(name, value, kind, hasBlank);
      return;
    }
    this.#regularSeen = true;
    switch (kind) {
      case FieldKind.invalid:
        this.flaw = `field name ${shown(name)} is not a lower-case token`;
        return;
      case FieldKind.forbidden:
        this.flaw = `connection-specific field ${name}`;
        return;
      case FieldKind.te:
        if (value.toLowerCase() !== "trailers") this.flaw = `te: ${shown(value)}`;
        break;
      case FieldKind.contentLength:
        this.#checkLength(value);
        break;
      case FieldKind.host:
        if (hasBlank) this.flaw = "Host with blanks or other characters that none has";
        else if (this.#host !== undefined) this.flaw = "two Host fields";
        this.#host = value;
        break;
      case FieldKind.cookie:
        // Cookies may be split for compression; HTTP/1 and applications want one field (RFC 9113 §8.2.3).
        if (this.#cookieAt >= 0) {
          this.#headers[this.#cookieAt] = `${this.#headers[this.#cookieAt] as string}; ${value}`;
          return;
        }
        this.#cookieAt = this.#headers.length + 1;
        break;
      default:
    }
    this.#headers.push(name, value);
  }

  #checkLength(value: string): void {
    const length = parseContentLength(value);
    if (length < 0) this.flaw = `content-length: ${shown(value)}`;
    else if (this.contentLength >= 0) this.flaw = "more than one content-length";
    else this.contentLength = length;
  }

  #pseudo(name: string, value: string, kind: number, hasBlank: boolean): void {
    if (kind === FieldKind.unknownPseudo) this.flaw = `unknown pseudo-header field ${shown(name)}`;
    else if (this.#regularSeen) this.flaw = `${name} after a regular field`;
    else if (this.#has(kind)) this.flaw = `two ${name} fields`;
    else if (hasBlank) this.flaw = `${name} with blanks or other characters that none has`;
    if (this.flaw !== "") return;
    this.#seen |= 1 << kind;
    switch (kind) {
      case FieldKind.method:
        this.#method = value;
        break;
      case FieldKind.scheme:
        this.#scheme = value;
        break;
      case FieldKind.authority:
        this.#authority = value;
        break;
      case FieldKind.path:
        this.#path = value;
        break;
      case FieldKind.protocol:
        this.#protocol = value;
        break;
      default:
        this.#status = value;
    }
  }
}

/** Three digits. @returns below 100 if it is anything else, or less than a status */
function parseStatus(text: string): number {
  if (text.length !== 3) return 0;
  let status = 0;
  for (let i = 0; i < 3; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return 0;
    status = 10 * status + digit;
  }
  return status;
}

function isMethod(method: string): boolean {
  return method === "GET" || method === "POST" || TOKEN.test(method);
}

function sameHost(a: string, b: string): boolean {
  return a === b || a.toLowerCase() === b.toLowerCase();
}

/** Peers choose these characters and how many: for messages, a short and printable form. */
function shown(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}
