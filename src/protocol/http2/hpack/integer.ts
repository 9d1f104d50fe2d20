/** Integers with a prefix of N bits (RFC 7541 §5.1). */

/** The largest value that is read: far above every length and index, and still a small integer for the engine. */
export const MAX_INTEGER = 2 ** 28 - 1;

/** Octets that the largest integer can take. */
export const INTEGER_BYTES_MAX = 6;

/** A place in a header block; reading moves it on. */
export interface Cursor {
  bytes: Uint8Array;
  at: number;
  end: number;
}

/**
 * Reads an integer whose first octet is at the cursor; bits above the prefix are ignored.
 *
 * @returns the value, or -1 if the block ends within it or it is above {@link MAX_INTEGER} or written needlessly long
 */
export function readInteger(cursor: Cursor, prefixBits: number): number {
  const mask = (1 << prefixBits) - 1;
  if (cursor.at >= cursor.end) return -1;
  let value = (cursor.bytes[cursor.at++] as number) & mask;
  if (value < mask) return value;
  for (let shift = 0; shift <= 28; shift += 7) {
    if (cursor.at >= cursor.end) return -1;
    const octet = cursor.bytes[cursor.at++] as number;
    value += (octet & 0x7f) * 2 ** shift;
    if (value > MAX_INTEGER) return -1;
    if (octet < 0x80) return value;
  }
  return -1;
}

/**
 * Writes an integer at `at`.
 *
 * @param flags the bits above the prefix
 * @returns the offset after it
 */
export function writeInteger(block: Uint8Array, at: number, prefixBits: number, flags: number, value: number): number {
  const mask = (1 << prefixBits) - 1;
  if (value < mask) {
    block[at] = flags | value;
    return at + 1;
  }
  block[at] = flags | mask;
  let next = at + 1;
  let rest = value - mask;
  while (rest >= 0x80) {
    block[next++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  block[next++] = rest;
  return next;
}
