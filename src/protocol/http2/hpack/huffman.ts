/**
 * The Huffman code of HPACK (RFC 7541 §5.2 and appendix B).
 *
 * The code is canonical: codes of one length follow each other in the order of their symbols, so the lengths alone tell
 * all of it. Decoding looks 9 bits up at once, which covers every letter and digit; longer codes are rare and are found
 * by their length.
 */

/** Bits of the code of each octet. The end-of-string symbol has 30 and comes last. */
const CODE_BITS = new Uint8Array([
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
  28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6,
  5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23,
  22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22,
  23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26,
  20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27,
  27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27,
  27, 27, 27, 26,
]);

const LONGEST = 30;
const LOOKUP_BITS = 9;

/** The code of each octet, its bits at the low end. */
const codes = new Int32Array(256);
/** Per length: the first code, how many there are, and where their symbols begin in `symbols`. */
const firstCode = new Int32Array(LONGEST + 1);
const codeCount = new Int32Array(LONGEST + 1);
const firstSymbol = new Int32Array(LONGEST + 1);
const symbols = new Uint8Array(256);
/** By the next 9 bits: length of the code << 8 | symbol; 0 when the code is longer. */
const lookup = new Uint16Array(1 << LOOKUP_BITS);

let code = 0;
let symbolCount = 0;
for (let bits = 1; bits <= LONGEST; bits++) {
  code *= 2;
  firstCode[bits] = code;
  firstSymbol[bits] = symbolCount;
  for (let symbol = 0; symbol < 256; symbol++) {
    if (CODE_BITS[symbol] !== bits) continue;
    codes[symbol] = code;
    symbols[symbolCount++] = symbol;
    if (bits <= LOOKUP_BITS) {
      const shift = LOOKUP_BITS - bits;
      lookup.fill((bits << 8) | symbol, code << shift, (code + 1) << shift);
    }
    code++;
  }
  codeCount[bits] = symbolCount - (firstSymbol[bits] as number);
}

/** The most octets that `length` octets of code can decode to: the shortest code has 5 bits. */
export function maxDecodedBytes(length: number): number {
  return Math.floor((length * 8) / 5);
}

/**
 * Decodes `bytes[start, end)` into `out`, which has room for {@link maxDecodedBytes}.
 *
 * @returns octets written, or -1 if the code is broken: EOS inside, padding that is not all ones or has 8 bits or more
 */
export function decodeHuffman(bytes: Uint8Array, start: number, end: number, out: Uint8Array): number {
  let written = 0;
  // The next `have` bits are the low ones of `bits`. With at most 24 + 8 of them they fit 32.
  let bits = 0;
  let have = 0;
  let at = start;
  for (;;) {
    while (have <= 24 && at < end) {
      bits = (bits << 8) | (bytes[at++] as number);
      have += 8;
    }
    if (have < LOOKUP_BITS) break;
    const entry = lookup[(bits >>> (have - LOOKUP_BITS)) & 0x1ff] as number;
    if (entry !== 0) {
      have -= entry >>> 8;
      out[written++] = entry & 0xff;
      continue;
    }
    const position = at * 8 - have;
    const length = longCodeBits(bytes, position, end);
    if (length < 0) return -1;
    out[written++] = longSymbol;
    at = (position + length + 7) >>> 3;
    have = at * 8 - (position + length);
    bits = have === 0 ? 0 : (bytes[at - 1] as number);
  }
  // At most 8 bits remain: short codes, then padding.
  for (;;) {
    if (have === 0) return written;
    const rest = bits & ((1 << have) - 1);
    const entry = lookup[(rest << (LOOKUP_BITS - have)) | ((1 << (LOOKUP_BITS - have)) - 1)] as number;
    const length = entry >>> 8;
    if (entry === 0 || length > have) return have < 8 && rest === (1 << have) - 1 ? written : -1;
    have -= length;
    out[written++] = entry & 0xff;
  }
}

let longSymbol = 0;

/** Finds the code at a bit position by trying lengths. Sets `longSymbol`. @returns its length, or -1 */
function longCodeBits(bytes: Uint8Array, position: number, end: number): number {
  let value = 0;
  for (let length = 1; length <= LONGEST; length++) {
    const bit = position + length - 1;
    const index = bit >>> 3;
    if (index >= end) {
      // Nine ones or more at the end: more padding than the 7 bits that are allowed.
      return -1;
    }
    value = value * 2 + (((bytes[index] as number) >>> (7 - (bit & 7))) & 1);
    const offset = value - (firstCode[length] as number);
    if (offset < (codeCount[length] as number)) {
      longSymbol = symbols[(firstSymbol[length] as number) + offset] as number;
      return length;
    }
  }
  return -1;
}

/** Octets that `text` (characters below U+0100) takes in this code. */
export function huffmanBytes(text: string): number {
  let bits = 0;
  for (let i = 0; i < text.length; i++) bits += CODE_BITS[text.charCodeAt(i) & 0xff] as number;
  return (bits + 7) >>> 3;
}

/** Writes `text` (characters below U+0100) in this code. @returns the offset after it */
export function encodeHuffman(text: string, block: Uint8Array, at: number): number {
  let next = at;
  let pending = 0;
  let have = 0;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i) & 0xff;
    let left = CODE_BITS[symbol] as number;
    const value = codes[symbol] as number;
    while (left > 0) {
      const take = Math.min(8 - have, left);
      pending = (pending << take) | ((value >>> (left - take)) & ((1 << take) - 1));
      have += take;
      left -= take;
      if (have === 8) {
        block[next++] = pending;
        pending = 0;
        have = 0;
      }
    }
  }
  if (have > 0) block[next++] = (pending << (8 - have)) | ((1 << (8 - have)) - 1);
  return next;
}
