/**
 * The beginning of a TLS connection as a server sees it, read without answering: for whom it is meant. RFC 8446 §4.1.2
 * and §5.1, the server name RFC 6066 §3, the protocols inside RFC 7301 §3.1.
 */

/** Bytes within which a ClientHello must be whole; the largest known, with three key shares, have under 4 KiB. */
export const CLIENT_HELLO_BYTES_MAX = 16 * 1024;

export interface ClientHello {
  /** In lower case, without a final dot; "" if none was sent. */
  readonly serverName: string;
  /** Offered by ALPN, in the client's order. */
  readonly protocols: readonly string[];
}

const RECORD_HEAD_BYTES = 5;
const RECORD_BYTES_MAX = 2 ** 14;
const HANDSHAKE = 0x16;
const CLIENT_HELLO = 0x01;
const SERVER_NAME = 0;
const ALPN = 16;
const HOST_NAME = 0;

/**
 * @param bytes all that has been read so far
 * @returns "incomplete" while more bytes are needed, never above {@link CLIENT_HELLO_BYTES_MAX} of them; "invalid" if no
 *   ClientHello begins like this
 */
export function readClientHello(bytes: Buffer): ClientHello | "incomplete" | "invalid" {
  const message = handshakeMessage(bytes);
  if (typeof message === "string") return message;
  try {
    return parse(new Reader(message));
  } catch (error) {
    if (error instanceof Malformed) return "invalid";
    throw error;
  }
}

/** The body of the first handshake message, which may be spread over several records. */
function handshakeMessage(bytes: Buffer): Buffer | "incomplete" | "invalid" {
  const fragments: Buffer[] = [];
  let gathered = 0;
  let wanted = 4;
  for (let at = 0; ;) {
    if (bytes.length > at && bytes[at] !== HANDSHAKE) return "invalid";
    if (bytes.length > at + 1 && bytes[at + 1] !== 0x03) return "invalid";
    if (bytes.length < at + RECORD_HEAD_BYTES) return tooShort(bytes);
    const length = bytes.readUInt16BE(at + 3);
    // Fragments of no bytes are not allowed (§5.1), and would let a head wait for ever.
    if (length === 0 || length > RECORD_BYTES_MAX) return "invalid";
    at += RECORD_HEAD_BYTES;
    const fragment = bytes.subarray(at, at + length);
    fragments.push(fragment);
    gathered += fragment.length;
    at += length;
    if (gathered >= 4 && wanted === 4) {
      const head = Buffer.concat(fragments);
      if (head[0] !== CLIENT_HELLO) return "invalid";
      wanted = 4 + head.readUIntBE(1, 3);
      if (wanted > CLIENT_HELLO_BYTES_MAX) return "invalid";
    } else if (gathered >= 1 && fragments[0]?.[0] !== CLIENT_HELLO) {
      return "invalid";
    }
    if (gathered >= wanted) return Buffer.concat(fragments).subarray(4, wanted);
    if (bytes.length < at) return tooShort(bytes);
  }
}

function tooShort(bytes: Buffer): "incomplete" | "invalid" {
  return bytes.length >= CLIENT_HELLO_BYTES_MAX ? "invalid" : "incomplete";
}

function parse(message: Reader): ClientHello {
  // legacy_version, random, legacy_session_id, cipher_suites, legacy_compression_methods
  message.skip(2 + 32);
  message.vector(1);
  message.vector(2);
  message.vector(1);
  let serverName = "";
  const protocols: string[] = [];
  // Before TLS 1.3 there may be none.
  const extensions = message.done ? new Reader(Buffer.alloc(0)) : message.vector(2);
  while (!extensions.done) {
    const type = extensions.number(2);
    const body = extensions.vector(2);
    if (type === SERVER_NAME) {
      const names = body.vector(2);
      while (!names.done) {
        const kind = names.number(1);
        const name = names.vector(2).rest();
        if (kind === HOST_NAME && serverName === "") serverName = hostName(name);
      }
    } else if (type === ALPN) {
      const list = body.vector(2);
      while (!list.done) protocols.push(list.vector(1).rest().toString("latin1"));
    }
  }
  return { serverName, protocols };
}

function hostName(bytes: Buffer): string {
  const name = bytes.toString("latin1").toLowerCase();
  return name.endsWith(".") ? name.slice(0, -1) : name;
}

class Malformed extends Error {
  override readonly name = "Malformed";
}

/** Reads what RFC 8446 §3.4 calls vectors. Whatever goes beyond the end is malformed. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at === this.#bytes.length;
  }

  skip(count: number): void {
    this.#take(count);
  }

  /** @param size bytes, 1 or 2 */
  number(size: number): number {
    return this.#take(size).readUIntBE(0, size);
  }

  /** What follows its own length in `size` bytes. */
  vector(size: number): Reader {
    return new Reader(this.#take(this.number(size)));
  }

  rest(): Buffer {
    return this.#take(this.#bytes.length - this.#at);
  }

  #take(count: number): Buffer {
    const end = this.#at + count;
    if (end > this.#bytes.length) throw new Malformed();
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }
}
