/** Where captured connections were going, and whether that is anywhere but back to us. */
import { networkInterfaces } from "node:os";

import type { Connection } from "../../net/connection.ts";
import type { Destination, DestinationReader } from "../../net/original-destination.ts";

export class CapturedDestinations {
  readonly #read: DestinationReader;
  /** Of our own captured listeners. */
  readonly #ownPorts: readonly number[];

  constructor(read: DestinationReader, ownPorts: readonly number[]) {
    this.#read = read;
    this.#ownPorts = ownPorts;
  }

  /**
   * undefined of a connection that nobody redirected, or whose destination is one of our own listeners: it would be
   * passed on to us for ever.
   */
  of(connection: Connection): Destination | undefined {
    const destination = this.#read(connection);
    if (destination === undefined) return undefined;
    return this.#ownPorts.includes(destination.port) && isOwn(destination.address) ? undefined : destination;
  }
}

/**
 * Whether a connection that came in from the network may be passed on to there: to an address of this machine that others
 * know, and nowhere else. The rules redirect whatever a neighbour sends here, whoever it is addressed to: without this he
 * would get to all that we get to, in our name. What was sent to loopback never comes from the network.
 */
export function isHere(address: string): boolean {
  return !address.startsWith("127.") && address !== "::1" && isOwn(address);
}

/** Addresses come and go; it is asked rarely enough to ask the system each time. */
function isOwn(address: string): boolean {
  if (address.startsWith("127.")) return true;
  return Object.values(networkInterfaces()).some((list) => list?.some((own) => own.address === address));
}
