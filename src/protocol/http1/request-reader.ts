/** Reads request heads by RFC 9112 §3 and says how the body is framed. Strict: what two peers could read differently is refused. */
import type { RequestHead } from "../exchange.ts";
import type { HttpLimits } from "../limits.ts";
import { isConnectTarget, withoutHttp } from "../upgrade.ts";
import { BAD, MORE } from "./field-scanner.ts";
import { type Framing, FRAMING_CHUNKED, FRAMING_LENGTH, FRAMING_NONE } from "./framing.ts";
import { HeadReader } from "./head-reader.ts";
import { COLON, CR, isAuthority, LF, SP, TARGET, TOKEN } from "./syntax.ts";

/** Longer than any registered method (UPDATEREDIRECTREF has 17). */
export const METHOD_BYTES_MAX = 32;

/** "HTTP/1.1" and CRLF. */
const VERSION_BYTES = 8;
const SLASH = 0x2f;
const QUESTION = 0x3f;
const ASTERISK = 0x2a;
const ZERO = 0x30;

export class RequestReader extends HeadReader {
  /** The head read last. Belongs to the receiver: the reader never touches it again. */
  head: RequestHead = noHead;
  framing: Framing = FRAMING_NONE;
  /** With FRAMING_LENGTH: body bytes to come, at least 1. */
  bodyLength = 0;
  /** The client can take another response on this connection. */
  keepAlive = true;
  /** The client waits for a 100 before it sends the body. */
  awaits100 = false;

  #methodEnd = 0;
  #targetEnd = 0;
  #first = 0;
  readonly #scheme: string;

  constructor(limits: HttpLimits, scheme: string) {
    super(limits);
    this.#scheme = scheme;
  }

  protected override startLine(bytes: Buffer, from: number, to: number): number {
    let at = from;
    while (at < to && TOKEN[bytes[at] as number] === 1) at++;
    if (at - from > METHOD_BYTES_MAX) return this.refuse(400, "bad_request_line", "the method is too long");
    if (at === to) return MORE;
    if (at === from || bytes[at] !== SP) {
      return this.refuse(400, "bad_request_line", `byte ${bytes[at]} in or after the method`);
    }
    this.#methodEnd = at - from;
    at++;
    const targetStart = at;
    while (at < to && TARGET[bytes[at] as number] === 1) at++;
    if (at === to) return MORE;
    if (at === targetStart || bytes[at] !== SP) {
      return this.refuse(400, "bad_request_target", `byte ${bytes[at]} in or after the target`);
    }
    this.#targetEnd = at - from;
    this.#first = bytes[targetStart] as number;
    at++;
    if (to - at < VERSION_BYTES + 2) return MORE;
    const minor = (bytes[at + 7] as number) - ZERO;
    if (
      bytes[at] !== 0x48 ||
      bytes[at + 1] !== 0x54 ||
      bytes[at + 2] !== 0x54 ||
      bytes[at + 3] !== 0x50 ||
      bytes[at + 4] !== SLASH ||
      bytes[at + 6] !== 0x2e ||
      bytes[at + 8] !== CR ||
      bytes[at + 9] !== LF ||
      minor < 0 ||
      minor > 9
    ) {
      return this.refuse(400, "bad_request_line", "no HTTP version at the end of the request line");
    }
    if (bytes[at + 5] !== ZERO + 1 || minor > 1) {
      return this.refuse(505, "bad_version", `HTTP/${String.fromCharCode(bytes[at + 5] as number)}.${minor}`);
    }
    this.minor = minor;
    return at + VERSION_BYTES + 2;
  }

