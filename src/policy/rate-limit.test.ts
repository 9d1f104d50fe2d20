import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { NO_DOCUMENT, type RateLimit } from "../model/inbound-policy.ts";
import { IDENTITIES_MAX, RateLimiter } from "./rate-limit.ts";

function limit(over: Partial<RateLimit>): RateLimit {
  return { origin: NO_DOCUMENT, ports: [80], total: 0, identity: 0, overrides: [], ...over };
}

/** How many of `tries` at one moment pass. */
function passed(limiter: RateLimiter, identity: string, now: number, tries = 100): number {
  let count = 0;
  for (let i = 0; i < tries; i++) if (limiter.admit(identity, now) === undefined) count++;
  return count;
}

describe("a rate limit", () => {
  it("lets one second's requests through at once, then as many as the rate says", () => {
    const limiter = new RateLimiter([limit({ total: 10 })]);
    assert.equal(passed(limiter, "a", 0), 10);
    assert.equal(passed(limiter, "b", 99), 0);
    assert.equal(passed(limiter, "b", 100), 1);
    assert.equal(passed(limiter, "", 600), 5);
    assert.equal(passed(limiter, "a", 100_000), 10);
  });

  it("has a bucket for each identity, and one for all who have none", () => {
    const limiter = new RateLimiter([limit({ identity: 5 })]);
    assert.deepEqual(
      ["a", "b", "", ""].map((one) => passed(limiter, one, 0)),
      [5, 5, 5, 0],
    );
    assert.deepEqual(limiter.admit("a", 0)?.scope, "identity");
  });

  it("has other numbers for those that are named, who share them", () => {
    const overrides = [
      { requestsPerSecond: 2, identities: ["a", "b"].map((value) => ({ kind: "exact" as const, value })) },
    ];
    const limiter = new RateLimiter([limit({ identity: 5, overrides })]);
    assert.deepEqual(
      ["a", "b", "c", ""].map((one) => passed(limiter, one, 0)),
      [2, 0, 5, 5],
    );
    const excess = limiter.admit("b", 0);
    assert.deepEqual([excess?.scope, excess?.rate], ["override", 2]);
  });

  it("takes nothing from what is there for all when a caller is over its own", () => {
    const limiter = new RateLimiter([limit({ total: 10, identity: 4 })]);
    assert.equal(passed(limiter, "greedy", 0), 4);
    assert.equal(passed(limiter, "a", 0), 4);
    assert.equal(passed(limiter, "b", 0), 2);
    assert.equal(limiter.admit("c", 0)?.scope, "total");
  });

  it("knows a bounded number of identities; the rest share a bucket, and idle ones make room", () => {
    const limiter = new RateLimiter([limit({ identity: 1 })]);
    for (let i = 0; i < IDENTITIES_MAX; i++) assert.equal(limiter.admit(`id-${i}`, 0), undefined);
    assert.equal(limiter.admit("one", 0), undefined);
    assert.equal(limiter.admit("two", 0)?.scope, "identity");
    assert.equal(limiter.admit("two", 1_000), undefined);
    assert.equal(limiter.admit("three", 1_000), undefined);
  });

  it("never lets more through in any time than the burst and the rate allow", () => {
    const gaps = fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 200 });
    fc.assert(
      fc.property(gaps, fc.integer({ min: 1, max: 20 }), (waits, rate) => {
        const limiter = new RateLimiter([limit({ total: rate })]);
        const times: number[] = [];
        let now = 0;
        for (const wait of waits) {
          now += wait;
          if (limiter.admit("", now) === undefined) times.push(now);
        }
        times.forEach((start, i) => {
          times.slice(i).forEach((end, count) => {
            assert.ok(count + 1 <= rate + ((end - start) / 1_000) * rate + 1e-6, `${count + 1} in ${end - start} ms`);
          });
        });
      }),
    );
  });
});
