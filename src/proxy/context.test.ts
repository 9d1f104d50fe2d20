import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { describe, it } from "node:test";

import { RecordedResponse, requestHead } from "../../test/support/exchange-recorder.ts";
import { until } from "../../test/support/until.ts";
import { defaultBackendPolicy } from "../model/backend-policy.ts";
import { VirtualClock } from "../net/virtual-clock.ts";
import { Logger } from "../telemetry/log.ts";
import type { ProxyConfig } from "./config.ts";
import { ProxyContext } from "./context.ts";
import { ProxyMetrics } from "./metrics.ts";
import { fakeEndpoint } from "./testing/fake-world.ts";

describe("a backend's HTTP/2 connections", () => {
  it("are asked for signs of life between sidecars, but never a service, which may take that ill", async (t) => {
    for (const meshed of [true, false]) {
      let pings = 0;
      let streams = 0;
      const sessions: http2.ServerHttp2Session[] = [];
      const server = http2.createServer();
      server.on("session", (session: http2.ServerHttp2Session) => {
        sessions.push(session);
        session.on("ping", () => pings++);
      });
      server.on("stream", () => streams++);
      server.listen(0, "127.0.0.1");
      t.after(() => {
        server.close();
        for (const session of sessions) session.destroy();
      });
      await once(server, "listening");
      const { port } = server.address() as AddressInfo;
      const clock = new VirtualClock();
      const logger = new Logger({ level: "error", format: "plain", sink: { write: () => true } });
      const config = { workload: "w", namespace: "default" } as ProxyConfig;
      const backend = new ProxyContext(config, clock, Math.random, new ProxyMetrics(), logger).backend({
        name: "price",
        direction: "outbound",
        policy: defaultBackendPolicy,
        protocol: "grpc",
        single: false,
        labels: () => ({}),
      });
      backend.update(defaultBackendPolicy, [fakeEndpoint({ port, meshed })]);
      const response = new RecordedResponse();
      backend.open({ ...requestHead("POST", "/a.B/Watch"), version: "2" }, false, response);
      await until("the stream is open", () => streams === 1);
      // Its acknowledgement of our settings has been heard, which may take only so long.
      await new Promise((resolve) => sessions[0]?.ping(resolve));
      // In the first interval the server's settings were heard; the second is silent.
      clock.advance(10_000);
      clock.advance(10_000);
      if (meshed) await until("it is asked", () => pings === 1);
      else for (let minutes = 0; minutes < 10; minutes++) clock.advance(60_000);
      // Whatever was sent before the answer to this has been heard before it.
      await new Promise((resolve) => sessions[0]?.ping(resolve));
      assert.equal(pings, meshed ? 1 : 0);
      assert.equal(response.reset, undefined);
      backend.close();
      backend.destroy();
    }
  });
});
