/** Credentials across threads: the main thread alone asks for them, and hands each new ones to the workers. */
import type { Credentials, CredentialSource } from "../../net/credentials.ts";
import type { FromWorker, ToWorker } from "./messages.ts";

/** The worker's end. */
export class RelayedCredentials implements CredentialSource {
  readonly #post: (message: Extract<FromWorker, { readonly kind: "holding" }>) => void;
  readonly #listeners = new Set<(credentials: Credentials) => void>();
  #current: Credentials | undefined;

  constructor(post: (message: Extract<FromWorker, { readonly kind: "holding" }>) => void) {
    this.#post = post;
  }

  get current(): Credentials | undefined {
    return this.#current;
  }

  watch(listener: (credentials: Credentials) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** The main thread has handed over new ones. */
  told(credentials: Credentials): void {
    this.#current = credentials;
    for (const listener of this.#listeners) listener(credentials);
    this.#post({ kind: "holding" });
  }
}

/** The main thread's end, for one worker. One message is under way at a time: to a stuck worker they must not pile up. */
export class CredentialsRelay {
  readonly #post: (message: Extract<ToWorker, { readonly kind: "credentials" }>) => void;
  readonly #end: () => void;
  #underWay = false;
  #held = false;
  #newest: Credentials | undefined;

  constructor(source: CredentialSource, post: (message: Extract<ToWorker, { readonly kind: "credentials" }>) => void) {
    this.#post = post;
    this.#end = source.watch((credentials) => this.#tell(credentials));
    if (source.current !== undefined) this.#tell(source.current);
  }

  /** The worker holds some. */
  get held(): boolean {
    return this.#held;
  }

  /** The worker holds what it was told last. */
  heard(): void {
    this.#held = true;
    const newest = this.#newest;
    this.#newest = undefined;
    this.#underWay = false;
    if (newest !== undefined) this.#tell(newest);
  }

  close(): void {
    this.#end();
  }

  #tell(credentials: Credentials): void {
    if (this.#underWay) {
      this.#newest = credentials;
      return;
    }
    this.#underWay = true;
    this.#post({ kind: "credentials", credentials });
  }
}
