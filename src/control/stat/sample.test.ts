import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { MetricsRegistry } from "../../telemetry/metrics.ts";
import { LATENCY_BOUNDS_MS, SampleReader } from "./sample.ts";

function read(text: string) {
  const reader = new SampleReader();
  reader.push(text);
  return reader.finish();
}

describe("SampleReader", () => {
  it("sums up the inbound side and nothing else", () => {
    const sample = read(`
process_start_time_seconds 1700000000.5
heddle_ready 1
response_total{direction="inbound",status_code="200",classification="success"} 7
response_total{direction="inbound",status_code="201",classification="success"} 1
response_total{direction="inbound",status_code="500",classification="failure"} 2
response_total{direction="inbound",status_code="500"} 100
response_total{direction="outbound",status_code="200",classification="success"} 1000
tcp_open_connections{direction="inbound",peer="src"} 3
tcp_open_connections{direction="inbound",peer="dst"} 30
tcp_open_connections{direction="outbound",peer="src"} 300
tcp_read_bytes_total{direction="inbound",peer="src"} 11
tcp_write_bytes_total{direction="inbound",peer="src"} 12
tcp_write_bytes_total{direction="inbound",peer="src",target_port="2"} 5
tcp_write_bytes_total{direction="inbound",peer="src",target_port="3"} NaN
tcp_write_bytes_total{direction="inbound" 5
`);
    assert.equal(sample.malformed, 1);
    assert.equal(sample.startedAt, 1_700_000_000.5);
    assert.deepEqual([sample.ready, read("heddle_ready 0\n").ready, read("").ready], [true, false, null]);
    assert.equal(sample.openConnections, 3);
    const { success, failure, readBytes, writeBytes } = sample.counters;
    assert.deepEqual(
      { success, failure, readBytes, writeBytes },
      { success: 8, failure: 2, readBytes: 11, writeBytes: 17 },
    );
  });

  it("adds the buckets of all series, also where bounds are foreign or missing", () => {
    const registry = new MetricsRegistry();
    const labelNames = ["direction", "status_code"];
    const family = registry.histogram({ name: "response_latency_ms", help: "", labelNames, bounds: LATENCY_BOUNDS_MS });
    for (const value of [0.5, 3, 3, 700, 99_999])
      family.labels({ direction: "inbound", status_code: "200" }).observe(value);
    family.labels({ direction: "inbound", status_code: "500" }).observe(3);
    family.labels({ direction: "outbound", status_code: "200" }).observe(1);
    const { latency } = read(registry.expose()).counters;
    assert.equal(latency.length, LATENCY_BOUNDS_MS.length + 1);
    assert.equal(latency[0], 1);
    assert.equal(latency[LATENCY_BOUNDS_MS.indexOf(3)], 4);
    assert.equal(latency[LATENCY_BOUNDS_MS.indexOf(500)], 4);
    assert.equal(latency[LATENCY_BOUNDS_MS.indexOf(1_000)], 5);
    assert.equal(latency.at(-1), 6);

    const foreign = read(`
response_latency_ms_bucket{direction="inbound",le="1"} 2
response_latency_ms_bucket{direction="inbound",le="7"} 5
response_latency_ms_bucket{direction="inbound",le="10.0"} 6
response_latency_ms_bucket{direction="inbound",le="+Inf"} 9
`).counters.latency;
    assert.deepEqual(foreign.slice(0, 7), [2, 2, 2, 2, 2, 6, 6]);
    assert.equal(foreign.at(-1), 9);
  });
});
