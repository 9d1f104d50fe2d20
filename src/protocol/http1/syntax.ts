/** Character classes and small grammars of RFC 9110 §5.6 and RFC 9112, as table look-ups. */

export const HTAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SP = 0x20;
export const COLON = 0x3a;

/** Content-Length and chunk sizes stay below this many decimal digits, so that they are exact numbers. */
const LENGTH_DIGITS_MAX = 15;

function table(accepts: (code: number) => boolean): Uint8Array {
  const result = new Uint8Array(256);
  for (let code = 0; code < 256; code++) result[code] = accepts(code) ? 1 : 0;
  return result;
}

const isAlphanumeric = (code: number): boolean =>
  (code >= 0x30 && code <= 0x39) || (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a);

/** tchar: what methods and field names are made of. */
export const TOKEN = table((code) => isAlphanumeric(code) || "!#$%&'*+-.^_`|~".includes(String.fromCharCode(code)));

/** What may stand in a field value or reason phrase: HTAB, SP, VCHAR and obs-text. */
export const FIELD_VALUE = table((code) => code === HTAB || (code >= SP && code !== 0x7f));

/**
 * What may stand in a request target. Wider than RFC 3986 (quotes, braces and bars are common and harmless), but ASCII,
 * and without "#": fragments are never sent, and peers disagree on what one would mean.
 */
export const TARGET = table((code) => code > SP && code < 0x7f && code !== 0x23);

/** uri-host and port. Without the comma that RFC 3986 would allow: it would make one Host look like two. */
const AUTHORITY = table((code) => isAlphanumeric(code) || "-._~!$&'()*+;=:%[]".includes(String.fromCharCode(code)));

const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/** True for a method or field name. */
export function isToken(text: string): boolean {
  const length = text.length;
  if (length === 0) return false;
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x7e || TOKEN[code] === 0) return false;
  }
  return true;
}

/** True for what may be written as the target of a request line. */
export function isTarget(text: string): boolean {
  const length = text.length;
  if (length === 0) return false;
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x7e || TARGET[code] === 0) return false;
  }
  return true;
}

/** True for `host`, `host:port`, `[ipv6]`, `[ipv6]:port` and the empty authority (RFC 9110 §7.2). */
export function isAuthority(text: string): boolean {
  // A sidecar meets the same few names again and again.
  if (text === lastAuthority) return true;
  if (!checkAuthority(text)) return false;
  lastAuthority = text;
  return true;
}

let lastAuthority = "";

function checkAuthority(text: string): boolean {
  const length = text.length;
  let portFrom = -1;
  let hostFrom = 0;
  if (length > 0 && text.charCodeAt(0) === OPEN_BRACKET) {
    const close = text.indexOf("]");
    if (close < 2) return false;
    for (let i = 1; i < close; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7e || AUTHORITY[code] === 0 || code === OPEN_BRACKET) return false;
    }
    hostFrom = close + 1;
    if (hostFrom < length && text.charCodeAt(hostFrom) !== COLON) return false;
  }
  for (let i = hostFrom; i < length; i++) {
    const code = text.charCodeAt(i);
    if (portFrom >= 0) {
      if (code < 0x30 || code > 0x39 || i - portFrom >= 5) return false;
    } else if (code === COLON) {
      if (i === 0) return false;
      portFrom = i + 1;
    } else if (code > 0x7e || AUTHORITY[code] === 0 || code === OPEN_BRACKET || code === CLOSE_BRACKET) {
      return false;
    }
  }
  return true;
}

/** The value of a Content-Length field: digits and nothing else. -1 when it is anything else or too long to be exact. */
export function parseContentLength(value: string): number {
  const length = value.length;
  if (length === 0 || length > LENGTH_DIGITS_MAX) return -1;
  let result = 0;
  for (let i = 0; i < length; i++) {
    const digit = value.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    result = result * 10 + digit;
  }
  return result;
}

/**
 * Calls a list-valued field apart: lower-case members without empty ones. Only for the rare values that are not one
 * well-known word.
 */
export function listMembers(value: string): string[] {
  const members: string[] = [];
  for (const part of value.split(",")) {
    const member = part.trim().toLowerCase();
    if (member !== "") members.push(member);
  }
  return members;
}
