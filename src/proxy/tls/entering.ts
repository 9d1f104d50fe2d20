/**
 * A connection that has begun with TLS: the rest of the ClientHello says for whom it is. What is for this sidecar is
 * accepted here, and what is inside of it served like a connection of its own; what is not is somebody else's.
 *
 *   reading ──for us──▶ handshake ──believed──▶ served
 *      │                    └──else──▶ closed
 *      └──not for us──▶ left to the owner
 */
import type { Timer } from "../../net/clock.ts";
import { readClientHello } from "../../net/client-hello.ts";
import type { Connection, ConnectionHandler } from "../../net/connection.ts";
import { HANDSHAKE_TIMEOUT_MS } from "../../net/handshake-error.ts";
import type { Session } from "../listener.ts";
import type { ProxyContext } from "../context.ts";
import type { MeshTls } from "./mesh-tls.ts";

export interface Entrance {
  readonly tls: MeshTls;
  readonly context: ProxyContext;
  /** It has proved who it is, and is paused. */
  readonly serve: (connection: Connection, done: () => void) => Session;
  /** It is not for this sidecar. */
  readonly foreign: (first: Buffer, ended: boolean) => Session;
}

export class EnteringSession implements Session, ConnectionHandler {
  readonly #connection: Connection;
  readonly #entrance: Entrance;
  readonly #done: () => void;
  #first: Buffer;
  #timer: Timer | undefined;
  #draining = false;
  /** Once it is known what it is. */
  #session: Session | undefined;

  constructor(connection: Connection, first: Buffer, ended: boolean, entrance: Entrance, done: () => void) {
    this.#connection = connection;
    this.#entrance = entrance;
    this.#first = first;
    this.#done = done;
    connection.handler = this;
    this.#look(ended);
    if (this.#connection.handler !== this) return;
    this.#timer = entrance.context.clock.after(HANDSHAKE_TIMEOUT_MS, () => this.#late());
    connection.resume();
  }

  /** A request may be inside, so it goes on. */
  shutdown(): void {
    this.#draining = true;
    this.#session?.shutdown();
  }

  destroy(): void {
    if (this.#session === undefined) this.#connection.destroy();
    else this.#session.destroy();
  }

  review(): void {
    this.#session?.review?.();
  }

  onData(chunk: Buffer): void {
    this.#first = Buffer.concat([this.#first, chunk]);
    this.#look(false);
  }

  onEnd(): void {
    this.#look(true);
  }

  onDrain(): void {}

  onClose(): void {
    this.#timer?.cancel();
    this.#done();
  }

  #look(ended: boolean): void {
    const hello = readClientHello(this.#first);
    if (hello === "incomplete" && !ended) return;
    this.#timer?.cancel();
    this.#connection.pause();
    const first = this.#first;
    this.#first = NOTHING;
    if (typeof hello === "object") {
      this.#connection.sni = hello.serverName;
      if (this.#entrance.tls.isFor(hello.serverName)) {
        this.#accept(first);
        return;
      }
    }
    this.#become(this.#entrance.foreign(first, ended));
  }

  #accept(first: Buffer): void {
    const { tls, serve } = this.#entrance;
    // How it ends is heard from there, once: its close is not to be a second end.
    this.#connection.handler = { onData() {}, onEnd() {}, onDrain() {}, onClose() {} };
    tls.accept(this.#connection, first, (accepted) => {
      if (accepted) this.#become(serve(this.#connection, this.#done));
      else this.#done();
    });
  }

  #become(session: Session): void {
    this.#session = session;
    if (this.#draining) session.shutdown();
  }

  /** Whoever is so slow is no sidecar, or does not get through; what an application would be given is half a record. */
  #late(): void {
    const { tls } = this.#entrance;
    const peer = `${this.#connection.remoteAddress}:${this.#connection.remotePort}`;
    const message = `no whole ClientHello came within ${HANDSHAKE_TIMEOUT_MS} ms`;
    tls.report("inbound", { reason: "timeout", message }, peer);
    this.#connection.reset();
  }
}

const NOTHING: Buffer = Buffer.alloc(0);
