import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { DEFAULT_RTT_MS, PeakEwma, RTT_DECAY_MS } from "./ewma.ts";
import { pickOfTwo } from "./p2c.ts";

describe("PeakEwma", () => {
  it("starts at 30 ms and decays by 1/e in 10 s", () => {
    const ewma = new PeakEwma(0);
    assert.equal(ewma.read(0), DEFAULT_RTT_MS);
    assert.ok(Math.abs(ewma.read(RTT_DECAY_MS) - DEFAULT_RTT_MS / Math.E) < 1e-9);
  });

  it("believes a peak at once", () => {
    const ewma = new PeakEwma(0);
    ewma.observe(5, 400);
    assert.equal(ewma.read(5), 400);
  });

  it("believes an improvement by how much time has passed", () => {
    const ewma = new PeakEwma(0, 100);
    ewma.observe(0, 1);
    assert.equal(ewma.read(0), 100, "no time, no weight");
    ewma.observe(RTT_DECAY_MS, 1);
    const weight = 1 / Math.E;
    assert.ok(Math.abs(ewma.read(RTT_DECAY_MS) - (100 * weight + 1 * (1 - weight))) < 1e-9);
  });

  it("stays between the lowest and the highest it has seen, when read at once", () => {
    const samples = fc.array(
      fc.record({ after: fc.nat(60_000), rtt: fc.double({ min: 0.01, max: 1e5, noNaN: true }) }),
      {
        minLength: 1,
      },
    );
    fc.assert(
      fc.property(samples, (list) => {
        const ewma = new PeakEwma(0);
        let now = 0;
        let high = DEFAULT_RTT_MS;
        for (const { after, rtt } of list) {
          now += after;
          high = Math.max(high, rtt);
          ewma.observe(now, rtt);
          const value = ewma.read(now);
          assert.ok(value >= 0 && value <= high + 1e-6, `${value} of at most ${high}`);
        }
      }),
    );
  });
});

function candidate(load: number): { load(): number; value: number } {
  return { value: load, load: () => load };
}

describe("pickOfTwo", () => {
  it("has nothing to pick from nothing, and no choice with one", () => {
    assert.equal(pickOfTwo([], 0, Math.random), undefined);
    const one = candidate(9);
    assert.equal(pickOfTwo([one], 0, Math.random), one);
  });

  it("always looks at two different candidates, and takes the less loaded", () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(100), { minLength: 2, maxLength: 20 }),
        fc.double({ min: 0, max: 0.999999, noNaN: true }),
        fc.double({ min: 0, max: 0.999999, noNaN: true }),
        (loads, a, b) => {
          const looked: number[] = [];
          const candidates = loads.map((load, i) => ({ load: () => (looked.push(i), load), value: load }));
          const draws = [a, b];
          const picked = pickOfTwo(candidates, 0, () => draws.shift() as number);
          assert.equal(looked.length, 2);
          assert.notEqual(looked[0], looked[1]);
          assert.equal(
            picked?.value,
            Math.min(loads[looked[0] as number] as number, loads[looked[1] as number] as number),
          );
        },
      ),
    );
  });

  it("takes the first on a tie", () => {
    const a = candidate(1);
    const b = candidate(1);
    const draws = [0.6, 0.1];
    assert.equal(
      pickOfTwo([a, b], 0, () => draws.shift() as number),
      b,
    );
  });
});
