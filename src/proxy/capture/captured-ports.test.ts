import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { MemoryConnection } from "../../../test/support/memory-connection.ts";
import { sidecar } from "../../../test/support/mesh.ts";
import { type InboundPolicy, openPolicy, type PolicyLayer } from "../../model/inbound-policy.ts";
import { systemClock } from "../../net/clock.ts";
import { Logger } from "../../telemetry/log.ts";
import { ProxyContext } from "../context.ts";
import type { Session } from "../listener.ts";
import { ProxyMetrics } from "../metrics.ts";
import type { PolicySource } from "../policy-source.ts";
import { settled } from "../testing/fake-world.ts";
import { CapturedPorts, DETECTED_PORTS_MAX } from "./captured-ports.ts";

const quiet = new Logger({ level: "error", format: "plain", sink: { write: () => true } });
const target = { host: "127.0.0.1", port: 8080 };
const known = { appPort: 8080, target, service: "price", port: 80, protocol: "http" } as const;
const address = "10.77.0.2";

function ports(policy?: PolicySource): CapturedPorts {
  const context = new ProxyContext(sidecar("price-1", {}), systemClock, Math.random, new ProxyMetrics(), quiet, policy);
  return new CapturedPorts([known], context, (where) => where !== "127.0.0.1");
}

describe("captured ports", () => {
  it("are those of the configuration, whatever address was dialled, and others by address", () => {
    const all = ports();
    assert.equal(all.serving({ address, port: 8080 }), all.serving({ address: "fd77::1:2", port: 8080 }));
    assert.equal(all.detected, 0);
    all.serving({ address, port: 9000 });
    all.serving({ address, port: 9000 });
    assert.equal(all.detected, 1);
    all.serving({ address: "fd77::1:2", port: 9000 });
    assert.equal(all.detected, 2);
    all.close();
  });

  it("that have the number of a service's port, which is another one's, are not taken for it by a policy", async () => {
    const origin = { kind: "linkerd", namespace: "", name: "", file: "", line: 0 };
    const forPort = (port: number): PolicyLayer => ({
      dialect: "linkerd",
      ports: [port],
      rules: [{ action: "allow", origin, clauses: [[]] }],
      otherwise: { action: "deny", origin },
    });
    const layers = [forPort(80), forPort(9000)];
    const policy: InboundPolicy = { ...openPolicy, defaultPolicy: "deny", layers };
    const all = ports({ current: policy, watch: () => () => {} });
    // Nobody is at these addresses, so whoever is let in is reset later, and not by the policy.
    const outcome = async (port: number): Promise<string> => {
      const serve = all.serving({ address, port });
      const peer = new MemoryConnection();
      const session = typeof serve === "function" ? serve(peer.connection, () => {}) : assert.fail();
      peer.feed("GET / HTTP/1.1\r\nHost: price\r\n\r\n");
      await settled();
      const text = peer.text();
      session.destroy();
      return text === "" ? "let in" : text.slice(0, 12);
    };
    assert.deepEqual(await Promise.all([8080, 9000, 80].map(outcome)), ["let in", "let in", "HTTP/1.1 403"]);
    all.close();
  });

  it("that nobody told of are kept up to a bound: those not in use are given up, those in use are not", () => {
    const all = ports();
    for (let port = 1; port <= 2 * DETECTED_PORTS_MAX; port++) {
      assert.equal(typeof all.serving({ address, port: 10_000 + port }), "function");
      assert.ok(all.detected <= DETECTED_PORTS_MAX);
    }
    const sessions: Session[] = [];
    let ended = 0;
    for (let port = 1; port <= DETECTED_PORTS_MAX; port++) {
      const serve = all.serving({ address, port: 20_000 + port });
      const { connection } = new MemoryConnection();
      const session = typeof serve === "function" ? serve(connection, () => ended++) : undefined;
      if (session !== undefined) sessions.push(session);
    }
    assert.equal(sessions.length, DETECTED_PORTS_MAX);
    assert.equal(all.serving({ address, port: 30_000 }), "overflow", "all are in use");
    assert.equal(all.serving({ address: "127.0.0.1", port: 30_000 }), "elsewhere");
    assert.equal(typeof all.serving({ address, port: 20_001 }), "function", "one that is known already");
    assert.equal(typeof all.serving({ address, port: 8080 }), "function", "one of the configuration");
    for (const session of sessions) session.destroy();
    return new Promise<void>((resolve) => {
      setImmediate(() => {
        assert.equal(ended, DETECTED_PORTS_MAX);
        assert.equal(typeof all.serving({ address, port: 30_000 }), "function", "there is room again");
        all.close();
        resolve();
      });
    });
  });
});
