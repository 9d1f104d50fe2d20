/** Whole WebSocket frames (RFC 6455 §5.2) out of a stream of bytes, as far as an echo and its generator need them. */

const LENGTH_16 = 126;
const LENGTH_64 = 127;
const MASKED = 0x80;

/** Called with a frame's first byte (FIN and opcode) and its payload, unmasked; valid only during the call. */
export type OnFrame = (first: number, payload: Buffer) => void;

export class WebSocketReader {
  readonly #onFrame: OnFrame;
  #rest = Buffer.alloc(0);

  constructor(onFrame: OnFrame) {
    this.#onFrame = onFrame;
  }

  /** @throws Error at a frame of 64 KiB or more, which nobody here sends */
  push(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let from = 0;
    for (let end = this.#read(bytes, from); end !== from; end = this.#read(bytes, from)) from = end;
    this.#rest = Buffer.from(bytes.subarray(from));
  }

  /** @returns where the frame ends; `from` if it is not all there */
  #read(bytes: Buffer, from: number): number {
    if (bytes.length - from < 2) return from;
    const second = bytes[from + 1] ?? 0;
    const short = second & ~MASKED;
    if (short === LENGTH_64) throw new Error("a WebSocket frame of 64 KiB or more");
    const lengthEnd = from + (short === LENGTH_16 ? 4 : 2);
    const begin = lengthEnd + (second >= MASKED ? 4 : 0);
    if (bytes.length < begin) return from;
    const length = short === LENGTH_16 ? bytes.readUInt16BE(from + 2) : short;
    const end = begin + length;
    if (bytes.length < end) return from;
    const payload = bytes.subarray(begin, end);
    if (begin !== lengthEnd) unmask(payload, bytes.subarray(lengthEnd, begin));
    this.#onFrame(bytes[from] ?? 0, payload);
    return end;
  }
}

function unmask(payload: Buffer, key: Buffer): void {
  if (key.readUInt32BE(0) === 0) return;
  for (let i = 0; i < payload.length; i++) payload[i] = (payload[i] ?? 0) ^ (key[i % 4] ?? 0);
}

/** @param key masks the payload, as clients must; undefined: a server's frame. @throws RangeError at 64 KiB or more */
export function webSocketFrame(first: number, payload: Buffer, key?: Buffer): Buffer {
  if (payload.length > 0xffff) throw new RangeError(`a payload of ${payload.length} bytes, expected at most 65535`);
  const mask = key === undefined ? 0 : MASKED;
  const length =
    payload.length < LENGTH_16
      ? [mask | payload.length]
      : [mask | LENGTH_16, payload.length >>> 8, payload.length & 0xff];
  const bytes = Buffer.concat([Buffer.from([first, ...length]), key ?? Buffer.alloc(0), payload]);
  if (key !== undefined) unmask(bytes.subarray(bytes.length - payload.length), key);
  return bytes;
}
