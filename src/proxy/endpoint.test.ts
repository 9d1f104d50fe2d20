import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { requestHead } from "../../test/support/exchange-recorder.ts";
import type { PortProtocol } from "../model/service.ts";
import type { BalancedEndpoint } from "./endpoint.ts";
import { REST_MAX_MS, REST_MIN_MS } from "./endpoint.ts";
import { FakeWorld } from "./testing/fake-world.ts";

function rig(meshed = false, protocol: PortProtocol = "http"): { world: FakeWorld; endpoint: BalancedEndpoint } {
  const world = new FakeWorld({ protocol });
  world.update({ port: 1, meshed });
  return { world, endpoint: world.made[0] as BalancedEndpoint };
}

describe("BalancedEndpoint", () => {
  it("rests twice as long after each failure in a row, up to a bound, and forgets it with an answer", () => {
    const { world, endpoint } = rig();
    for (let i = 0; i < 12; i++) {
      const restMs = Math.min(REST_MAX_MS, REST_MIN_MS * 2 ** i);
      endpoint.failed();
      endpoint.failed();
      world.clock.advance(restMs - 1);
      assert.equal(endpoint.ready, false, `failure ${i}`);
      world.clock.advance(1);
      assert.equal(endpoint.ready, true, `failure ${i}`);
    }
    endpoint.succeeded(world.clock.now(), 1);
    endpoint.failed();
    world.clock.advance(REST_MIN_MS);
    assert.equal(endpoint.ready, true);
  });

  it("neither rests nor wakes once it is closed", () => {
    const { world, endpoint } = rig();
    endpoint.failed();
    endpoint.close();
    endpoint.failed();
    assert.equal(world.clock.pending, 0);
  });

  it("is busier with more in flight and with slower answers", () => {
    const { world, endpoint } = rig();
    const idle = endpoint.load(0);
    endpoint.inFlight++;
    assert.equal(endpoint.load(0), 2 * idle);
    endpoint.succeeded(world.clock.now(), 1_000);
    assert.ok(endpoint.load(world.clock.now()) > 10 * idle);
  });

  it("is spoken to in the way that it, its sidecar and the request allow", () => {
    const cases: [protocol: PortProtocol, meshed: boolean, version: "1.1" | "2", upgrade: string, how: string][] = [
      ["http", false, "1.1", "", "http1"],
      ["http", false, "2", "", "http1"],
      ["http2", false, "1.1", "", "http2"],
      ["grpc", false, "2", "", "http2"],
      ["detect", false, "1.1", "", "http1"],
      ["detect", false, "2", "", "http2"],
      ["http", true, "1.1", "", "http2 packed"],
      ["http", true, "2", "", "http2"],
      ["detect", true, "1.1", "", "http2 packed"],
      ["opaque", true, "1.1", "", "http1"],
      ["opaque", true, "2", "", "http2"],
      ["http", true, "1.1", "websocket", "http2 packed"],
      ["http", true, "2", "websocket", "http2"],
      ["http", false, "1.1", "websocket", "http1"],
      ["http", false, "2", "websocket", "http1 translated"],
      ["http2", false, "1.1", "websocket", "http2 translated"],
      ["http2", false, "2", "websocket", "http2"],
      ["opaque", true, "1.1", "websocket", "http1"],
      ["detect", false, "2", "websocket", "http2"],
      ["http", true, "1.1", "connect", "http2"],
      ["detect", true, "2", "connect", "http2"],
      ["opaque", true, "1.1", "connect", "tunnels"],
      ["http", false, "1.1", "connect", "tunnels"],
      ["http2", false, "2", "connect", "tunnels"],
    ];
    for (const [protocol, meshed, version, upgrade, how] of cases) {
      const { world, endpoint } = rig(meshed, protocol);
      const method = upgrade === "connect" ? "CONNECT" : "GET";
      const head = { ...requestHead(method, "/"), version, upgrade };
      let found = world.nameOf(endpoint.poolFor(head));
      if (endpoint.packs(head)) found += " packed";
      if (endpoint.translation(head) !== undefined) found += " translated";
      assert.equal(found, how, `${protocol} ${meshed} ${version} ${upgrade}`);
    }
  });
});
