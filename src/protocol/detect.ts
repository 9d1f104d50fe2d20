/**
 * Which protocol a client speaks, told from its first bytes. Decides as soon as the bytes allow only one answer. A client
 * that waits for the server to speak first is found out by time, or sooner by whoever hears the server speak.
 */
import type { Clock, Timer } from "../net/clock.ts";
import type { Connection, ConnectionHandler } from "../net/connection.ts";

export type DetectedProtocol = "http1" | "http2" | "tls" | "opaque";

export interface Detection {
  readonly protocol: DetectedProtocol;
  /** The time was up before the bytes were conclusive; `protocol` is then "opaque". */
  readonly timedOut: boolean;
  /** A copy of all bytes read so far. */
  readonly first: Buffer;
  /** The client has sent FIN. */
  readonly ended: boolean;
}

export interface DetectOptions {
  /** Milliseconds from now until an undecided connection counts as opaque. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** The connection was lost before a decision; `done` is then not called. */
  readonly onClose: () => void;
  /** Tells the protocol; {@link classify} unless said. */
  readonly classify?: typeof classify;
}

/** A start line of a method that we do not know is looked at for this many bytes. */
export const DETECT_BYTES_MAX = 4096;

/**
 * Reads until the protocol is clear, then pauses the connection and calls `done` once. The caller sets the connection's
 * handler from within `done`, feeds it `first`, and resumes.
 *
 * @returns a function that says that the server has spoken first, which HTTP servers do not: decides at once
 */
export function detectProtocol(
  connection: Connection,
  options: DetectOptions,
  done: (detection: Detection) => void,
): () => void {
  const detector = new Detector(connection, options, done);
  connection.handler = detector;
  connection.resume();
  return () => detector.serverSpoke();
}

const NOTHING: Buffer = Buffer.alloc(0);

class Detector implements ConnectionHandler {
  readonly #connection: Connection;
  readonly #options: DetectOptions;
  readonly #done: (detection: Detection) => void;
  readonly #timer: Timer;
  readonly #classify: typeof classify;
  #first = NOTHING;
  #decided = false;

  constructor(connection: Connection, options: DetectOptions, done: (detection: Detection) => void) {
    this.#connection = connection;
    this.#options = options;
    this.#done = done;
    this.#classify = options.classify ?? classify;
    this.#timer = options.clock.after(options.timeoutMs, () => this.#decide("opaque", true, false));
  }

  onData(chunk: Buffer): void {
    if (this.#decided) return;
    this.#first = this.#first.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#first, chunk]);
    const protocol = this.#classify(this.#first);
    if (protocol !== undefined) this.#decide(protocol, false, false);
  }

  onEnd(): void {
    this.#decide("opaque", false, true);
  }

  onDrain(): void {}

  serverSpoke(): void {
    this.#decide("opaque", false, false);
  }

  onClose(): void {
    this.#timer.cancel();
    this.#decided = true;
    this.#options.onClose();
  }

  #decide(protocol: DetectedProtocol, timedOut: boolean, ended: boolean): void {
    if (this.#decided) return;
    this.#decided = true;
    this.#timer.cancel();
    this.#connection.pause();
    this.#done({ protocol, timedOut, first: this.#first, ended });
  }
}

/** RFC 9113 §3.4. */
const HTTP2_PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/** With one of these and the start of a target, no other protocol is likely enough to wait for the rest of the line. */
const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"].map((method) =>
  Buffer.from(`${method} `, "latin1"),
);
/** How a target can begin: origin-form, absolute-form. */
const TARGET_STARTS = ["/", "http://", "https://"].map((start) => Buffer.from(start, "latin1"));
const METHOD_BYTES_MAX = 32;
const VERSION = Buffer.from(" HTTP/1.", "latin1");

const TLS_HANDSHAKE = 0x16;
const TLS_MAJOR = 0x03;
const SP = 0x20;
const CR = 0x0d;

/** @returns undefined while more bytes are needed to tell */
export function classify(bytes: Buffer): DetectedProtocol | undefined {
  if (bytes.length === 0) return undefined;
  if (bytes[0] === TLS_HANDSHAKE) return classifyTls(bytes);
  if (agrees(bytes, 0, HTTP2_PREFACE)) {
    if (bytes.length >= HTTP2_PREFACE.length) return "http2";
    return undefined;
  }
  return isHttp1(bytes);
}

/** The same where nothing matters but whether it is TLS. */
export function classifyTls(bytes: Buffer): "tls" | "opaque" | undefined {
  if (bytes.length === 0) return undefined;
  if (bytes[0] !== TLS_HANDSHAKE) return "opaque";
  // A record of a handshake, in the version field of any TLS up to 1.3 (RFC 8446 §5.1).
  if (bytes.length === 1) return undefined;
  return bytes[1] === TLS_MAJOR ? "tls" : "opaque";
}

/** A SETTINGS frame on stream 0 without flags, after its length (RFC 9113 §4.1, §6.5). */
const SETTINGS = Buffer.from([0x04, 0x00, 0x00, 0x00, 0x00, 0x00]);
const HTTP1_ANSWER = Buffer.from("HTTP/1.", "latin1");

/**
 * Whether these first bytes of a server that has not been asked anything prove that it does not speak HTTP. An HTTP/2
 * server may send its SETTINGS at once (RFC 9113 §3.4), an HTTP/1 server a 408 to who asks nothing (RFC 9110 §15.5.9).
 */
export function isGreeting(bytes: Buffer): boolean {
  if (bytes.length === 0) return false;
  return !agrees(bytes, 3, SETTINGS) && !agrees(bytes, 0, HTTP1_ANSWER);
}

function isHttp1(bytes: Buffer): "http1" | "opaque" | undefined {
  for (const method of METHODS) {
    if (!agrees(bytes, 0, method)) continue;
    if (bytes.length <= method.length) return undefined;
    for (const start of TARGET_STARTS) {
      if (!agrees(bytes, method.length, start)) continue;
      return bytes.length >= method.length + start.length ? "http1" : undefined;
    }
  }
  // Something else: HTTP only if the version stands at the end of a line like "METHOD target HTTP/1.1".
  let at = 0;
  while (at < bytes.length && isMethodByte(bytes[at] as number)) at++;
  if (at > METHOD_BYTES_MAX) return "opaque";
  if (at === bytes.length) return undefined;
  if (at === 0 || bytes[at] !== SP) return "opaque";
  const targetStart = ++at;
  while (at < bytes.length && (bytes[at] as number) > SP && (bytes[at] as number) < 0x7f) at++;
  if (at > DETECT_BYTES_MAX) return "opaque";
  if (at === bytes.length) return undefined;
  if (at === targetStart || bytes[at] === CR || !agrees(bytes, at, VERSION)) return "opaque";
  return bytes.length >= at + VERSION.length ? "http1" : undefined;
}

/** As much of `pattern` as the bytes reach stands at `from`. */
function agrees(bytes: Buffer, from: number, pattern: Buffer): boolean {
  const count = Math.min(pattern.length, bytes.length - from);
  for (let i = 0; i < count; i++) if (bytes[from + i] !== pattern[i]) return false;
  return true;
}

/** Letters, digits and hyphen: every registered method, and fewer chances for other protocols than all of tchar. */
function isMethodByte(byte: number): boolean {
  return (
    (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a) || (byte >= 0x30 && byte <= 0x39) || byte === 0x2d
  );
}
