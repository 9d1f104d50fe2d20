/** A connection without a network: what comes in is said by the test, what goes out is kept. */
import { EventEmitter } from "node:events";
import type net from "node:net";

import { Connection } from "../../src/net/connection.ts";

/** As much of a socket as a Connection uses. */
class MemorySocket extends EventEmitter {
  remoteAddress = "127.0.0.1";
  remotePort = 1;
  destroyed = false;

  paused = true;
  ended = false;
  wasReset = false;
  /** The peer does not read: what is written stays unsent. */
  blocked = false;
  readonly written: Buffer[] = [];
  /** Told of each write that waits for the peer, oldest first. */
  unsent: (() => void)[] = [];
  onResume: () => void = () => {};

  _write(bytes: Uint8Array, _encoding: string, done: () => void): void {
    this.written.push(Buffer.from(bytes));
    if (this.blocked) this.unsent.push(done);
    else done();
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    queueMicrotask(this.onResume);
  }

  end(): void {
    this.ended = true;
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    queueMicrotask(() => this.emit("close"));
  }

  destroySoon(): void {
    this.ended = true;
    this.destroy();
  }

  resetAndDestroy(): void {
    this.wasReset = true;
    this.destroy();
  }
}

export class MemoryConnection {
  readonly connection: Connection;
  readonly #socket = new MemorySocket();
  #input: (Buffer | "end")[] = [];
  #delivering = false;

  constructor() {
    this.connection = new Connection(this.#socket as unknown as net.Socket);
    this.#socket.onResume = () => this.#deliver();
  }

  get paused(): boolean {
    return this.#socket.paused;
  }

  /** Our side has sent FIN. */
  get ended(): boolean {
    return this.#socket.ended;
  }

  /** Our side has closed, by RST or not. */
  get destroyed(): boolean {
    return this.#socket.destroyed;
  }

  get wasReset(): boolean {
    return this.#socket.wasReset;
  }

  /** Bytes or text (one byte per character) from the peer; they wait while the connection is paused. */
  feed(bytes: string | Buffer): void {
    this.#input.push(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
    this.#deliver();
  }

  /** The peer's FIN. */
  finish(): void {
    this.#input.push("end");
    this.#deliver();
  }

  /** The peer is gone. */
  lose(code: string): void {
    this.#socket.destroyed = true;
    this.#socket.emit("error", Object.assign(new Error(`lost: ${code}`), { code }));
    this.#socket.emit("close");
  }

  /** The peer stops reading. */
  block(): void {
    this.#socket.blocked = true;
  }

  /** The peer reads everything. */
  unblock(): void {
    this.#socket.blocked = false;
    const unsent = this.#socket.unsent;
    this.#socket.unsent = [];
    for (const done of unsent) done();
  }

  /** Everything written so far. */
  bytes(): Buffer {
    this.connection.flush();
    return Buffer.concat(this.#socket.written);
  }

  /** What was written since the last call. */
  take(): Buffer {
    this.connection.flush();
    return Buffer.concat(this.#socket.written.splice(0));
  }

  /** Everything written so far, one character per byte. */
  text(): string {
    return this.bytes().toString("latin1");
  }

  #deliver(): void {
    if (this.#delivering) return;
    this.#delivering = true;
    while (!this.#socket.paused && !this.#socket.destroyed) {
      const next = this.#input.shift();
      if (next === undefined) break;
      if (next === "end") this.#socket.emit("end");
      else this.#receive(next);
    }
    this.#delivering = false;
  }

  #receive(bytes: Buffer): void {
    // A copy that is spoilt afterwards: who keeps a chunk without copying it is found out.
    const chunk = Buffer.from(bytes);
    this.connection.received(chunk.length, chunk);
    chunk.fill(0xee);
  }
}
