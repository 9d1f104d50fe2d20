/** What the client knows of one type of resource, who uses it, and what it has yet to tell the server. */
import type { DeltaDiscoveryResponse, Resource } from "./gen/envoy/service/discovery/v3/discovery_pb.ts";
import { type ResourceType, shortTypeName } from "./resource-types.ts";

/** One subscribed name. */
export interface Entry<Value, User> {
  /** The last good one; undefined while nothing was heard, and when there is none. */
  value: Value | undefined;
  /** The server said that there is none. */
  absent: boolean;
  /** The version of `value`, or "". */
  version: string;
  /** The server knows of this subscription. */
  asked: boolean;
  /** Who must be told when it changes. While there are any, the name is subscribed. */
  readonly users: Set<User>;
}

/** What a request says about subscriptions. */
export interface Subscriptions {
  readonly resourceNamesSubscribe: string[];
  readonly resourceNamesUnsubscribe: string[];
}

export class ResourceTable<Value extends { readonly name: string }, User> {
  readonly type: ResourceType;
  readonly #decode: (bytes: Uint8Array) => Value;
  readonly #entries = new Map<string, Entry<Value, User>>();
  /** What the server believes that we are subscribed to. */
  #told = new Set<string>();
  /** Names for which that may have become wrong. */
  #touched = new Set<string>();

  /** @param decode throws an Error whose message says what is wrong with the resource */
  constructor(type: ResourceType, decode: (bytes: Uint8Array) => Value) {
    this.type = type;
    this.#decode = decode;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Idempotent. */
  use(name: string, user: User): Entry<Value, User> {
    let entry = this.#entries.get(name);
    if (entry === undefined) {
      entry = { value: undefined, absent: false, version: "", asked: false, users: new Set() };
      this.#entries.set(name, entry);
      this.#touched.add(name);
    }
    entry.users.add(user);
    return entry;
  }

  /** Idempotent. With its last user a resource is forgotten. */
  drop(name: string, user: User): void {
    const entry = this.#entries.get(name);
    if (entry === undefined || !entry.users.delete(user) || entry.users.size > 0) return;
    this.#entries.delete(name);
    this.#touched.add(name);
  }

  /** What the server is to be told, once. */
  takeChanges(): Subscriptions | undefined {
    const subscribe: string[] = [];
    const unsubscribe: string[] = [];
    for (const name of this.#touched) {
      const entry = this.#entries.get(name);
      if (entry === undefined) {
        if (this.#told.delete(name)) unsubscribe.push(name);
      } else if (!entry.asked) {
        // Also if the server has it: what was dropped and is wanted again was forgotten here, and is sent anew.
        subscribe.push(name);
        this.#told.add(name);
        entry.asked = true;
      }
    }
    this.#touched.clear();
    if (subscribe.length === 0 && unsubscribe.length === 0) return undefined;
    return { resourceNamesSubscribe: subscribe, resourceNamesUnsubscribe: unsubscribe };
  }

  /** What a server is told that knows nothing of us. */
  takeAll(): Subscriptions & { readonly initialResourceVersions: Record<string, string> } {
    const initialResourceVersions: Record<string, string> = {};
    for (const [name, entry] of this.#entries) {
      if (entry.version !== "") initialResourceVersions[name] = entry.version;
      entry.asked = true;
    }
    this.#told = new Set(this.#entries.keys());
    this.#touched.clear();
    return { resourceNamesSubscribe: [...this.#told], resourceNamesUnsubscribe: [], initialResourceVersions };
  }

  /**
   * Takes in a response. A bad resource leaves the last good one in place.
   *
   * @param changed receives the users of what has changed
   * @returns what is wrong with the bad ones
   */
  apply(response: DeltaDiscoveryResponse, changed: Set<User>): string[] {
    const errors: string[] = [];
    for (const resource of response.resources) {
      const entry = this.#entries.get(resource.name);
      if (entry === undefined || entry.version === resource.version) continue;
      try {
        entry.value = this.#read(resource);
        entry.absent = false;
        entry.version = resource.version;
        for (const user of entry.users) changed.add(user);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        errors.push(`${shortTypeName(this.type)} "${resource.name}": ${reason}`);
      }
    }
    for (const name of response.removedResources) {
      const entry = this.#entries.get(name);
      if (entry === undefined || entry.absent) continue;
      entry.value = undefined;
      entry.absent = true;
      entry.version = "";
      for (const user of entry.users) changed.add(user);
    }
    return errors;
  }

  #read({ name, resource }: Resource): Value {
    if (resource === undefined) throw new Error("no resource in it");
    if (resource.typeUrl !== this.type) throw new Error(`a ${shortTypeName(resource.typeUrl)} is in it`);
    const value = this.#decode(resource.value);
    if (value.name !== name) throw new Error(`it calls itself "${value.name}"`);
    return value;
  }
}
