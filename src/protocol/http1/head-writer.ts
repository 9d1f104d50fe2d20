/**
 * Encodes heads. What comes from elsewhere (an HTTP/2 peer, a configuration) is never trusted: a name, value or target
 * that could change how the peer reads the message makes the encoder refuse the whole head.
 */
import type { HeaderList, RequestHead, ResponseHead } from "../exchange.ts";
import { nameEquals } from "../headers.ts";
import { dropUnfitTrailers } from "./chunked.ts";
import { type Framing, FRAMING_CHUNKED, FRAMING_CLOSE, FRAMING_LENGTH, FRAMING_NONE } from "./framing.ts";
import { STATUS_LINES } from "./status-lines.ts";
import { HTAB, isAuthority, isTarget, isToken, parseContentLength, SP } from "./syntax.ts";

/** What an encoder says about the body besides the text; one object, valid until the next head is encoded. */
export const encoded: { framing: Framing; length: number } = { framing: FRAMING_NONE, length: 0 };

/**
 * A request head in origin form.
 *
 * @returns the text (`encoded` holds the framing of the body), or undefined when it cannot be written safely
 */
export function encodeRequestHead(head: RequestHead, end: boolean): string | undefined {
  const { method, path, authority } = head;
  if (method !== "GET" && (!isToken(method) || method === "CONNECT")) return undefined;
  if (path.charCodeAt(0) !== 0x2f && !(path === "*" && method === "OPTIONS")) return undefined;
  if (!isTarget(path) || !isAuthority(authority)) return undefined;
  lines = 1;
  contentLength = -1;
  hostWritten = false;
  hasTe = false;
  let text = `${method} ${path} HTTP/1.1\r\n`;
  const fields = encodeFields(head.headers, authority);
  if (fields === undefined) return undefined;
  if (!hostWritten) {
    text += `Host: ${authority}\r\n`;
    lines++;
  }
  text += fields;
  encoded.length = 0;
  encoded.framing = FRAMING_NONE;
  if (head.upgrade !== "") {
    if (contentLength > 0) return undefined;
    text += `Connection: ${hasTe ? "TE, " : ""}Upgrade\r\nUpgrade: ${head.upgrade}\r\n`;
    lines += 2;
  } else {
    if (hasTe) {
      // RFC 9110 §10.1.4: whoever sends TE names it in Connection.
      text += "Connection: TE\r\n";
      lines++;
    }
    if (contentLength >= 0) {
      if (end && contentLength > 0) return undefined;
      if (!end) encoded.framing = FRAMING_LENGTH;
      encoded.length = contentLength;
    } else if (!end) {
      encoded.framing = FRAMING_CHUNKED;
      text += "Transfer-Encoding: chunked\r\n";
      lines++;
    } else if (method === "POST" || method === "PUT" || method === "PATCH") {
      text += "Content-Length: 0\r\n";
      lines++;
    }
  }
  text += "\r\n";
  return controlsFit(text, lines + 1) ? text : undefined;
}

/** What the server knows of the request when it answers. */
export interface AnswerContext {
  /** The request was a HEAD. */
  readonly isHead: boolean;
  /** The client speaks HTTP/1.0: no chunks, no interim heads. */
  readonly http10: boolean;
  /** The connection is to be kept. */
  readonly keepAlive: boolean;
}

/**
 * A final response head.
 *
 * @returns the text (`encoded` holds the framing of the body), or undefined when it cannot be written safely
 */
