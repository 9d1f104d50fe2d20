/** A listening socket whose connections are counted, bounded and drained. */
import net from "node:net";

import { acceptConnection, type Connection } from "../net/connection.ts";
import type { SocketAddress } from "./config.ts";
import type { TcpMeter } from "./metrics.ts";

/** Connections that one listener holds at once; further ones are reset. */
export const CONNECTIONS_MAX = 20_000;

/** The kernel's queue of connections not accepted yet. */
const BACKLOG = 4_096;

/** What is done with a connection: something that can be asked to finish. */
export interface Session {
  /** Finish what has begun, then close. Idempotent. */
  shutdown(): void;
  /** Close at once. */
  destroy(): void;
  /** Who may call has changed: end what must not go on. Not there where nothing is judged. */
  review?(): void;
}

export interface ListenerOptions {
  readonly address: SocketAddress;
  /** Counts connections as they come; undefined: `serve` has them counted. */
  readonly meter?: TcpMeter;
  /** Makes use of a connection, which is still paused. */
  readonly serve: (connection: Connection, done: () => void) => Session;
  /** A connection was refused because there are too many. */
  readonly onOverflow: () => void;
  readonly connectionsMax?: number;
  /** Others listen at the same address, and the kernel gives each connection to one of them (SO_REUSEPORT). */
  readonly shared?: boolean;
}

export class Listener {
  readonly #server: net.Server;
  readonly #sessions = new Set<Session>();
  readonly #options: ListenerOptions;
  #address: SocketAddress;
  #draining: (() => void) | undefined;

  private constructor(options: ListenerOptions) {
    this.#options = options;
    this.#address = options.address;
    this.#server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => this.#accept(socket));
  }

  /** @throws ListenError */
  static async open(options: ListenerOptions): Promise<Listener> {
    const listener = new Listener(options);
    const { host, port } = options.address;
    const reusePort = options.shared ?? false;
    await new Promise<void>((resolve, reject) => {
      listener.#server.once("error", (error: NodeJS.ErrnoException) => reject(listenError(error, host, port)));
      listener.#server.listen({ host, port, backlog: BACKLOG, reusePort }, resolve);
    });
    const bound = listener.#server.address() as net.AddressInfo;
    listener.#address = { host: bound.address, port: bound.port };
    listener.#server.removeAllListeners("error");
    // What can go wrong from here on (EMFILE on accept) passes; the listener goes on.
    listener.#server.on("error", () => options.onOverflow());
    return listener;
  }

  /** Where it listens, or has listened. */
  get address(): SocketAddress {
    return this.#address;
  }

  /** Connections being served. */
  get open(): number {
    return this.#sessions.size;
  }

  /** Stops accepting and asks every connection to finish; resolves when all have. */
  async drain(): Promise<void> {
    this.#server.close();
    for (const session of [...this.#sessions]) session.shutdown();
    if (this.#sessions.size === 0) return;
    await new Promise<void>((resolve) => (this.#draining = resolve));
  }

  /** Who may call has changed. */
  review(): void {
    for (const session of [...this.#sessions]) session.review?.();
  }

  /** Stops accepting and cuts every connection. */
  destroy(): void {
    this.#server.close();
    for (const session of [...this.#sessions]) session.destroy();
  }

  #accept(socket: net.Socket): void {
    const { meter, serve, onOverflow, connectionsMax = CONNECTIONS_MAX } = this.#options;
    if (this.#sessions.size >= connectionsMax) {
      onOverflow();
      socket.resetAndDestroy();
      return;
    }
    const connection = acceptConnection(socket);
    meter?.track(connection);
    let session: Session | undefined;
    let finished = false;
    session = serve(connection, () => {
      finished = true;
      if (session !== undefined) this.#sessions.delete(session);
      if (this.#sessions.size === 0) this.#draining?.();
    });
    if (!finished) this.#sessions.add(session);
  }
}

/** An address that cannot be listened at; the message names it, and says what is in the way and what to do. */
export class ListenError extends Error {
  override readonly name = "ListenError";
  /** As the system calls it: "EADDRINUSE". */
  readonly code: string;

  constructor(message: string, code: string, cause?: Error) {
    super(message, { cause });
    this.code = code;
  }
}

export function listenError(error: NodeJS.ErrnoException, host: string, port: number): ListenError {
  const reasons: Record<string, string> = {
    EADDRINUSE: "another process listens there already; stop it or choose another address",
    EACCES: "this user may not listen there; choose a port above 1023",
    EADDRNOTAVAIL: "this machine has no such address",
    ENOTSUP: "this system cannot share a port among workers; leave out --workers",
  };
  const code = error.code ?? "";
  return new ListenError(`cannot listen on ${host}:${port}: ${reasons[code] ?? error.message}`, code, error);
}
