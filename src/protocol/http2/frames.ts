/** The frame layer's vocabulary: RFC 9113 §4 and §6 in numbers. */

/** Octets of every frame's header. */
export const FRAME_HEADER_BYTES = 9;

/** What a client sends before its first frame (RFC 9113 §3.4). */
export const CLIENT_PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/** The largest payload that we accept (SETTINGS_MAX_FRAME_SIZE at its default) and the largest that we send. */
export const MAX_FRAME_BYTES = 16_384;

/** Stream identifiers have 31 bits. */
export const MAX_STREAM_ID = 0x7fff_ffff;

/** Frame types (RFC 9113 §6). */
export const FrameType = {
  data: 0x0,
  headers: 0x1,
  priority: 0x2,
  rstStream: 0x3,
  settings: 0x4,
  pushPromise: 0x5,
  ping: 0x6,
  goaway: 0x7,
  windowUpdate: 0x8,
  continuation: 0x9,
} as const;

/** Frame flags; END_STREAM and ACK share a bit. */
export const Flag = { none: 0, endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const;

/** Settings identifiers (RFC 9113 §6.5.2). */
export const SettingId = {
  headerTableSize: 0x1,
  enablePush: 0x2,
  maxConcurrentStreams: 0x3,
  initialWindowSize: 0x4,
  maxFrameSize: 0x5,
  maxHeaderListSize: 0x6,
  /** RFC 8441 §3. */
  enableConnectProtocol: 0x8,
} as const;

/** Error codes (RFC 9113 §7). */
export const ErrorCode = {
  noError: 0x0,
  protocolError: 0x1,
  internalError: 0x2,
  flowControlError: 0x3,
  settingsTimeout: 0x4,
  streamClosed: 0x5,
  frameSizeError: 0x6,
  refusedStream: 0x7,
  cancel: 0x8,
  compressionError: 0x9,
  connectError: 0xa,
  enhanceYourCalm: 0xb,
  inadequateSecurity: 0xc,
  http11Required: 0xd,
} as const;

const ERROR_NAMES = [
  "NO_ERROR",
  "PROTOCOL_ERROR",
  "INTERNAL_ERROR",
  "FLOW_CONTROL_ERROR",
  "SETTINGS_TIMEOUT",
  "STREAM_CLOSED",
  "FRAME_SIZE_ERROR",
  "REFUSED_STREAM",
  "CANCEL",
  "COMPRESSION_ERROR",
  "CONNECT_ERROR",
  "ENHANCE_YOUR_CALM",
  "INADEQUATE_SECURITY",
  "HTTP_1_1_REQUIRED",
];

/** The RFC's name of an error code, or its number in hexadecimal. */
export function errorName(code: number): string {
  return ERROR_NAMES[code] ?? `0x${code.toString(16)}`;
}

/** Writes a frame header at `offset`. @param length of the payload, at most 2^24-1 */
export function writeFrameHeader(
  block: Uint8Array,
  offset: number,
  length: number,
  type: number,
  flags: number,
  streamId: number,
): void {
  block[offset] = length >>> 16;
  block[offset + 1] = length >>> 8;
  block[offset + 2] = length;
  block[offset + 3] = type;
  block[offset + 4] = flags;
  writeUint32(block, offset + 5, streamId);
}

/** Writes a big-endian number of 32 bits. */
export function writeUint32(block: Uint8Array, offset: number, value: number): void {
  block[offset] = value >>> 24;
  block[offset + 1] = value >>> 16;
  block[offset + 2] = value >>> 8;
  block[offset + 3] = value;
}

/** Reads a big-endian number of 32 bits, 0 to 2^32-1. */
export function readUint32(bytes: Uint8Array, offset: number): number {
  return readUint31(bytes, offset) + ((bytes[offset] as number) >= 0x80 ? 0x8000_0000 : 0);
}

/** Reads a big-endian number of 32 bits without its highest bit, which RFC 9113 reserves in stream ids and increments. */
export function readUint31(bytes: Uint8Array, offset: number): number {
  return (
    (((bytes[offset] as number) & 0x7f) << 24) |
    ((bytes[offset + 1] as number) << 16) |
    ((bytes[offset + 2] as number) << 8) |
    (bytes[offset + 3] as number)
  );
}
