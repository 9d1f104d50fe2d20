import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { LATENCY_BOUNDS_MS, type Sample } from "./sample.ts";
import { StatWindow, WINDOW_MAX_MS } from "./window.ts";

function sample(success: number, startedAt = 1_000): Sample {
  const latency = LATENCY_BOUNDS_MS.map(() => success);
  return {
    startedAt,
    ready: null,
    openConnections: 1,
    malformed: 0,
    series: new Map(),
    counters: { success, failure: 0, readBytes: success * 10, writeBytes: 0, latency: [...latency, success] },
  };
}

describe("StatWindow", () => {
  it("gives the difference over the window asked for", () => {
    const window = new StatWindow();
    for (let second = 0; second <= 100; second++) window.add(sample(second * 2), second * 1_000, undefined);
    const difference = window.difference(60_000, 100_000, true);
    assert.equal(difference?.elapsedMs, 60_000);
    assert.equal(difference?.counters.success, 120);
    assert.equal(difference?.counters.readBytes, 1_200);
    assert.equal(difference?.counters.latency[0], 120);
  });

  it("gives what there is when it is younger than that, and nothing for one sample", () => {
    const window = new StatWindow();
    assert.equal(window.difference(60_000, 0, true), undefined);
    window.add(sample(5), 1_000, undefined);
    assert.equal(window.difference(60_000, 1_000, true), undefined);
    window.add(sample(9), 3_000, undefined);
    assert.deepEqual(pick(window.difference(60_000, 3_500, true)), { elapsedMs: 2_000, success: 4 });
  });

  it("counts from the start of a process that is young when first seen, not of an old one", () => {
    const young = new StatWindow();
    young.add(sample(6), 10_000, 3_000);
    assert.deepEqual(pick(young.difference(60_000, 10_000, true)), { elapsedMs: 3_000, success: 6 });
    const old = new StatWindow();
    old.add(sample(6), 100_000, 90_000);
    assert.equal(old.difference(60_000, 100_000, true), undefined);
    const skewed = new StatWindow();
    skewed.add(sample(6), 10_000, -500);
    assert.equal(skewed.difference(60_000, 10_000, true), undefined);
  });

  it("takes a fall of the counters, or another start, for a restart", () => {
    const window = new StatWindow();
    window.add(sample(100), 0, undefined);
    window.add(sample(110), 1_000, undefined);
    window.add(sample(3), 2_000, undefined);
    assert.equal(window.difference(60_000, 2_000, true)?.counters.success, 13);
    // Restarted, and already beyond what it had.
    window.add(sample(50, 2_000), 3_000, undefined);
    assert.equal(window.difference(60_000, 3_000, true)?.counters.success, 63);
    // A start that wavers is none.
    window.add(sample(51, 2_001), 4_000, undefined);
    assert.equal(window.difference(60_000, 4_000, true)?.counters.success, 64);
  });

  it("lets time pass for a workload that is gone", () => {
    const window = new StatWindow();
    window.add(sample(0), 0, undefined);
    window.add(sample(10), 1_000, undefined);
    assert.deepEqual(pick(window.difference(60_000, 20_000, false)), { elapsedMs: 20_000, success: 10 });
    // Everything happened before the window.
    assert.equal(window.difference(5_000, 20_000, false)?.counters.success, 0);
  });

  it("still spans ten minutes after an hour, with at most a coarse step more", () => {
    const window = new StatWindow();
    for (let second = 0; second <= 3_600; second++) window.add(sample(second), second * 1_000, undefined);
    for (const windowMs of [1_000, 60_000, 119_000, 121_000, 300_000, WINDOW_MAX_MS]) {
      const difference = window.difference(windowMs, 3_600_000, true);
      assert.ok(difference !== undefined && difference.elapsedMs >= windowMs, String(windowMs));
      assert.ok(difference.elapsedMs <= windowMs + 10_000, `${windowMs}: ${difference.elapsedMs}`);
      assert.equal(difference.counters.success, difference.elapsedMs / 1_000);
    }
  });

  it("is never negative, whatever the counters do", () => {
    const step = fc.record({
      success: fc.nat(1_000),
      startedAt: fc.nat(3),
      gapMs: fc.integer({ min: 1, max: 20_000 }),
    });
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 2, maxLength: 300 }),
        fc.integer({ min: 1, max: WINDOW_MAX_MS }),
        (steps, windowMs) => {
          const window = new StatWindow();
          let now = 0;
          for (const { success, startedAt, gapMs } of steps) {
            now += gapMs;
            window.add(sample(success, startedAt), now, undefined);
          }
          const difference = window.difference(windowMs, now, true);
          assert.ok(difference !== undefined && difference.elapsedMs > 0);
          assert.ok(difference.counters.success >= 0);
          assert.ok(difference.counters.latency.every((value) => value >= 0));
        },
      ),
      { numRuns: 50 },
    );
  });
});

function pick(difference: ReturnType<StatWindow["difference"]>): object | undefined {
  return difference && { elapsedMs: difference.elapsedMs, success: difference.counters.success };
}
