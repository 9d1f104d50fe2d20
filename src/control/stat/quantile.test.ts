import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { histogramQuantile } from "./quantile.ts";

describe("histogramQuantile", () => {
  it("interpolates within the bucket, as Prometheus does", () => {
    assert.equal(histogramQuantile(0.5, [10, 20], [10, 10, 10]), 5);
    assert.equal(histogramQuantile(0.5, [10, 20], [0, 10, 10]), 15);
    assert.equal(histogramQuantile(0.75, [10, 20], [5, 10, 10]), 15);
    assert.equal(histogramQuantile(0, [10, 20], [5, 10, 10]), 0);
    assert.equal(histogramQuantile(1, [10, 20], [5, 10, 10]), 20);
  });

  it("gives the highest bound for what lies beyond it, and null for nothing", () => {
    assert.equal(histogramQuantile(0.99, [10, 20], [1, 1, 10]), 20);
    assert.equal(histogramQuantile(0.5, [10, 20], [0, 0, 0]), null);
    assert.equal(histogramQuantile(0.5, [], []), null);
  });

  it("lies in the bucket of the true quantile, and grows with the quantile", () => {
    const bounds = [1, 2, 5, 10, 50];
    const values = fc.array(fc.double({ min: 0.001, max: 50, noNaN: true }), { minLength: 1, maxLength: 50 });
    fc.assert(
      fc.property(values, fc.double({ min: 0.01, max: 1, noNaN: true }), (observed, q) => {
        const cumulative = [...bounds, Infinity].map((bound) => observed.filter((value) => value <= bound).length);
        const result = histogramQuantile(q, bounds, cumulative) as number;
        const sorted = observed.toSorted((a, b) => a - b);
        const exact = sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] as number;
        const bucket = bounds.findIndex((bound) => exact <= bound);
        assert.ok(result <= (bounds[bucket] as number) + 1e-9);
        assert.ok(result >= (bucket === 0 ? 0 : (bounds[bucket - 1] as number)) - 1e-9);
        assert.ok(result <= (histogramQuantile(1, bounds, cumulative) as number) + 1e-9);
      }),
    );
  });
});
