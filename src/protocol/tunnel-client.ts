/**
 * A connection as the far end of one CONNECT: what was asked for is the connection itself, so the answer is a 200 at once,
 * and from then on all bytes are the tunnel's. It serves one exchange and is never used again.
 */
import type { Connection, ConnectionHandler } from "../net/connection.ts";
import {
  type ClientConnection,
  type ClientOwner,
  type ClientStream,
  type RequestHead,
  ResetCause,
  type ResponseReceiver,
} from "./exchange.ts";

const EMPTY = Buffer.alloc(0);

export class TunnelClientConnection implements ClientConnection, ConnectionHandler, ClientStream {
  readonly reused = false;
  readonly #connection: Connection;
  readonly #owner: ClientOwner;
  #receiver: ResponseReceiver | undefined;
  #opened = false;
  #closing = false;
  /** What we send has ended. */
  #nearEnded = false;
  /** What the far side sends has ended. */
  #farEnded = false;

  /** Takes the connection over; the caller resumes it. */
  constructor(connection: Connection, owner: ClientOwner) {
    this.#connection = connection;
    this.#owner = owner;
    connection.handler = this;
  }

  get available(): number {
    return this.usable ? 1 : 0;
  }

  get active(): number {
    return this.#receiver === undefined ? 0 : 1;
  }

  get usable(): boolean {
    return !this.#opened && !this.#closing;
  }

  open(_head: RequestHead, _end: boolean, receiver: ResponseReceiver): ClientStream {
    this.#opened = true;
    this.#receiver = receiver;
    queueMicrotask(() => {
      if (this.#receiver === undefined) return;
      receiver.onHead({ status: 200, reason: "", headers: [], upgrade: "connect" }, false);
    });
    return this;
  }

  /** A tunnel that has begun is left alone. */
  shutdown(): void {
    this.#closing = true;
    if (!this.#opened) this.#connection.destroy();
  }

  destroy(): void {
    this.#closing = true;
    this.#lose(new ResetCause("cancelled", "the connection was closed by its owner"));
    this.#connection.destroy();
  }

  // What the connection says.

  onData(chunk: Buffer): void {
    if (this.#receiver !== undefined) this.#receiver.onData(chunk, false);
    // The greeting of a server that speaks first, which nobody waits for any more.
    else this.shutdown();
  }

  onEnd(): void {
    const receiver = this.#receiver;
    if (receiver === undefined) {
      this.shutdown();
      return;
    }
    this.#farEnded = true;
    if (this.#nearEnded) this.#receiver = undefined;
    receiver.onData(EMPTY, true);
  }

  onDrain(): void {
    if (!this.#nearEnded) this.#receiver?.onWritable();
  }

  onClose(error: Error | undefined): void {
    this.#closing = true;
    this.#lose(new ResetCause("closed", error === undefined ? "the connection was closed" : error.message));
    this.#owner.onClose(error);
  }

  // What the user of the tunnel does.

  sendData(chunk: Uint8Array, end: boolean): boolean {
    if (this.#receiver === undefined || this.#nearEnded) return true;
    const writable = chunk.length === 0 || this.#connection.write(chunk);
    if (end) {
      this.#nearEnded = true;
      if (this.#farEnded) this.#receiver = undefined;
      this.#connection.end();
    }
    return writable;
  }

  /** A tunnel has none: they only end it. */
  sendTrailers(): void {
    this.sendData(EMPTY, true);
  }

  reset(_cause: ResetCause): void {
    if (this.#receiver === undefined) return;
    this.#receiver = undefined;
    this.#closing = true;
    this.#connection.reset();
  }

  pause(): void {
    if (this.#receiver !== undefined && !this.#farEnded) this.#connection.pause();
  }

  resume(): void {
    if (this.#receiver !== undefined && !this.#farEnded) this.#connection.resume();
  }

  #lose(cause: ResetCause): void {
    const receiver = this.#receiver;
    this.#receiver = undefined;
    receiver?.onReset(cause);
  }
}
