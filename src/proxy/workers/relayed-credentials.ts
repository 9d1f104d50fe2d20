/** The credentials of a sidecar, as a worker thread has them from the main thread. */
import type { Credentials, CredentialSource } from "../../net/credentials.ts";

export class RelayedCredentials implements CredentialSource {
  current: Credentials | undefined;
  readonly #listeners = new Set<(credentials: Credentials) => void>();

  constructor(current: Credentials | undefined) {
    this.current = current;
  }

  replace(credentials: Credentials): void {
    this.current = credentials;
    for (const listener of this.#listeners) listener(credentials);
  }

  watch(listener: (credentials: Credentials) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}
