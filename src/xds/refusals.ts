/**
 * Which resources a client goes without, because it has refused the version that there is. A resource is off the list when
 * another version of it is accepted, when it is gone, or when the client does not want it any more.
 */
import type { Nack } from "./node.ts";
import { shortTypeName } from "./resource-types.ts";

/** Refusals that are kept of one client; of more the newest. */
export const REFUSALS_MAX = 100;
/** Characters of what a client says. */
const MESSAGE_LENGTH_MAX = 2_000;

export class Refusals {
  /** By type and name, the oldest first. */
  readonly #all = new Map<string, Nack>();

  get all(): Nack[] {
    return [...this.#all.values()];
  }

  /** @param names resources of the type that the client has now, or that are gone; undefined: all of that type */
  settle(typeUrl: string, names: readonly string[] | undefined): void {
    if (this.#all.size === 0) return;
    const keys = names?.map((name) => keyOf(typeUrl, name)) ?? [...this.#all.keys()];
    for (const key of keys) if (key.startsWith(keyOf(typeUrl, ""))) this.#all.delete(key);
  }

  /**
   * @param names the resources of a response; those that the message does not name are accepted, unless it names none
   * @param message what the client said
   */
  refuse(typeUrl: string, names: readonly string[], message: string, at: Date): void {
    const type = shortTypeName(typeUrl);
    const named = names.filter((name) => message.includes(`"${name}"`));
    const refused = named.length > 0 ? named : names;
    this.settle(typeUrl, names);
    for (const name of refused) {
      const about = reasonOf(type, name, message).slice(0, MESSAGE_LENGTH_MAX);
      this.#all.set(keyOf(typeUrl, name), { type, name, message: about, at });
      const [oldest] = this.#all.keys();
      if (this.#all.size > REFUSALS_MAX && oldest !== undefined) this.#all.delete(oldest);
    }
  }
}

function keyOf(typeUrl: string, name: string): string {
  return `${typeUrl} ${name}`;
}

/** A sidecar of ours names each resource with what is wrong with it: `Cluster "a": reason; Cluster "b": reason`. */
function reasonOf(type: string, name: string, message: string): string {
  const parts = message.split(`; ${type} "`).map((part, index) => (index === 0 ? part : `${type} "${part}`));
  const own = `${type} "${name}": `;
  return parts.find((part) => part.startsWith(own))?.slice(own.length) ?? message;
}
