/**
 * Writes heads. What comes from elsewhere (an HTTP/2 peer, a configuration) is never trusted: a name, value or target that
 * could change how the peer reads the message makes the writer refuse the whole head, before a byte of it has left.
 *
 * A head is put together as one string, written into the outgoing block in one go, and checked there byte by byte, as the
 * peer will see it: that costs a third of checking the strings. Characters above U+00FF, which HTTP/1 has no bytes for, are cut to their low
 * byte before that check.
 */
import { LARGE_BLOCK_BYTES } from "../../net/blocks.ts";
import type { Connection } from "../../net/connection.ts";
import type { HeaderList, RequestHead, ResponseHead } from "../exchange.ts";
import { nameEquals } from "../headers.ts";
import { dropUnfitTrailers } from "./chunked.ts";
import { type Framing, FRAMING_CHUNKED, FRAMING_CLOSE, FRAMING_LENGTH, FRAMING_NONE } from "./framing.ts";
import { isConnectTarget, withoutHttp } from "../upgrade.ts";
import { statusLine } from "./status-lines.ts";
import { COLON, CR, FIELD_VALUE, isAuthority, isTarget, isToken, LF, parseContentLength, TOKEN } from "./syntax.ts";

/** How the body that follows the head written last is framed; one object, valid until the next head is written. */
export const written: { framing: Framing; length: number } = { framing: FRAMING_NONE, length: 0 };

/**
 * A request head in origin form, or in authority form for CONNECT.
 *
 * @returns false when it cannot be written safely: nothing has been written
 */