export function encodeResponseHead(head: ResponseHead, end: boolean, context: AnswerContext): string | undefined {
  const { status } = head;
  const start = statusLine(head);
  if (start === undefined) return undefined;
  lines = 1;
  contentLength = -1;
  hostWritten = false;
  const bodyless = status === 204 || status === 304;
  dropLength = status === 204;
  const fields = encodeFields(head.headers, undefined);
  dropLength = false;
  if (fields === undefined) return undefined;
  let text = start + fields;
  let { keepAlive } = context;
  encoded.length = 0;
  encoded.framing = FRAMING_NONE;
  if (!context.isHead && !bodyless) {
    if (contentLength >= 0) {
      if (end && contentLength > 0) return undefined;
      encoded.framing = end ? FRAMING_NONE : FRAMING_LENGTH;
      encoded.length = contentLength;
    } else if (end) {
      text += "Content-Length: 0\r\n";
      lines++;
    } else if (context.http10) {
      encoded.framing = FRAMING_CLOSE;
      keepAlive = false;
    } else {
      encoded.framing = FRAMING_CHUNKED;
      text += "Transfer-Encoding: chunked\r\n";
      lines++;
    }
  }
  if (!keepAlive) {
    text += "Connection: close\r\n\r\n";
    lines++;
  } else if (context.http10) {
    text += "Connection: keep-alive\r\n\r\n";
    lines++;
  } else {
    text += "\r\n";
  }
  return controlsFit(text, lines + 1) ? text : undefined;
}

/** An interim head, 101 included. @returns undefined when it cannot be written safely */
export function encodeInterimHead(head: ResponseHead): string | undefined {
  const start = statusLine(head);
  if (start === undefined) return undefined;
  lines = 1;
  contentLength = -1;
  dropLength = true;
  const fields = encodeFields(head.headers, undefined);
  dropLength = false;
  if (fields === undefined) return undefined;
  let text = start + fields;
  if (head.status === 101) {
    text += `Connection: Upgrade\r\nUpgrade: ${head.upgrade}\r\n`;
    lines += 2;
  }
  text += "\r\n";
  return controlsFit(text, lines + 1) ? text : undefined;
}

/** The last chunk with a trailer section. @returns undefined when it cannot be written safely */
export function encodeTrailers(trailers: HeaderList): string | undefined {
  const fit = trailers.slice();
  dropUnfitTrailers(fit);
  lines = 1;
  contentLength = -1;
  const fields = encodeFields(fit, undefined);
  if (fields === undefined) return undefined;
  const text = `0\r\n${fields}\r\n`;
  return controlsFit(text, lines + 1) ? text : undefined;
}

// What encodeFields finds out besides its text. It is called for every message, so it makes no object.
let lines = 0;
let contentLength = -1;
let hostWritten = false;
let hasTe = false;
let dropLength = false;

/** @param authority goes where the first Host field stands; further ones are left out. Undefined: Host is an ordinary field */
function encodeFields(headers: HeaderList, authority: string | undefined): string | undefined {
  let text = "";
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] as string;
    let value = headers[i + 1] as string;
    if (!isToken(name)) return undefined;
    switch (name.length) {
      case 2:
        if (nameEquals(name, "te")) hasTe = true;
        break;
      case 4:
        if (authority !== undefined && nameEquals(name, "host")) {
          if (hostWritten) continue;
          hostWritten = true;
          value = authority;
        }
        break;
      case 7:
        if (nameEquals(name, "upgrade")) continue;
        break;
      case 10:
        if (nameEquals(name, "connection") || nameEquals(name, "keep-alive")) continue;
        break;
      case 14:
        if (nameEquals(name, "content-length")) {
          if (dropLength) continue;
          if (contentLength >= 0) return undefined;
          contentLength = parseContentLength(value);
          if (contentLength < 0) return undefined;
        }
        break;
      case 16:
        if (nameEquals(name, "proxy-connection")) continue;
        break;
      case 17:
        if (nameEquals(name, "transfer-encoding")) continue;
        break;
      default:
        break;
    }
    text += `${name}: ${value}\r\n`;
    lines++;
  }
  return text;
}

function statusLine(head: ResponseHead): string | undefined {
  const { status, reason } = head;
  const known = STATUS_LINES.get(status);
  if (known !== undefined && reason === "") return known;
  if (!Number.isInteger(status) || status < 100 || status > 999) return undefined;
  return `HTTP/1.1 ${status} ${reason}\r\n`;
}

/**
 * The whole head is checked at once for what must not stand in a value or reason: control characters other than the CR
 * and LF of our own line ends, and characters that one byte cannot hold.
 */
function controlsFit(text: string, lineEnds: number): boolean {
  let controls = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < SP ? code !== HTAB : code > 0x7e && (code === 0x7f || code > 0xff)) controls++;
  }
  return controls === 2 * lineEnds;
}
