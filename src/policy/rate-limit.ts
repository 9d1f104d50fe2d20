/**
 * Linkerd's HTTPLocalRateLimitPolicy: requests per second in all, for each identity, and for named identities. Buckets are
 * kept as one time each (GCRA, the generic cell rate algorithm): the time at which the bucket will be full again. A bucket
 * holds one second's requests, so that is the burst.
 *
 * Callers without an identity share one bucket, and so do the identities of one override. A request has to fit into the
 * bucket of its caller and into that of all; one that does not takes nothing from either, so that who sends too much does
 * not use up what is there for others (Linkerd takes it from all first).
 */
import type { RateLimit } from "../model/inbound-policy.ts";
import { AS_WRITTEN, matcherOf, type TextMatcher } from "./text.ts";

/** Identities of one limit that have a bucket of their own; further ones share one. */
export const IDENTITIES_MAX = 10_000;

const SECOND_MS = 1_000;

export type RateLimitScope = "total" | "identity" | "override";

export interface Excess {
  readonly limit: RateLimit;
  readonly scope: RateLimitScope;
  /** Requests per second. */
  readonly rate: number;
}

class Bucket {
  readonly rate: number;
  readonly scope: RateLimitScope;
  #fullAt = Number.NEGATIVE_INFINITY;

  constructor(rate: number, scope: RateLimitScope) {
    this.rate = rate;
    this.scope = scope;
  }

  /** @param now milliseconds */
  has(now: number): boolean {
    return this.#fullAt - now <= SECOND_MS - SECOND_MS / this.rate;
  }

  take(now: number): void {
    this.#fullAt = Math.max(this.#fullAt, now) + SECOND_MS / this.rate;
  }

  isFull(now: number): boolean {
    return this.#fullAt <= now;
  }
}

interface Override {
  readonly matchers: readonly TextMatcher[];
  readonly bucket: Bucket;
}

class Limit {
  readonly limit: RateLimit;
  readonly #total: Bucket | undefined;
  readonly #overrides: readonly Override[];
  readonly #byIdentity = new Map<string, Bucket>();
  /** Of those for whom there is no room. */
  readonly #rest: Bucket;

  /** @throws RegexError */
  constructor(limit: RateLimit) {
    this.limit = limit;
    this.#total = limit.total > 0 ? new Bucket(limit.total, "total") : undefined;
    this.#overrides = limit.overrides.map(({ requestsPerSecond, identities }) => ({
      matchers: identities.map((pattern) => matcherOf(pattern, AS_WRITTEN)),
      bucket: new Bucket(requestsPerSecond, "override"),
    }));
    this.#rest = new Bucket(limit.identity, "identity");
  }

  /** @returns the bucket that is empty */
  admit(identity: string, now: number): Bucket | undefined {
    const own = this.#bucketOf(identity, now);
    if (own?.has(now) === false) return own;
    if (this.#total?.has(now) === false) return this.#total;
    own?.take(now);
    this.#total?.take(now);
    return undefined;
  }

  #bucketOf(identity: string, now: number): Bucket | undefined {
    if (identity !== "") {
      for (const { matchers, bucket } of this.#overrides) {
        if (matchers.some((matches) => matches(identity) === true)) return bucket;
      }
    }
    const { identity: rate } = this.limit;
    if (rate <= 0) return undefined;
    const known = this.#byIdentity.get(identity);
    if (known !== undefined) return known;
    if (this.#byIdentity.size >= IDENTITIES_MAX) this.#forget(now);
    if (this.#byIdentity.size >= IDENTITIES_MAX) return this.#rest;
    const bucket = new Bucket(rate, "identity");
    this.#byIdentity.set(identity, bucket);
    return bucket;
  }

  /** A full bucket is as good as a new one. */
  #forget(now: number): void {
    for (const [identity, bucket] of this.#byIdentity) {
      if (bucket.isFull(now)) this.#byIdentity.delete(identity);
    }
  }
}

export class RateLimiter {
  readonly #limits: readonly Limit[];

  /** @throws RegexError */
  constructor(limits: readonly RateLimit[]) {
    this.#limits = limits.map((limit) => new Limit(limit));
  }

  /**
   * @param identity a SPIFFE id; "" for none
   * @param now milliseconds, monotonic
   * @returns undefined if the request may pass; it is counted then
   */
  admit(identity: string, now: number): Excess | undefined {
    for (const one of this.#limits) {
      const empty = one.admit(identity, now);
      if (empty !== undefined) return { limit: one.limit, scope: empty.scope, rate: empty.rate };
    }
    return undefined;
  }
}
