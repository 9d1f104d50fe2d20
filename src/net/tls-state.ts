/**
 * What a connection keeps beside a socket that does TLS. Node reads and decrypts below; three things it does otherwise
 * than a plain socket, and this makes up for them:
 *
 *   it hands out all that it has decrypted, even once it was told to pause: that is held here, for the next `resume`
 *   it says the same of an end by close_notify and of a bare FIN, which anybody on the way can forge (RFC 8446 §6.1)
 *   it cannot close by RST
 */

/** The parts of Node's undocumented TCP handle that are needed. */
export interface TcpHandle {
  /** @returns 0, or a negative error number */
  readStart(): number;
  readStop(): number;
  close(done: () => void): void;
  reset(done: () => void): number;
}

/** libuv's UV_EALREADY: it is reading. */
const ALREADY = -114;

/**
 * Bytes that may be held: what one read of the socket brings, 64 KiB, and the record before it that was not whole. More
 * would mean that Node reads on in spite of a pause.
 */
export const HELD_BYTES_MAX = 128 * 1024;

const NOTHING: Buffer = Buffer.alloc(0);

export class TlsState {
  readonly #handle: TcpHandle;
  paused = true;
  /** The peer has ended, and its end waits behind what is held. */
  ended = false;
  #held: Buffer = NOTHING;
  #scheduled = false;

  constructor(handle: TcpHandle) {
    this.#handle = handle;
  }

  /** Something is to be delivered before the socket reads on. */
  get holds(): boolean {
    return this.#held.length > 0 || this.ended;
  }

  /** @returns false if that is too much */
  hold(chunk: Buffer): boolean {
    this.#held = Buffer.concat([this.#held, chunk]);
    return this.#held.length <= HELD_BYTES_MAX;
  }

  take(): Buffer {
    const held = this.#held;
    this.#held = NOTHING;
    return held;
  }

  /** Not at once: who resumes does not expect to be called from within. */
  deliverLater(deliver: () => void): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      deliver();
    });
  }

  /**
   * The peer has ended: whether it did so without close_notify. libuv goes on reading after close_notify, which it knows
   * nothing of, and stops at FIN; who is paused, or has something to deliver first, reads no FIN.
   */
  isCut(): boolean {
    if (this.paused || this.holds || this.#handle.readStart() === ALREADY) return false;
    this.#handle.readStop();
    return true;
  }

  /** From now on closing the socket means RST. */
  closeByReset(): void {
    const handle = this.#handle;
    handle.close = (done) => void handle.reset(done);
  }
}
