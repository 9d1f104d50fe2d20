/**
 * The addresses of a transparent mesh. Nothing outside of its namespaces ever sees them, so they are the same in every
 * mesh, and cannot be in the way of the machine's own networks.
 *
 *   10.77.0.0/16    fd77::1:0/112   workloads, each its own; the bridge has the first
 *   10.78.0.0/16    fd77::2:0/112   services, each one that means all of its instances
 */
import { Failure } from "../../errors.ts";

export const BRIDGE_V4 = "10.77.0.1";
export const BRIDGE_V6 = "fd77::1:1";

/** Addresses of one kind: 16 bits, without the first two and the last. */
export const ADDRESSES_MAX = 65_533;

export interface AddressPair {
  readonly v4: string;
  readonly v6: string;
}

/** Gives each name an address that it keeps; those that are given back are used again when there are no others. */
export class AddressPool {
  readonly #network: "workload" | "service";
  readonly #numbers = new Map<string, number>();
  readonly #free: number[] = [];
  #next = 2;

  constructor(network: "workload" | "service") {
    this.#network = network;
  }

  /** @throws Failure if there are no more */
  addressOf(name: string): AddressPair {
    const number = this.#numbers.get(name) ?? this.#take();
    this.#numbers.set(name, number);
    const workload = this.#network === "workload";
    return {
      v4: `10.${workload ? 77 : 78}.${number >> 8}.${number & 255}`,
      v6: `fd77::${workload ? 1 : 2}:${number.toString(16)}`,
    };
  }

  release(name: string): void {
    const number = this.#numbers.get(name);
    if (number === undefined) return;
    this.#numbers.delete(name);
    this.#free.push(number);
  }

  #take(): number {
    if (this.#next < ADDRESSES_MAX + 2) return this.#next++;
    const number = this.#free.shift();
    if (number === undefined) throw new Failure(`more than ${ADDRESSES_MAX} addresses are wanted`);
    return number;
  }
}

/** What a service is called, with its addresses: lines of /etc/hosts. */
export function hostsLines(
  services: readonly { readonly name: string; readonly namespace: string; readonly addresses: readonly string[] }[],
): string {
  return services
    .flatMap(({ name, namespace, addresses }) => {
      const names = [
        name,
        `${name}.${namespace}`,
        `${name}.${namespace}.svc`,
        `${name}.${namespace}.svc.cluster.local`,
      ];
      return addresses.map((address) => `${address}\t${names.join(" ")}\n`);
    })
    .join("");
}
