import type { Clock, Timer } from "../../net/clock.ts";
import type { KeepAliveTimes } from "./options.ts";

/** What {@link KeepAlive} asks of a connection. */
export interface KeepAlivePeer {
  /** Octets received so far: any of them is a sign of life. */
  bytesRead(): number;
  /** Whether an exchange is open. */
  busy(): boolean;
  /** @param payload of the PING, 8 octets */
  ping(payload: Uint8Array): void;
  /** The peer is dead. */
  expired(): void;
}

const PAYLOAD = Buffer.from("are you?");

/**
 * Finds out that a peer has vanished without a FIN. Where nothing was received for an interval a PING is sent, and where
 * that brings no answer in time the connection is given up.
 *
 * The timer only runs while the connection is worth it; `touch` starts it again.
 */
export class KeepAlive {
  readonly #clock: Clock;
  readonly #times: KeepAliveTimes;
  readonly #peer: KeepAlivePeer;
  #timer: Timer | undefined;
  #bytesSeen = 0;
  #stopped = false;

  constructor(clock: Clock, times: KeepAliveTimes, peer: KeepAlivePeer) {
    this.#clock = clock;
    this.#times = times;
    this.#peer = peer;
    this.touch();
  }

  /** The connection may be worth watching now. Cheap. */
  touch(): void {
    if (this.#timer === undefined && !this.#stopped && this.#wanted) this.#watch();
  }

  /** A PING was answered. */
  answered(): void {
    if (this.#stopped || this.#timer === undefined) return;
    this.#timer.cancel();
    this.#timer = undefined;
    this.touch();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  get #wanted(): boolean {
    return this.#times.whileIdle || this.#peer.busy();
  }

  #watch(): void {
    this.#bytesSeen = this.#peer.bytesRead();
    this.#timer = this.#clock.after(this.#times.intervalMs, () => {
      this.#timer = undefined;
      if (!this.#wanted) return;
      if (this.#peer.bytesRead() !== this.#bytesSeen) this.#watch();
      else this.#ask();
    });
  }

  #ask(): void {
    this.#peer.ping(PAYLOAD);
    this.#timer = this.#clock.after(this.#times.timeoutMs, () => {
      this.#timer = undefined;
      if (this.#peer.bytesRead() !== this.#bytesSeen) this.#watch();
      else this.#peer.expired();
    });
  }
}
