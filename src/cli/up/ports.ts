/** Free ports for sidecars and services. */
import { createServer } from "node:net";
import type { SocketAddress } from "../../proxy/config.ts";
import { Failure } from "../errors.ts";
import { formatAddress } from "../values.ts";

export const LOOPBACK = "127.0.0.1";

/** Does nothing listen there? Tried by listening for a moment. */
export async function isFree(address: SocketAddress): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ host: address.host, port: address.port, exclusive: true }, () => {
      server.close(() => resolve(true));
    });
  });
}

/** Hands out loopback ports upwards from a first one, leaving out what something listens on. */
export class PortAllocator {
  readonly #taken = new Set<number>();
  readonly #first: number;
  #waiting: Promise<unknown> = Promise.resolve();

  constructor(first: number) {
    this.#first = first;
  }

  /** Never hands out this one. */
  reserve(port: number): void {
    this.#taken.add(port);
  }

  /** @throws Failure if there is none left up to 65535 */
  async allocate(): Promise<number> {
    const mine = this.#waiting.then(() => this.#search());
    this.#waiting = mine.catch(() => undefined);
    return mine;
  }

  /** May be handed out again. */
  release(port: number): void {
    this.#taken.delete(port);
  }

  async #search(): Promise<number> {
    for (let port = this.#first; port <= 65_535; port++) {
      if (this.#taken.has(port) || !(await isFree({ host: LOOPBACK, port }))) continue;
      this.#taken.add(port);
      return port;
    }
    throw new Failure(`no free port from ${this.#first} to 65535`, "Say a lower --base-port.");
  }
}

/** @throws Failure naming the flag to change */
export async function checkFree(flag: string, address: SocketAddress): Promise<void> {
  if (await isFree(address)) return;
  const next = { ...address, port: address.port + 10 };
  throw new Failure(
    `${flag}: cannot listen on ${formatAddress(address)}: something else listens there`,
    `Does another \`heddle up\` run? Stop it, or choose another address: ${flag} ${formatAddress(next)}`,
  );
}
