import assert from "node:assert/strict";
import { describe, it } from "node:test";

import type { Endpoint } from "../../model/endpoint.ts";
import { emptyMesh, type Mesh } from "../../model/mesh.ts";
import { LATENCY_BOUNDS_MS, type Sample } from "./sample.ts";
import { LIVE_MS, MEASURED_MAX, StatTable, type StatQuery, type Subject } from "./stat-table.ts";
import { WINDOW_MAX_MS } from "./window.ts";

const all: StatQuery = { windowMs: 60_000, by: "service", namespace: undefined, service: undefined };

function endpoint(workload: string, more: Partial<Endpoint> = {}): Endpoint {
  const locality = { region: "", zone: "", subZone: "" };
  const place = { address: "127.0.0.1", port: 1, workload, locality, weight: 1 };
  return { ...place, health: "healthy", labels: {}, meshed: true, identity: "", ...more };
}

const mesh: Mesh = {
  ...emptyMesh,
  services: [
    { name: "cart", namespace: "default", ports: [{ name: "http", port: 80, protocol: "http" }] },
    {
      name: "price",
      namespace: "default",
      ports: [
        { name: "http", port: 80, protocol: "http" },
        { name: "admin", port: 81, protocol: "http" },
      ],
    },
  ],
  endpoints: new Map([
    [
      "price.default:80",
      [endpoint("price-1"), endpoint("price-2", { health: "unhealthy" }), endpoint("price-3", { meshed: false })],
    ],
    ["price.default:81", [endpoint("price-1")]],
  ]),
};

/** @param slow answers that took from 5 to 10 s; the others took at most 1 ms */
function sample(success: number, failure = 0, slow = 0): Sample {
  const total = success + failure;
  const latency = LATENCY_BOUNDS_MS.map((bound) => (bound <= 5_000 ? total - slow : total));
  return {
    startedAt: 0,
    ready: null,
    openConnections: 2,
    malformed: 0,
    series: new Map(),
    counters: { success, failure, readBytes: total * 100, writeBytes: total * 10, latency: [...latency, total] },
  };
}

const price1: Subject = { workload: "price-1", namespace: "default", service: "price" };
const price2: Subject = { workload: "price-2", namespace: "default", service: "price" };

describe("StatTable", () => {
  it("has a row for each service, also for one without traffic", () => {
    assert.deepEqual(new StatTable().rows(all, mesh, 0)[0], {
      namespace: "default",
      kind: "service",
      name: "cart",
      meshed: { ready: 0, total: 0 },
      success: null,
      rps: 0,
      latency_ms_p50: null,
      latency_ms_p95: null,
      latency_ms_p99: null,
      tcp_open_connections: 0,
      tcp_read_bytes_rate: 0,
      tcp_write_bytes_rate: 0,
      requests: 0,
      failures: 0,
    });
  });

  it("adds up the workloads of a service", () => {
    const table = new StatTable();
    for (const [subject, last] of [
      [price1, sample(60, 0, 6)],
      [price2, sample(20, 20)],
    ] as const) {
      table.add(subject, sample(0), 0, undefined);
      table.add(subject, last, 10_000, undefined);
    }
    const row = table.rows(all, mesh, 10_000)[1];
    assert.deepEqual(row, {
      namespace: "default",
      kind: "service",
      name: "price",
      meshed: { ready: 1, total: 3 },
      success: 0.8,
      rps: 10,
      latency_ms_p50: 0.5 / 0.94,
      latency_ms_p95: 5_000 + (5_000 * 1) / 6,
      latency_ms_p99: 5_000 + (5_000 * 5) / 6,
      tcp_open_connections: 4,
      tcp_read_bytes_rate: 1_000,
      tcp_write_bytes_rate: 100,
      requests: 100,
      failures: 20,
    });
    const byWorkload = table.rows({ ...all, by: "workload" }, mesh, 10_000);
    assert.deepEqual(
      byWorkload.map(({ kind, name, rps, meshed }) => [kind, name, rps, meshed.ready, meshed.total]),
      [
        ["workload", "price-1", 6, 1, 1],
        ["workload", "price-2", 4, 0, 1],
        ["workload", "price-3", 0, 0, 1],
      ],
    );
  });

  it("shows only what is asked for", () => {
    const table = new StatTable();
    const names = (query: Partial<StatQuery>): string[] =>
      table.rows({ ...all, ...query }, mesh, 0).map(({ name }) => name);
    assert.deepEqual(names({}), ["cart", "price"]);
    assert.deepEqual(names({ service: "price" }), ["price"]);
    assert.deepEqual(names({ service: "price", by: "workload" }), ["price-1", "price-2", "price-3"]);
    assert.deepEqual(names({ namespace: "other" }), []);
  });

  it("keeps the requests of a workload that is gone in its service, but not its connections", () => {
    const table = new StatTable();
    table.add(price1, sample(0), 0, undefined);
    table.add(price1, sample(10), 1_000, undefined);
    const later = table.rows(all, mesh, 1_000 + LIVE_MS + 1)[1];
    assert.equal(later?.requests, 10);
    assert.equal(later?.tcp_open_connections, 0);
    assert.equal(table.rows(all, emptyMesh, 2_000).length, 0);
    assert.equal(table.rows({ ...all, by: "workload" }, emptyMesh, 2_000)[0]?.name, "price-1");
    assert.equal(table.rows({ ...all, by: "workload" }, emptyMesh, 60_000).length, 0);
    assert.equal(table.size, 1);
    table.rows(all, mesh, 1_001 + WINDOW_MAX_MS);
    assert.equal(table.size, 0);
  });

  it("measures so many workloads and no more, but lets those that are gone make room", () => {
    const table = new StatTable();
    for (let i = 0; i < MEASURED_MAX; i++) table.add({ ...price1, workload: `w-${i}` }, sample(0), 0, undefined);
    table.add({ ...price1, workload: "one-more" }, sample(0), 1, undefined);
    assert.deepEqual([table.size, table.refused], [MEASURED_MAX, 1]);
    table.add({ ...price1, workload: "w-7" }, sample(0), LIVE_MS, undefined);
    table.add({ ...price1, workload: "one-more" }, sample(0), LIVE_MS + 1, undefined);
    assert.deepEqual([table.size, table.refused], [2, 1]);
  });
});
