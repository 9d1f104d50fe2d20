import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { describe, it } from "node:test";

import type { Connection } from "../net/connection.ts";
import { staleSeries } from "../telemetry/exposition.ts";
import { SERIES_IDLE_MS } from "../telemetry/lease.ts";
import { DEFAULT_SERIES_MAX, MetricsRegistry } from "../telemetry/metrics.ts";
import { processMetrics, ProxyMetrics } from "./metrics.ts";

interface FakeConnection extends Connection {
  bytesRead: number;
}

function connection(): FakeConnection {
  return Object.assign(new EventEmitter(), {
    bytesRead: 0,
    bytesWritten: 0,
    whenClosed: undefined,
  }) as unknown as FakeConnection;
}

describe("EndpointMetrics", () => {
  it("classifies HTTP by status and gRPC by its own", () => {
    const metrics = new ProxyMetrics();
    const endpoint = metrics.endpoint({ direction: "inbound" });
    endpoint.answered(200);
    endpoint.answered(404);
    endpoint.answered(503);
    for (let i = 0; i < 2; i++) endpoint.answeredGrpc(200, 0);
    endpoint.answeredGrpc(200, 14);
    endpoint.answeredGrpc(503, 14);
    endpoint.failed("closed");
    const lines = metrics.registry
      .expose()
      .split("\n")
      .filter((line) => line.startsWith("response_total{"))
      .map((line) => line.replace('direction="inbound",', ""))
      .toSorted();
    assert.deepEqual(lines, [
      'response_total{classification="failure",error="closed"} 1',
      'response_total{status_code="200",classification="failure",grpc_status="14"} 1',
      'response_total{status_code="200",classification="success",grpc_status="0"} 2',
      'response_total{status_code="200",classification="success"} 1',
      'response_total{status_code="404",classification="success"} 1',
      'response_total{status_code="503",classification="failure",grpc_status="14"} 1',
      'response_total{status_code="503",classification="failure"} 1',
    ]);
  });

  it("does not let an application make up label values", () => {
    const metrics = new ProxyMetrics();
    const endpoint = metrics.endpoint({ direction: "inbound" });
    for (let i = 17; i < 1_000; i++) endpoint.answeredGrpc(200, i);
    const series = metrics.registry.expose().match(/^response_total\{.*$/gm) ?? [];
    assert.equal(series.length, 1);
    assert.match(series[0] ?? "", /grpc_status="2"\} 983$/);
  });

  it("of an endpoint that is gone are stale in time, those of byte streams included", () => {
    let now = 0;
    const metrics = new ProxyMetrics(() => now);
    const lease = metrics.registry.lease();
    const endpoint = metrics.endpoint({ direction: "outbound" }, lease);
    endpoint.answered(200);
    endpoint.answeredGrpc(200, 0);
    endpoint.latency(200, 1);
    endpoint.failed("closed");
    endpoint.lasted(1);
    lease.end();
    // After the end, as a byte stream's last word may be.
    endpoint.lasted(1);
    now = SERIES_IDLE_MS;
    metrics.registry.drop(staleSeries(metrics.registry.snapshot()));
    assert.doesNotMatch(metrics.registry.expose(), /direction="outbound"(?!\} 0)/);
  });
});

describe("TcpMeter", () => {
  it("that nobody uses for new connections still counts those that it has, while they live", () => {
    const metrics = new ProxyMetrics();
    const meter = metrics.tcp({ direction: "outbound", peer: "dst" });
    const open = connection();
    meter.track(open);
    metrics.forget(meter, metrics.registry.lease());
    open.bytesRead = 100;
    assert.match(metrics.registry.expose(), /^tcp_read_bytes_total\{[^}]*\} 100$/m);
    open.bytesRead = 150;
    open.whenClosed?.(Object.assign(new Error("x"), { code: "ECONNRESET" }));
    open.whenClosed?.(undefined);
    const text = metrics.registry.expose();
    assert.match(text, /^tcp_read_bytes_total\{[^}]*\} 150$/m);
    assert.match(text, /^tcp_open_connections\{[^}]*\} 0$/m);
    assert.match(text, /^tcp_close_total\{[^}]*errno="ECONNRESET"\} 1$/m);
  });
});

function drop(metrics: ProxyMetrics): string {
  metrics.registry.drop(staleSeries(metrics.registry.snapshot()));
  return metrics.registry.expose();
}

describe("the series of an endpoint that is gone", () => {
  const labels = { direction: "outbound", target_addr: "127.0.0.1:7" };
  let now = 0;

  it("are dropped, all of them, ten minutes after its last connection has closed", () => {
    const metrics = new ProxyMetrics(() => now);
    const lease = metrics.registry.lease();
    const meter = metrics.tcp({ ...labels, peer: "dst" }, lease);
    const endpoint = metrics.endpoint(labels, lease);
    const open = connection();
    meter.track(open);
    endpoint.answered(200);
    endpoint.latency(200, 3);
    metrics.forget(meter, lease);
    now += 2 * SERIES_IDLE_MS;
    assert.match(drop(metrics), /^tcp_open_connections\{.*\} 1$/m, "a connection is open");
    open.whenClosed?.(undefined);
    // The request whose connection it was fails only now.
    endpoint.failed("closed");
    now += SERIES_IDLE_MS - 1;
    assert.match(drop(metrics), /^response_total\{.*error="closed"\} 1$/m);
    now += 1;
    assert.doesNotMatch(drop(metrics), /127\.0\.0\.1:7/);
  });

  it("stay as they are if it comes back in time, and begin anew after", () => {
    const metrics = new ProxyMetrics(() => now);
    const come = (): { leave: () => void } => {
      const lease = metrics.registry.lease();
      const meter = metrics.tcp({ ...labels, peer: "dst" }, lease);
      metrics.endpoint(labels, lease).answered(200);
      return { leave: () => metrics.forget(meter, lease) };
    };
    come().leave();
    now += SERIES_IDLE_MS - 1;
    const second = come();
    now += 2 * SERIES_IDLE_MS;
    assert.match(drop(metrics), /^response_total\{.*\} 2$/m);
    second.leave();
    now += SERIES_IDLE_MS;
    assert.doesNotMatch(drop(metrics), /^response_total/m);
    come();
    assert.match(drop(metrics), /^response_total\{.*\} 1$/m);
  });

  it("leave room for those of others", () => {
    const metrics = new ProxyMetrics(() => now);
    for (let port = 0; port < 2 * DEFAULT_SERIES_MAX; port++) {
      const lease = metrics.registry.lease();
      const its = { direction: "outbound", target_addr: `127.0.0.1:${port}` };
      const meter = metrics.tcp({ ...its, peer: "dst" }, lease);
      metrics.endpoint(its, lease).answered(200);
      metrics.forget(meter, lease);
      if (port % 500 === 0) {
        now += SERIES_IDLE_MS;
        drop(metrics);
      }
    }
    assert.doesNotMatch(metrics.registry.expose(), /overflow/);
  });
});

describe("readiness", () => {
  it("is said as it is when the metrics are asked for", () => {
    const registry = new MetricsRegistry();
    let ready = false;
    processMetrics(registry, () => ready);
    assert.match(registry.expose(), /^heddle_ready 0$/m);
    ready = true;
    assert.match(registry.expose(), /^heddle_ready 1$/m);
  });
});
