/** A wire that a test cuts and mends: a TCP relay at an address that stays. */
import { once } from "node:events";
import net from "node:net";

export class CutRelay {
  /** Connections accepted so far. */
  connections = 0;
  readonly #target: { readonly host: string; readonly port: number } | undefined;
  readonly #sockets = new Set<net.Socket>();
  readonly #passed: Buffer[] = [];
  #server: net.Server | undefined;
  #port = 0;

  private constructor(target: { readonly host: string; readonly port: number } | undefined) {
    this.#target = target;
  }

  /** @param target undefined: it accepts, and says nothing */
  static async start(target: { readonly host: string; readonly port: number } | undefined): Promise<CutRelay> {
    const relay = new CutRelay(target);
    await relay.mend();
    return relay;
  }

  get address(): { readonly host: string; readonly port: number } {
    return { host: "127.0.0.1", port: this.#port };
  }

  /** All bytes that have passed, both ways. */
  passed(): Buffer {
    return Buffer.concat(this.#passed);
  }

  /** Ends all connections and refuses others. */
  async cut(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    for (const socket of this.#sockets) socket.destroy();
    if (server === undefined) return;
    server.close();
    await once(server, "close");
  }

  async mend(): Promise<void> {
    const server = net.createServer((near) => {
      this.connections++;
      this.#keep(near);
      if (this.#target === undefined) return;
      const far = net.connect(this.#target);
      this.#keep(far);
      near.pipe(far).pipe(near);
      for (const socket of [near, far]) socket.on("data", (chunk: Buffer) => this.#passed.push(chunk));
      near.on("close", () => far.destroy());
      far.on("close", () => near.destroy());
    });
    this.#server = server;
    server.listen(this.#port, "127.0.0.1");
    await once(server, "listening");
    this.#port = (server.address() as net.AddressInfo).port;
  }

  close(): Promise<void> {
    return this.cut();
  }

  #keep(socket: net.Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#sockets.delete(socket));
  }
}
