import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Lease, SERIES_IDLE_MS } from "./lease.ts";
import { MetricsRegistry } from "./metrics.ts";

describe("Lease", () => {
  it("holds a thing once, however often it is used, and lets it go once", () => {
    let now = 5;
    const lease = new Lease(() => now);
    const other = new Lease(() => now);
    const leased = { holders: 0, abandonedAt: 0 };
    lease.hold(leased);
    lease.hold(leased);
    other.hold(leased);
    assert.equal(leased.holders, 2);
    lease.end();
    lease.end();
    assert.equal(leased.holders, 1);
    now = 9;
    other.end();
    assert.deepEqual(leased, { holders: 0, abandonedAt: 9 });
  });

  it("that has ended keeps what is used under it young, and does not hold it", () => {
    let now = 0;
    const lease = new Lease(() => now);
    lease.end();
    now = 7;
    const leased = { holders: 0, abandonedAt: 0 };
    lease.hold(leased);
    assert.deepEqual(leased, { holders: 0, abandonedAt: 7 });
  });

  it("does not bring to an end what is also used without one, nor what is used again after it was called stale", () => {
    let now = 0;
    const registry = new MetricsRegistry(() => now);
    const family = registry.counter({ name: "c", help: "h", labelNames: ["k"] });
    for (const k of ["forever", "again", "gone"]) {
      const lease = registry.lease();
      family.labels({ k }, lease).inc();
      lease.end();
    }
    family.labels({ k: "forever" }).inc();
    now = SERIES_IDLE_MS - 1;
    assert.deepEqual(registry.snapshot()[0]?.stale, []);
    now = SERIES_IDLE_MS;
    const stale = registry.snapshot()[0]?.stale ?? [];
    assert.deepEqual(stale, ['k="again"', 'k="gone"']);
    family.labels({ k: "again" }, registry.lease()).inc();
    registry.drop([{ name: "c", series: stale }]);
    assert.deepEqual(registry.expose().split("\n").slice(2), ['c{k="forever"} 2', 'c{k="again"} 2', ""]);
  });
});
