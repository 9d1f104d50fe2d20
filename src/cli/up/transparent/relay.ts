/**
 * One port of one network namespace in another: so the control plane stays on the loopback interface of the machine, and
 * admin listeners on those of their namespaces, and both are found where they are without namespaces.
 */
import { createServer, type Server, Socket } from "node:net";

import type { SocketAddress } from "../../../proxy/config.ts";

/** Connections through one relay at once; further ones are closed. */
export const RELAYED_MAX = 256;

/** Where a socket is made: in a namespace, or where this process is. */
export interface SocketPlace {
  listen(server: Server, address: SocketAddress): void;
  connect(address: SocketAddress): Socket;
}

export const here: SocketPlace = {
  listen: (server, { host, port }) => void server.listen({ host, port, exclusive: true }),
  connect: ({ host, port }) => new Socket({ allowHalfOpen: true }).connect({ host, port }),
};

export class Relay {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @throws Error of bind(2) or listen(2) */
  static async open(from: SocketPlace, address: SocketAddress, to: SocketPlace, target: SocketAddress): Promise<Relay> {
    const server = createServer({ allowHalfOpen: true });
    const relay = new Relay(server);
    server.maxConnections = RELAYED_MAX;
    server.on("connection", (near) => relay.#join(near, to.connect(target)));
    await new Promise<void>((resolve, reject) => {
      server.once("listening", resolve).once("error", reject);
      from.listen(server, address);
    });
    server.removeAllListeners("error");
    // What can go wrong from here on (EMFILE on accept) passes.
    server.on("error", () => {});
    return relay;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #join(near: Socket, far: Socket): void {
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(one);
      one.on("error", () => {});
      one.on("close", () => {
        this.#sockets.delete(one);
        // What was cut must not look whole on the other side.
        if (!one.readableEnded && !other.destroyed) other.resetAndDestroy();
      });
      one.pipe(other);
    }
  }
}
