import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { describe, it } from "node:test";

import type { Connection } from "../net/connection.ts";
import { ProxyMetrics } from "./metrics.ts";

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
});

describe("TcpMeter", () => {
  it("that nobody uses for new connections still counts those that it has, while they live", () => {
    const metrics = new ProxyMetrics();
    const meter = metrics.tcp({ direction: "outbound", peer: "dst" });
    const open = connection();
    meter.track(open);
    metrics.forget(meter);
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