  protected override finish(): boolean {
    const text = this.text;
    const headers = this.headers;
    const methodEnd = this.#methodEnd;
    // The commonest method is not cut out of the text, so that it compares by identity later.
    const method =
      methodEnd === 3 && text.charCodeAt(0) === 0x47 && text.charCodeAt(1) === 0x45 && text.charCodeAt(2) === 0x54
        ? "GET"
        : text.substring(0, methodEnd);
    const target = text.substring(methodEnd + 1, this.#targetEnd);
    let authority = "";
    if (this.hostCount === 1) {
      authority = headers[this.hostIndex] as string;
      if (!isAuthority(authority)) return this.#bad("bad_host", `Host ${JSON.stringify(authority)}`);
    } else if (this.hostCount > 1) {
      return this.#bad("bad_host", "more than one Host");
    } else if (this.minor === 1) {
      return this.#bad("bad_host", "an HTTP/1.1 request without Host");
    }

    const head: RequestHead = {
      method,
      scheme: this.#scheme,
      authority,
      path: target,
      headers,
      version: this.minor === 1 ? "1.1" : "1.0",
      upgrade: "",
    };
    if ((this.#first !== SLASH || method === "CONNECT") && !this.#otherForm(head, target)) return false;

    this.framing = FRAMING_NONE;
    this.bodyLength = 0;
    if (this.chunked) {
      this.framing = FRAMING_CHUNKED;
    } else if (this.contentLength > 0) {
      this.framing = FRAMING_LENGTH;
      this.bodyLength = this.contentLength;
    }
    if (method === "CONNECT") {
      if (this.framing !== FRAMING_NONE) return this.#bad("bad_request_line", "CONNECT with a body");
      head.upgrade = "connect";
    } else if (this.saysUpgrade && this.upgradeValue !== "") {
      head.upgrade = this.#upgrade(method);
    }
    this.keepAlive = this.minor === 1 ? !this.saysClose : this.saysKeepAlive && !this.saysClose;
    this.awaits100 = this.expectsContinue && this.minor === 1 && this.framing !== FRAMING_NONE;
    this.head = head;
    return true;
  }

  /** An upgrade that is passed on. Any may be ignored (RFC 9110 §7.8); with a body, or of a HEAD, it is. */
  #upgrade(method: string): string {
    if (this.minor === 0 || this.framing !== FRAMING_NONE || method === "HEAD") return "";
    return withoutHttp(this.upgradeValue);
  }

  /** Asterisk, authority and absolute form (RFC 9112 §3.2). */
  #otherForm(head: RequestHead, target: string): boolean {
    if (head.method === "CONNECT") {
      if (!isAuthority(target) || !isConnectTarget(target)) {
        return this.#bad("bad_request_target", `CONNECT to ${JSON.stringify(target)}`);
      }
      head.path = "";
      return this.#setAuthority(head, target);
    }
    if (this.#first === ASTERISK && target.length === 1) {
      return head.method === "OPTIONS" || this.#bad("bad_request_target", `the target * with ${head.method}`);
    }
    const schemeEnd = target.indexOf("://");
    const scheme = schemeEnd === 4 || schemeEnd === 5 ? target.substring(0, schemeEnd).toLowerCase() : "";
    if (scheme !== "http" && scheme !== "https") {
      return this.#bad("bad_request_target", `the target ${JSON.stringify(target.substring(0, 100))}`);
    }
    const authorityFrom = schemeEnd + 3;
    let authorityEnd = authorityFrom;
    while (authorityEnd < target.length) {
      const code = target.charCodeAt(authorityEnd);
      if (code === SLASH || code === QUESTION) break;
      authorityEnd++;
    }
    const authority = target.substring(authorityFrom, authorityEnd);
    if (authority === "" || authority.charCodeAt(0) === COLON || !isAuthority(authority)) {
      return this.#bad("bad_request_target", `the authority ${JSON.stringify(authority.substring(0, 100))}`);
    }
    head.scheme = scheme;
    const rest = target.substring(authorityEnd);
    if (rest === "") head.path = head.method === "OPTIONS" ? "*" : "/";
    else head.path = rest.charCodeAt(0) === SLASH ? rest : `/${rest}`;
    return this.#setAuthority(head, authority);
  }

  /** The target is the truth; a Host field that says otherwise is corrected (RFC 9112 §3.2.2). */
  #setAuthority(head: RequestHead, authority: string): boolean {
    head.authority = authority;
    if (this.hostCount === 1) head.headers[this.hostIndex] = authority;
    return true;
  }

  #bad(kind: string, detail: string): boolean {
    return this.refuse(400, kind, detail) !== BAD;
  }
}

const noHead: RequestHead = {
  method: "",
  scheme: "",
  authority: "",
  path: "",
  headers: [],
  version: "1.1",
  upgrade: "",
};
