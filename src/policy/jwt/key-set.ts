/**
 * The keys of one issuer: written out in the policy, or fetched from where they are.
 *
 *   none ──fetched──▶ fresh ──FRESH_MS──▶ old: still used, while new ones are fetched ──STALE_MS──▶ none
 *
 * Keys that cannot be fetched any more thus go on to be believed for an hour, and then nobody's tokens are. A token that
 * none of the keys fits may be the first of a new key: that fetches as well, but not more often than RETRY_MS.
 */
import type { Clock } from "../../net/clock.ts";

/** Milliseconds until keys are fetched anew. Istio: 20 minutes. */
export const FRESH_MS = 300_000;
/** Milliseconds that the last good keys are believed if no others can be had. */
export const STALE_MS = 3_600_000;
/** Milliseconds between two attempts, while there are keys. */
export const RETRY_MS = 30_000;
/** Milliseconds between two attempts while there are none. */
export const RETRY_WITHOUT_MS = 1_000;

export interface Jwks {
  readonly keys: readonly Readonly<Record<string, unknown>>[];
}

export interface KeySetOptions {
  readonly clock: Clock;
  /** @throws Error with what went wrong */
  readonly load: () => Promise<string>;
  /** Keys could not be had; the last good ones stay. */
  readonly onFailure: (detail: string) => void;
}

/** Keys that do not change as long as the policy does not. */
export function fixedKeys(text: string): KeySource {
  const keys = parseKeys(text);
  return { version: 0, current: () => keys, refresh: () => Promise.resolve() };
}

export interface KeySource {
  /** Another number with other keys. */
  readonly version: number;
  /** undefined while there are none to be believed. Sees to it that there will be newer ones. */
  current(): Jwks | undefined;
  /** Resolves, never rejects, when an attempt to have newer ones is over, or at once if it is too early for one. */
  refresh(): Promise<void>;
}

export class FetchedKeys implements KeySource {
  version = 0;
  readonly #options: KeySetOptions;
  #keys: Jwks | undefined;
  #text = "";
  #fetchedAt = Number.NEGATIVE_INFINITY;
  #triedAt = Number.NEGATIVE_INFINITY;
  #pending: Promise<void> | undefined;

  constructor(options: KeySetOptions) {
    this.#options = options;
  }

  current(): Jwks | undefined {
    const age = this.#options.clock.now() - this.#fetchedAt;
    if (age > FRESH_MS) void this.refresh();
    if (age > STALE_MS) this.#keys = undefined;
    return this.#keys;
  }

  refresh(): Promise<void> {
    const now = this.#options.clock.now();
    const wait = this.#keys === undefined ? RETRY_WITHOUT_MS : RETRY_MS;
    if (this.#pending === undefined && now - this.#triedAt >= wait) {
      this.#triedAt = now;
      this.#pending = this.#fetch().finally(() => (this.#pending = undefined));
    }
    return this.#pending ?? Promise.resolve();
  }

  async #fetch(): Promise<void> {
    try {
      const text = await this.#options.load();
      const keys = parseKeys(text);
      this.#fetchedAt = this.#options.clock.now();
      if (text === this.#text && this.#keys !== undefined) return;
      this.#keys = keys;
      this.#text = text;
      this.version++;
    } catch (error) {
      this.#options.onFailure(error instanceof Error ? error.message : String(error));
    }
  }
}

/** @throws Error if it is no JSON Web Key Set (RFC 7517 §5) */
export function parseKeys(text: string): Jwks {
  const parsed: unknown = JSON.parse(text);
  const keys = typeof parsed === "object" && parsed !== null && "keys" in parsed ? parsed.keys : undefined;
  if (!Array.isArray(keys) || !keys.every((key) => typeof key === "object" && key !== null)) {
    throw new Error('the keys are no JSON Web Key Set: expected {"keys": [{…}, …]}');
  }
  return { keys };
}
