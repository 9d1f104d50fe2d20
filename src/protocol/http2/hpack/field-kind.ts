/**
 * What a field is to an HTTP/2 message (RFC 9113 §8.2 and §8.3), found out once when its text is read. The dynamic table
 * keeps the answer with the field, so a field that comes as an index costs no look at its characters.
 */

/** The kind of a field name. */
export const FieldKind = {
  regular: 0,
  method: 1,
  scheme: 2,
  authority: 3,
  path: 4,
  status: 5,
  /** A name that begins with a colon and is none of ours. */
  unknownPseudo: 6,
  /** Upper case or no token. */
  invalid: 7,
  /** Connection-specific: Connection, Keep-Alive, Proxy-Connection, Transfer-Encoding, Upgrade. */
  forbidden: 8,
  te: 9,
  contentLength: 10,
  host: 11,
  cookie: 12,
  protocol: 13,
} as const;

/** The low bits of a kind hold the name's part; above it are the flaws of the value. */
export const KIND_MASK = 0x0f;
/** The value has control characters, or white space at an end. */
export const BAD_VALUE = 0x10;
/** The value has control characters, blanks or obs-text anywhere: no target, authority or token. */
export const HAS_BLANK = 0x20;
const BAD_NAME = 0x40;

const special = new Map<string, number>([
  [":method", FieldKind.method],
  [":scheme", FieldKind.scheme],
  [":authority", FieldKind.authority],
  [":path", FieldKind.path],
  [":status", FieldKind.status],
  [":protocol", FieldKind.protocol],
  ["connection", FieldKind.forbidden],
  ["keep-alive", FieldKind.forbidden],
  ["proxy-connection", FieldKind.forbidden],
  ["transfer-encoding", FieldKind.forbidden],
  ["upgrade", FieldKind.forbidden],
  ["te", FieldKind.te],
  ["content-length", FieldKind.contentLength],
  ["host", FieldKind.host],
  ["cookie", FieldKind.cookie],
]);

/** Per octet: what its presence makes of a name and of a value. */
const octetFlaws = new Uint8Array(256);
for (let octet = 0; octet < 256; octet++) {
  const control = (octet < 0x20 && octet !== 0x09) || octet === 0x7f;
  const blank = octet <= 0x20 || octet >= 0x7f;
  const lowerToken = /[!#$%&'*+\-.^_`|~0-9a-z]/.test(String.fromCharCode(octet));
  octetFlaws[octet] = (control ? BAD_VALUE : 0) | (blank ? HAS_BLANK : 0) | (lowerToken ? 0 : BAD_NAME);
}

/** The flaws of a value that lies in `bytes[start, end)`: {@link BAD_VALUE} | {@link HAS_BLANK}. */
export function valueFlaws(bytes: Uint8Array, start: number, end: number): number {
  if (start === end) return 0;
  let flaws = 0;
  for (let at = start; at < end; at++) flaws |= octetFlaws[bytes[at] as number] as number;
  if ((flaws & HAS_BLANK) !== 0 && (isBlank(bytes[start] as number) || isBlank(bytes[end - 1] as number))) {
    flaws |= BAD_VALUE;
  }
  return flaws & (BAD_VALUE | HAS_BLANK);
}

/** The kind of a name whose octets lie in `bytes[start, end)`. */
export function nameKind(name: string, bytes: Uint8Array, start: number, end: number): number {
  const known = special.get(name);
  if (known !== undefined) return known;
  if (start === end) return FieldKind.invalid;
  if (bytes[start] === 0x3a) return FieldKind.unknownPseudo;
  let flaws = 0;
  for (let at = start; at < end; at++) flaws |= octetFlaws[bytes[at] as number] as number;
  return (flaws & BAD_NAME) === 0 ? FieldKind.regular : FieldKind.invalid;
}

/** The kind of a name that is known to be a lower-case token or a pseudo-header's. */
export function knownNameKind(name: string): number {
  return special.get(name) ?? FieldKind.regular;
}

function isBlank(octet: number): boolean {
  return octet === 0x20 || octet === 0x09;
}
