import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { median, mulberry32, pairedDifference, pairedRatio, quantile, sorted, theilSenSlope } from "./stats.ts";

describe("the median and quantiles", () => {
  it("are those of the sorted values", () => {
    assert.equal(median([3, 1, 2]), 2);
    assert.equal(median([4, 1, 2, 3]), 2.5);
    assert.equal(median([7]), 7);
    assert.ok(Number.isNaN(median([])));
    assert.equal(quantile([10, 20, 30, 40, 50], 0), 10);
    assert.equal(quantile([10, 20, 30, 40, 50], 1), 50);
    assert.equal(quantile([10, 20], 0.25), 12.5);
  });

  it("lie between the smallest and the largest value and grow with q", () => {
    const value = fc.double({ noNaN: true, min: -1e6, max: 1e6 });
    const share = fc.double({ noNaN: true, min: 0, max: 1 });
    fc.assert(
      fc.property(fc.array(value, { minLength: 1 }), share, share, (values, p, q) => {
        const ascending = sorted(values);
        const [low, high] = [quantile(ascending, Math.min(p, q)), quantile(ascending, Math.max(p, q))];
        // Interpolation may round in the last digit.
        assert.ok(low >= Math.min(...values) - 1e-6 && high <= Math.max(...values) + 1e-6 && low <= high + 1e-6);
      }),
    );
  });
});

describe("the ratio of pairs", () => {
  it("has no width where every pair says the same", () => {
    assert.deepEqual(pairedRatio([2, 4, 6], [1, 2, 3]), { value: 2, low: 2, high: 2 });
  });

  it("takes out what both of a pair met", () => {
    const weather = Array.from({ length: 20 }, (_, i) => 1 + (i % 5));
    const { low, high } = pairedRatio(
      weather.map((slow) => 30 * slow),
      weather.map((slow) => 20 * slow),
    );
    assert.equal(low, 1.5);
    assert.equal(high, 1.5);
  });

  it("covers the true ratio about as often as it says", () => {
    const random = mulberry32(42);
    const noisy = (): number => 1 + 0.1 * (random() + random() + random() - 1.5);
    let covered = 0;
    const rounds = 40;
    for (let round = 0; round < rounds; round++) {
      const ours = Array.from({ length: 15 }, () => 1.3 * noisy());
      const theirs = Array.from({ length: 15 }, noisy);
      const { value, low, high } = pairedRatio(ours, theirs, round);
      assert.ok(low <= value && value <= high);
      assert.ok(high - low < 0.3, `too wide: ${low} to ${high}`);
      if (low <= 1.3 && 1.3 <= high) covered++;
    }
    assert.ok(covered >= 0.8 * rounds, `covered in ${covered} of ${rounds}`);
  });

  it("is the same for the same seed", () => {
    const values = [5, 3, 8, 1, 9, 2, 7];
    assert.deepEqual(pairedRatio(values, [1, 2, 3, 4, 5, 6, 7], 9), pairedRatio(values, [1, 2, 3, 4, 5, 6, 7], 9));
  });

  it("refuses what are no pairs", () => {
    assert.throws(() => pairedRatio([], []), RangeError);
    assert.throws(() => pairedRatio([1, 2], [1]), RangeError);
  });
});

describe("the difference of pairs", () => {
  it("takes out what both of a pair met", () => {
    const weather = [100, 900, 350, 20];
    const ours = weather.map((slow) => slow + 40);
    assert.deepEqual(pairedDifference(ours, weather), { value: 40, low: 40, high: 40 });
  });

  it("lies between the smallest and the largest", () => {
    const { value, low, high } = pairedDifference([3, 5, 10, 4], [1, 1, 1, 1]);
    assert.equal(value, 3.5);
    assert.ok(low >= 2 && low < value && high > value && high <= 9);
  });
});

describe("the slope of a line", () => {
  it("is that of the line, whatever a few outliers do", () => {
    const points = Array.from({ length: 21 }, (_, x) => ({ x, y: 5 + 3 * x }));
    assert.equal(theilSenSlope(points), 3);
    assert.equal(theilSenSlope(points.with(10, { x: 10, y: 1_000 }).with(4, { x: 4, y: -50 })), 3);
  });

  it("is that of no line for fewer than two points", () => {
    assert.ok(Number.isNaN(theilSenSlope([{ x: 1, y: 1 }])));
  });
});
