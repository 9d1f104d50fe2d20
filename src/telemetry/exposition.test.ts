import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { exposition, mergeSnapshots, staleSeries } from "./exposition.ts";
import { SERIES_IDLE_MS } from "./lease.ts";
import { MetricsRegistry } from "./metrics.ts";
import type { FamilySnapshot } from "./snapshot.ts";

/** A registry with one family of each kind, as every worker has it. */
class Counted {
  readonly registry = new MetricsRegistry();
  readonly #counter = this.registry.counter({
    name: "c_total",
    help: "Counted.",
    labelNames: ["a", "b"],
    seriesMax: 4,
  });
  readonly #gauge = this.registry.gauge({ name: "g", help: "Gauged.", labelNames: ["a"] });
  readonly #histogram = this.registry.histogram({
    name: "h_ms",
    help: "Timed.",
    labelNames: ["a"],
    bounds: [1, 5, 10],
  });

  apply({ kind, label, value }: Event): void {
    if (kind === "counter") this.#counter.labels({ a: label, b: "x" }).inc(value);
    else if (kind === "gauge") this.#gauge.labels({ a: label }).value += value;
    else this.#histogram.labels({ a: label }).observe(value);
  }
}

interface Event {
  readonly kind: "counter" | "gauge" | "histogram";
  readonly label: string;
  readonly value: number;
}

const events = fc.array(
  fc.tuple(
    fc.nat(3),
    fc.record<Event>({
      kind: fc.constantFrom("counter", "gauge", "histogram"),
      label: fc.constantFrom("", "p", 'q"', "r\n"),
      // Whole, so that the order of additions makes no difference.
      value: fc.nat(20),
    }),
  ),
);

/** As they are after the way from one thread to another. */
function posted(registry: MetricsRegistry): FamilySnapshot[] {
  return structuredClone(registry.snapshot());
}

function named(...names: readonly string[]): FamilySnapshot[] {
  const registry = new MetricsRegistry();
  for (const name of names) registry.counter({ name, help: "h", labelNames: [] }).labels({}).inc();
  return posted(registry);
}

describe("mergeSnapshots", () => {
  it("gives for any events, on whichever worker they fall, what one registry would have counted", () => {
    fc.assert(
      fc.property(events, (list) => {
        const whole = new Counted();
        const parts = Array.from({ length: 4 }, () => new Counted());
        for (const [worker, event] of list) {
          whole.apply(event);
          parts[worker]?.apply(event);
        }
        const merged = exposition(mergeSnapshots(parts.map(({ registry }) => posted(registry))));
        assert.deepEqual(merged.split("\n").toSorted(), whole.registry.expose().split("\n").toSorted());
      }),
    );
  });

  it("leaves what it is given as it is", () => {
    const parts = [new Counted(), new Counted()];
    for (const part of parts) {
      for (const kind of ["counter", "gauge", "histogram"] as const) part.apply({ kind, label: "p", value: 2 });
    }
    const texts = parts.map(({ registry }) => registry.expose());
    mergeSnapshots(parts.map(({ registry }) => registry.snapshot()));
    assert.deepEqual(
      parts.map(({ registry }) => registry.expose()),
      texts,
    );
  });

  it("takes the mean, over those who have the series, of what every worker sees in whole", () => {
    const parts = [{ ready: 3 }, { ready: 2, pending: 1 }, {}].map((numbers) => {
      const registry = new MetricsRegistry();
      const gauge = registry.gauge({ name: "endpoints", help: "h", labelNames: ["state"], across: "mean" });
      for (const [state, value] of Object.entries(numbers)) gauge.labels({ state }).value = value;
      return posted(registry);
    });
    const text = exposition(mergeSnapshots(parts));
    assert.match(text, /^endpoints\{state="ready"\} 2.5$/m);
    assert.match(text, /^endpoints\{state="pending"\} 1$/m);
  });

  it("keeps families that only one part has, in the order of first appearance", () => {
    const merged = mergeSnapshots([named("a", "b"), named("b", "c")]);
    assert.deepEqual(
      merged.map(({ name }) => name),
      ["a", "b", "c"],
    );
    assert.deepEqual(exposition(merged).match(/^\w+ \d+$/gm), ["a 1", "b 2", "c 1"]);
  });

  it("calls a series stale only if it is stale wherever it is", () => {
    const now = { ms: 0 };
    const part = (states: Readonly<Record<string, "stale" | "held">>): FamilySnapshot[] => {
      const registry = new MetricsRegistry(() => now.ms);
      const family = registry.counter({ name: "c", help: "h", labelNames: ["k"] });
      for (const [k, state] of Object.entries(states)) {
        const lease = registry.lease();
        family.labels({ k }, lease).inc();
        if (state === "stale") lease.end();
      }
      now.ms += SERIES_IDLE_MS;
      return posted(registry);
    };
    const merged = mergeSnapshots([
      part({ a: "stale", b: "stale" }),
      part({ a: "stale", b: "held" }),
      part({ c: "held" }),
    ]);
    assert.deepEqual(staleSeries(merged), [{ name: "c", series: ['k="a"'] }]);
    assert.deepEqual(staleSeries(mergeSnapshots([part({ d: "stale" })])), [{ name: "c", series: ['k="d"'] }]);
  });

  it("of nothing is nothing", () => {
    assert.equal(exposition(mergeSnapshots([])), "");
    assert.equal(exposition(mergeSnapshots([[], []])), "");
  });
});
