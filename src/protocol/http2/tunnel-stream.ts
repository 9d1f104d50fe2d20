/**
 * The server's end of a stream that asks for a tunnel: CONNECT (RFC 9113 §8.5) or extended CONNECT (RFC 8441).
 *
 *   asked ──grant──▶ tunnel: content is passed on, each direction ends on its own
 *     └──any other final head──▶ declined: content of the client's is thrown away
 *
 * A client may send before it is answered. What it sends is held until then, at most the stream's window, since it gets
 * no credit before.
 */
import { type BodyReceiver, type HeaderList, ResetCause, type ResponseHead, type ServerStream } from "../exchange.ts";
import { removeHeader } from "../headers.ts";
import { ErrorCode } from "./frames.ts";
import type { StreamSession } from "./stream.ts";
import { Http2Stream } from "./stream.ts";

const EMPTY = Buffer.alloc(0);

/** Octets of the first piece of memory for what is held. */
const HELD_BYTES_MIN = 1024;

/** What the stream needs of its connection, beside what every stream needs. */
export interface TunnelSession extends StreamSession {
  sendHead(stream: Http2Stream, head: ResponseHead, end: boolean): void;
}

export class Http2TunnelStream extends Http2Stream implements ServerStream {
  readonly #session: TunnelSession;
  readonly #extended: boolean;
  readonly #gate: Gate;
  #state: "asked" | "granted" | "declined" = "asked";

  /** @param extended by extended CONNECT: a 101 grants it, which HTTP/2 says with 200 */
  constructor(id: number, session: TunnelSession, extended: boolean, receiver: BodyReceiver) {
    super(id, session, receiver);
    this.#session = session;
    this.#extended = extended;
    this.#gate = new Gate(this, receiver);
    // No credit before the answer.
    this.paused = true;
  }

  override get user(): BodyReceiver {
    return this.receiver === this.#gate ? this.#gate.receiver : this.receiver;
  }

  /** Called once the handler has set its receiver; it may have answered already. */
  guard(): void {
    if (this.closed) return;
    const gate = this.#gate;
    gate.receiver = this.receiver;
    this.receiver = gate;
    if (this.remoteEnded) gate.onData(EMPTY, true);
    if (this.#state === "granted") this.#open();
  }

  sendHead(head: ResponseHead, end: boolean): void {
    if (this.closed || this.#state !== "asked") return;
    const { status, headers } = head;
    const success = status >= 200 && status < 300;
    if (head.upgrade === "" && status !== 101 && !success) {
      if (status >= 200) {
        this.#state = "declined";
        this.#gate.declined = true;
      }
      this.#session.sendHead(this, head, end);
    } else if (head.upgrade !== "" && (this.#extended ? status === 101 : success)) {
      this.#state = "granted";
      this.tunnel = true;
      this.paused = this.#gate.paused;
      removeHeader(headers, "content-length");
      this.#session.sendHead(this, { ...head, status: this.#extended ? 200 : status }, false);
      if (this.receiver === this.#gate) this.#open();
    } else {
      // A 2xx means a tunnel to the client, and nothing else does.
      const cause = new ResetCause("internal", `status ${status} to a request for a tunnel`);
      const { receiver } = this;
      super.reset(cause);
      receiver.onReset(cause);
    }
  }

  override pause(): void {
    if (this.#state === "asked") this.#gate.paused = true;
    else super.pause();
  }

  override resume(): void {
    if (this.#state === "asked") this.#gate.paused = false;
    else super.resume();
  }

  /** How the loss of the connection behind a tunnel is told: RFC 9113 §8.5, RFC 8441 §5. */
  override reset(cause: ResetCause): void {
    if (cause.code === "closed" && this.tunnel) {
      super.reset(new ResetCause("closed", cause.detail, this.#extended ? ErrorCode.cancel : ErrorCode.connectError));
    } else {
      super.reset(cause);
    }
  }

  #open(): void {
    this.receiver = this.#gate.receiver;
    this.#gate.deliver();
    // Not before: the receiver may have asked to wait.
    if (!this.paused && !this.closed && !this.remoteEnded) this.#session.credit(this);
  }
}

/** Stands before the receiver until the request is answered, and for good if it is declined. */
class Gate implements BodyReceiver {
  receiver: BodyReceiver;
  /** The user asks the client to wait. */
  paused = false;
  declined = false;
  readonly #stream: Http2TunnelStream;
  #held = EMPTY;
  #heldBytes = 0;
  #ended = false;

  constructor(stream: Http2TunnelStream, receiver: BodyReceiver) {
    this.#stream = stream;
    this.receiver = receiver;
  }

  onData(chunk: Buffer, end: boolean): void {
    this.#ended = end;
    if (this.declined) return;
    const needed = this.#heldBytes + chunk.length;
    if (needed > this.#held.length) {
      const larger = Buffer.allocUnsafe(Math.max(HELD_BYTES_MIN, 2 * this.#held.length, needed));
      this.#held.copy(larger, 0, 0, this.#heldBytes);
      this.#held = larger;
    }
    chunk.copy(this.#held, this.#heldBytes);
    this.#heldBytes = needed;
  }

  /** A tunnel has none: the connection refuses them before. */
  onTrailers(_trailers: HeaderList): void {}

  onReset(cause: ResetCause): void {
    // Declined, and the answer is whole: for the receiver the exchange is over.
    if (!this.declined || !this.#stream.endGiven) this.receiver.onReset(cause);
  }

  onWritable(): void {
    this.receiver.onWritable();
  }

  /** Gives the receiver what was held. */
  deliver(): void {
    const held = this.#held.subarray(0, this.#heldBytes);
    this.#held = EMPTY;
    if (held.length > 0 || this.#ended) this.receiver.onData(held, this.#ended);
  }
}
