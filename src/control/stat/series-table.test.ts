import assert from "node:assert/strict";
import { describe, it } from "node:test";

import type { SeriesName, SeriesSample } from "./series-reader.ts";
import { SERIES_MAX, SeriesTable } from "./series-table.ts";
import { WINDOW_MAX_MS } from "./window.ts";

const price = { workload: "price-1", namespace: "default", service: "price" };

function sample(value: number, key = "a", family: SeriesName = "request_total"): ReadonlyMap<string, SeriesSample> {
  return new Map([[`${family} ${key}`, { family, labels: { authority: key }, value }]]);
}

function valueOf(table: SeriesTable, windowMs: number, now: number, family: SeriesName = "request_total"): number {
  return table.rows(family, windowMs, now).reduce((sum, row) => sum + row.value, 0);
}

describe("SeriesTable", () => {
  it("counts what happened within the window, and not what an old sidecar had counted before", () => {
    const table = new SeriesTable();
    for (let second = 0; second <= 120; second++) table.add(price, sample(1_000 + second), second * 1_000, 3_600_000);
    assert.equal(valueOf(table, WINDOW_MAX_MS, 120_000), 120);
    assert.equal(valueOf(table, 60_000, 120_000), 60);
    const inLastSteps = valueOf(table, 5_000, 120_000);
    assert.ok(inLastSteps >= 5 && inLastSteps <= 15, String(inLastSteps));
  });

  it("counts all of a young sidecar, and of a series that begins later", () => {
    const young = new SeriesTable();
    young.add(price, sample(5), 0, 1_000);
    assert.equal(valueOf(young, 60_000, 0), 5);
    const old = new SeriesTable();
    old.add(price, sample(5), 0, undefined);
    old.add(price, new Map([...sample(5), ...sample(3, "b")]), 1_000, undefined);
    assert.deepEqual(
      old.rows("request_total", 60_000, 1_000).map((row) => [row.labels["authority"], row.value]),
      [
        ["a", 0],
        ["b", 3],
      ],
    );
  });

  it("goes on where a sidecar begins anew", () => {
    const table = new SeriesTable();
    table.add(price, sample(100), 0, undefined);
    table.add(price, sample(110), 1_000, undefined);
    table.add(price, sample(4), 2_000, undefined);
    assert.equal(valueOf(table, 60_000, 2_000), 14);
  });

  it("believes a gauge as long as its sidecar answers", () => {
    const table = new SeriesTable();
    table.add(price, sample(3, "a", "tcp_open_connections"), 0, undefined);
    assert.equal(valueOf(table, 60_000, 5_000, "tcp_open_connections"), 3);
    assert.equal(valueOf(table, 60_000, 5_001, "tcp_open_connections"), 0);
  });

  it("forgets what has not been heard of for a window, and has room for so many series", () => {
    const table = new SeriesTable();
    for (let i = 0; i < SERIES_MAX + 5; i++) {
      table.add({ ...price, workload: `w${i % 100}` }, sample(1, String(i)), 0, undefined);
    }
    assert.deepEqual([table.size, table.refused], [SERIES_MAX, 5]);
    table.rows("request_total", 1_000, WINDOW_MAX_MS + 1);
    assert.equal(table.size, 0);
    table.add(price, sample(1), WINDOW_MAX_MS + 2, undefined);
    assert.equal(table.size, 1);
  });
});
