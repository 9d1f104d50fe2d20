/**
 * The grammar of chunk extensions (RFC 9112 §7.1.1), byte by byte. They mean nothing to us and are dropped, but where they
 * end is read as strictly as all else: what one reader takes for a part of a quoted value is the end of the line to
 * another.
 *
 *   ";" ──▶ START ──token──▶ NAME ──"="──▶ VALUE_START ──token──▶ VALUE ──▶ ";" | CR
 *                                              └──quote──▶ QUOTED ──quote──▶ CLOSED ──▶ ";" | CR
 */
import { CR, FIELD_VALUE, HTAB, SP, TOKEN } from "./syntax.ts";

/** Behind a semicolon. */
export const EXTENSION_START = 0;
/** The CR that ends the line was met. */
export const EXTENSION_END = 1;
export const EXTENSION_BAD = 2;

const NAME = 3;
const NAME_BLANK = 4;
const VALUE_START = 5;
const VALUE = 6;
const QUOTED = 7;
const ESCAPED = 8;
const CLOSED = 9;
const VALUE_BLANK = 10;

const SEMICOLON = 0x3b;
const EQUALS = 0x3d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** @returns the state after a byte: {@link EXTENSION_END}, {@link EXTENSION_BAD}, or one to go on from */
export function afterExtensionByte(state: number, byte: number): number {
  const blank = byte === SP || byte === HTAB;
  switch (state) {
    case EXTENSION_START:
      return blank ? EXTENSION_START : TOKEN[byte] === 1 ? NAME : EXTENSION_BAD;
    case NAME:
      if (TOKEN[byte] === 1) return NAME;
      if (byte === EQUALS) return VALUE_START;
      return blank ? NAME_BLANK : afterMember(byte);
    case NAME_BLANK:
      if (byte === EQUALS) return VALUE_START;
      return blank ? NAME_BLANK : byte === SEMICOLON ? EXTENSION_START : EXTENSION_BAD;
    case VALUE_START:
      if (byte === QUOTE) return QUOTED;
      return blank ? VALUE_START : TOKEN[byte] === 1 ? VALUE : EXTENSION_BAD;
    case VALUE:
      if (TOKEN[byte] === 1) return VALUE;
      return blank ? VALUE_BLANK : afterMember(byte);
    case QUOTED:
      if (byte === QUOTE) return CLOSED;
      if (byte === BACKSLASH) return ESCAPED;
      return FIELD_VALUE[byte] === 1 ? QUOTED : EXTENSION_BAD;
    case ESCAPED:
      return FIELD_VALUE[byte] === 1 ? QUOTED : EXTENSION_BAD;
    case CLOSED:
      return blank ? VALUE_BLANK : afterMember(byte);
    default:
      return blank ? VALUE_BLANK : byte === SEMICOLON ? EXTENSION_START : EXTENSION_BAD;
  }
}

function afterMember(byte: number): number {
  if (byte === SEMICOLON) return EXTENSION_START;
  return byte === CR ? EXTENSION_END : EXTENSION_BAD;
}
