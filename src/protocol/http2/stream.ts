/**
 * One HTTP/2 stream: its part of the state, and the calls that a user makes on it.
 *
 *            open ──local end──▶ half-closed (local) ──remote end──▶ closed
 *             └───remote end──▶ half-closed (remote) ──local end──▶ closed
 *   any state ──reset by either side──▶ closed
 *
 * All fields are initialised at once and are only touched by the session's own files.
 */
import type { BodyReceiver, HeaderList, HttpStream, ResetCause } from "../exchange.ts";
import { STREAM_WINDOW_BYTES_MAX } from "./receive-windows.ts";

/**
 * Octets held for one stream above which a producer that goes on all the same is cut off: it has ignored `sendData`'s
 * false for longer than any window of its own input could explain.
 */
export const HELD_BYTES_MAX = STREAM_WINDOW_BYTES_MAX + 1024 * 1024;

/** What a stream needs of the session that it belongs to. */
export interface StreamSession {
  /** What the peer lets a new stream send. */
  readonly peerStreamWindow: number;
  readonly options: { readonly streamWindowBytes: number };
  readonly scheduler: {
    send(stream: Http2Stream, chunk: Uint8Array, end: boolean): boolean;
    sendTrailers(stream: Http2Stream, trailers: HeaderList): void;
  };
  /** END_STREAM has been written. */
  localEnd(stream: Http2Stream): void;
  /** The receiver reads again: the peer may send what was withheld. */
  credit(stream: Http2Stream): void;
  /** The user broke a rule of ours: both sides are told. */
  failOwn(stream: Http2Stream, detail: string): void;
  resetByUser(stream: Http2Stream, cause: ResetCause): void;
}

export class Http2Stream<R extends BodyReceiver = BodyReceiver> implements HttpStream {
  readonly id: number;
  /** @internal */
  readonly session: StreamSession;
  receiver: R;

  /** @internal Nothing passes in either direction any more, and the session has forgotten the stream. */
  closed = false;
  /** @internal The user has ended its direction; the end may still be held back. */
  endGiven = false;
  /** @internal END_STREAM has been written. */
  localEnded = false;
  /** @internal END_STREAM has been received. */
  remoteEnded = false;

  /** @internal What the peer allows us to send; below 0 after it has reduced its initial window. */
  sendWindow: number;
  /** @internal The size of the window that we give to the peer. */
  windowBytes: number;
  /** @internal What it still allows the peer to send. */
  receiveWindow: number;
  /** @internal Octets taken from the receive window and not given back. */
  uncredited = 0;
  /** @internal When credit was given last. */
  creditedAt: number | undefined = undefined;
  /** @internal Before this time the window does not grow. */
  growsAfter = 0;
  /** @internal */
  paused = false;
  /** @internal The reader has paused since the last credit. */
  waited = false;

  /** @internal Bytes that wait for a window, and an end that waits behind them; undefined when nothing waits. */
  held: Buffer[] | undefined = undefined;
  /** @internal Octets of the first held chunk that have been sent. */
  heldFrom = 0;
  /** @internal */
  heldBytes = 0;
  /** @internal Octets of memory that they take. */
  heldCapacity = 0;
  /** @internal */
  heldEnd = false;
  /** @internal */
  heldTrailers: HeaderList | undefined = undefined;
  /** @internal `sendData` has answered false. */
  awaitsWritable = false;
  /** @internal */
  inLine = false;
  /** @internal */
  previousInLine: Http2Stream | undefined = undefined;
  /** @internal */
  nextInLine: Http2Stream | undefined = undefined;

  /** @internal Octets of content that the head has announced, or -1. */
  expectedBytes = -1;
  /** @internal */
  receivedBytes = 0;
  /** @internal A client's stream: the final head has been received. */
  headReceived = false;
  /** @internal Content is opaque bytes, and each direction ends on its own. */
  tunnel = false;

  constructor(id: number, session: StreamSession, receiver: R) {
    this.id = id;
    this.session = session;
    this.receiver = receiver;
    this.sendWindow = session.peerStreamWindow;
    this.windowBytes = session.options.streamWindowBytes;
    this.receiveWindow = this.windowBytes;
  }

  /** @internal Whoever was made its receiver, even if something else stands before it. */
  get user(): R {
    return this.receiver;
  }

  sendData(chunk: Uint8Array, end: boolean): boolean {
    if (this.closed || this.endGiven) return true;
    if (this.heldBytes > HELD_BYTES_MAX) {
      this.session.failOwn(this, `more than ${HELD_BYTES_MAX} octets were sent against back-pressure`);
      return true;
    }
    this.endGiven = end;
    return this.session.scheduler.send(this, chunk, end);
  }

  sendTrailers(trailers: HeaderList): void {
    if (this.closed || this.endGiven) return;
    this.endGiven = true;
    this.session.scheduler.sendTrailers(this, trailers);
  }

  reset(cause: ResetCause): void {
    if (this.closed || (this.endGiven && this.remoteEnded)) return;
    this.session.resetByUser(this, cause);
  }

  pause(): void {
    this.paused = true;
    this.waited = true;
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    if (!this.closed && !this.remoteEnded) this.session.credit(this);
  }
}
