import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { ControlMetrics, type XdsCounts } from "./metrics.ts";

function value(text: string, series: string): number | undefined {
  const line = text.split("\n").find((candidate) => candidate.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length));
}

describe("ControlMetrics", () => {
  it("shows what it is told and the process itself", () => {
    const metrics = new ControlMetrics(() => ({
      connectedProxies: 2,
      registeredWorkloads: 3,
      measuredWorkloads: 4,
      samplesRefused: 7,
      services: 5,
      endpoints: 6,
      sources: new Map([
        ["/a.yaml", true],
        ["/b.yaml", false],
      ]),
      xds: [],
    }));
    metrics.scrapeFailures.labels({ reason: "timeout" }).inc();
    const text = metrics.registry.expose();
    const names = ["connected_proxies", "registered_workloads", "measured_workloads", "services", "endpoints"];
    assert.deepEqual(
      names.map((name) => value(text, `heddle_control_${name}`)),
      [2, 3, 4, 5, 6],
    );
    assert.equal(value(text, 'heddle_control_source_ok{source="/a.yaml"}'), 1);
    assert.equal(value(text, 'heddle_control_source_ok{source="/b.yaml"}'), 0);
    assert.equal(value(text, 'heddle_control_scrape_failures_total{reason="timeout"}'), 1);
    assert.equal(value(text, "heddle_control_samples_refused_total"), 7);
    const start = value(text, "process_start_time_seconds") ?? 0;
    assert.ok(Math.abs(start - Date.now() / 1_000) < 600);
    assert.ok((value(text, "process_resident_memory_bytes") ?? 0) > 1e6);
    assert.ok((value(text, "process_cpu_seconds_total") ?? 0) > 0);
  });

  it("counts answers over all streams, also those that are gone", () => {
    let xds: XdsCounts[] = [];
    const nothing = {
      connectedProxies: 0,
      registeredWorkloads: 0,
      measuredWorkloads: 0,
      samplesRefused: 0,
      services: 0,
      endpoints: 0,
    };
    const metrics = new ControlMetrics(() => ({ ...nothing, sources: new Map(), xds }));
    const counts = (): (number | undefined)[] => {
      const text = metrics.registry.expose();
      return [value(text, "heddle_control_xds_acks_total"), value(text, "heddle_control_xds_nacks_total")];
    };
    xds = [{ stream: "a 1", acked: 5, nacked: 1 }];
    assert.deepEqual(counts(), [5, 1]);
    xds = [
      { stream: "a 1", acked: 7, nacked: 1 },
      { stream: "b 1", acked: 2, nacked: 0 },
    ];
    assert.deepEqual(counts(), [9, 1]);
    xds = [{ stream: "a 2", acked: 1, nacked: 0 }];
    assert.deepEqual(counts(), [10, 1]);
  });
});