export function writeRequestHead(connection: Connection, head: RequestHead, end: boolean): boolean {
  const { method, path, authority, upgrade } = head;
  const connect = method === "CONNECT";
  if (method !== "GET" && !isToken(method)) return false;
  if (connect) {
    if (upgrade === "" || path !== "" || !isConnectTarget(authority)) return false;
  } else {
    if (path.charCodeAt(0) !== 0x2f && !(path === "*" && method === "OPTIONS")) return false;
    if (!isTarget(path)) return false;
  }
  if (!isAuthority(authority)) return false;
  const fields = joinFields(head.headers, authority, false);
  if (fields === undefined) return false;
  let text = `${method} ${connect ? authority : path} HTTP/1.1\r\n`;
  if (!hostWritten) {
    text += field("Host", authority);
  }
  text += fields;
  written.length = 0;
  written.framing = FRAMING_NONE;
  if (upgrade !== "") {
    if (contentLength > 0 || withoutHttp(upgrade) !== upgrade) return false;
    if (!connect) text += field("Connection", hasTe ? "TE, Upgrade" : "Upgrade") + field("Upgrade", upgrade);
  } else {
    if (hasTe) {
      // RFC 9110 §10.1.4: whoever sends TE names it in Connection.
      text += field("Connection", "TE");
    }
    if (contentLength >= 0) {
      if (end && contentLength > 0) return false;
      if (!end) written.framing = FRAMING_LENGTH;
      written.length = contentLength;
    } else if (!end) {
      written.framing = FRAMING_CHUNKED;
      text += field("Transfer-Encoding", "chunked");
    } else if (method === "POST" || method === "PUT" || method === "PATCH") {
      text += field("Content-Length", "0");
    }
  }
  return writeSection(connection, `${text}\r\n`);
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
 * @returns false when it cannot be written safely: nothing has been written
 */
export function writeResponseHead(
  connection: Connection,
  head: ResponseHead,
  end: boolean,
  context: AnswerContext,
): boolean {
  const { status } = head;
  const start = statusLine(status, head.reason);
  const fields = joinFields(head.headers, undefined, status === 204);
  if (start === undefined || fields === undefined) return false;
  let text = start + fields;
  let { keepAlive } = context;
  written.length = 0;
  written.framing = FRAMING_NONE;
  if (!context.isHead && status !== 204 && status !== 304) {
    if (contentLength >= 0) {
      if (end && contentLength > 0) return false;
      if (!end) written.framing = FRAMING_LENGTH;
      written.length = contentLength;
    } else if (end) {
      text += field("Content-Length", "0");
    } else if (context.http10) {
      written.framing = FRAMING_CLOSE;
      keepAlive = false;
    } else {
      written.framing = FRAMING_CHUNKED;
      text += field("Transfer-Encoding", "chunked");
    }
  }
  if (!keepAlive) text += field("Connection", "close");
  else if (context.http10) text += field("Connection", "keep-alive");
  return writeSection(connection, `${text}\r\n`);
}

/** An interim head, or one that grants a tunnel: no body is announced. @returns false when it cannot be written safely: nothing has been written */
export function writeInterimHead(connection: Connection, head: ResponseHead): boolean {
  const start = statusLine(head.status, head.reason);
  const fields = joinFields(head.headers, undefined, true);
  if (start === undefined || fields === undefined) return false;
  let text = start + fields;
  if (head.status === 101) {
    text += field("Connection", "Upgrade") + field("Upgrade", head.upgrade);
  }
  return writeSection(connection, `${text}\r\n`);
}

/** The last chunk with a trailer section. @returns false when it cannot be written safely: nothing has been written */
export function writeTrailers(connection: Connection, trailers: HeaderList): boolean {
  const fit = trailers.slice();
  dropUnfitTrailers(fit);
  const fields = joinFields(fit, undefined, true);
  return fields !== undefined && writeSection(connection, `0\r\n${fields}\r\n`);
}

// What joinFields finds out besides its text. It is called for every message, so it makes no object.
/** Lines that the section has so far, the start line included and the empty one not. */
let lines = 0;
/** Characters of all field names so far. */
let nameChars = 0;
let contentLength = -1;
let hostWritten = false;
let hasTe = false;

/**
 * Field lines without the hop-by-hop ones, not yet checked.
 *
 * @param authority goes where the first Host field stands; further ones are left out. Undefined: Host is an ordinary field
 * @param dropLength leaves Content-Length out
 * @returns undefined when a Content-Length is malformed or not the only one, or a name is not safe
 */
function joinFields(headers: HeaderList, authority: string | undefined, dropLength: boolean): string | undefined {
  lines = 1;
  nameChars = 0;
  contentLength = -1;
  hostWritten = false;
  hasTe = false;
  let text = "";
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] as string;
    let value = headers[i + 1] as string;
    switch (name.length) {
      case 2:
        if (nameEquals(name, "te")) hasTe = true;
        else if (!isToken(name)) return undefined;
        break;
      case 4:
        if (authority !== undefined && nameEquals(name, "host")) {
          if (hostWritten) continue;
          hostWritten = true;
          value = authority;
        } else if (!isToken(name)) return undefined;
        break;
      case 7:
        if (nameEquals(name, "upgrade")) continue;
        if (!isToken(name)) return undefined;
        break;
      case 10:
        if (nameEquals(name, "connection") || nameEquals(name, "keep-alive")) continue;
        if (!isToken(name)) return undefined;
        break;
      case 14:
        if (nameEquals(name, "content-length")) {
          if (dropLength) continue;
          if (contentLength >= 0) return undefined;
          contentLength = parseContentLength(value);
          if (contentLength < 0) return undefined;
        } else if (!isToken(name)) return undefined;
        break;
      case 16:
        if (nameEquals(name, "proxy-connection")) continue;
        if (!isToken(name)) return undefined;
        break;
      case 17:
        if (nameEquals(name, "transfer-encoding")) continue;
        if (!isToken(name)) return undefined;
        break;
      default:
        // Checked as bytes. Only at the lengths above could a character that one byte cannot hold make a name into one
        // of those that were looked for.
        break;
    }
    text += field(name, value);
  }
  return text;
}

function field(name: string, value: string): string {
  lines++;
  nameChars += name.length;
  return `${name}: ${value}\r\n`;
}

/** Writes a start line, fields and the empty line, if they are what they should be. */
function writeSection(connection: Connection, text: string): boolean {
  if (connection.closed || connection.ended) return true;
  const length = text.length;
  if (length > LARGE_BLOCK_BYTES) {
    const bytes = Buffer.from(text, "latin1");
    if (!isSection(bytes, 0, length)) return false;
    connection.write(bytes);
    return true;
  }
  const { block, offset } = connection.reserve(length);
  block.write(text, offset, "latin1");
  if (!isSection(block, offset, offset + length)) return false;
  connection.commit(length);
  return true;
}

/**
 * Reads the bytes, which end with CRLF CRLF, as a peer would: true if that gives as many lines, and as much text before
 * the colons, as was meant.
 */
function isSection(bytes: Uint8Array, from: number, to: number): boolean {
  let nameCharsLeft = nameChars;
  let at = from;
  for (let line = 0; line < lines; line++) {
    if (line > 0) {
      const start = at;
      while (TOKEN[bytes[at] as number] === 1) at++;
      if (at === start || bytes[at] !== COLON) return false;
      nameCharsLeft -= at - start;
    }
    while (FIELD_VALUE[bytes[at] as number] === 1) at++;
    if (bytes[at] !== CR || bytes[at + 1] !== LF) return false;
    at += 2;
  }
  return at + 2 === to && nameCharsLeft === 0;
}
