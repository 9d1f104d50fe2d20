import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { VirtualClock } from "../net/virtual-clock.ts";
import { MetricsRegistry } from "../telemetry/metrics.ts";
import { RARE_LINE_EVERY_MS } from "./rare-line.ts";
import { xdsRefusals } from "./xds-refusals.ts";
import { recordingLogger } from "./testing/logger.ts";

describe("refusals at the xDS port", () => {
  it("are counted each, and logged so often, with how many were not", () => {
    const registry = new MetricsRegistry();
    const clock = new VirtualClock();
    const { logger, lines } = recordingLogger();
    const refused = registry.counter({ name: "refused_total", help: "", labelNames: ["reason"] });
    const onRefused = xdsRefusals(refused, clock, logger);
    for (let times = 0; times < 1_000; times++) onRefused("plaintext", "no TLS", "10.0.0.9");
    onRefused("namespace", "another namespace", "spiffe://cluster.local/ns/shop/sa/price");
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? "", /WARN .*reason=plaintext peer=10\.0\.0\.9 detail="no TLS"$/);
    clock.advance(RARE_LINE_EVERY_MS);
    onRefused("silent", "said nothing", "10.0.0.9");
    assert.equal(lines.length, 2);
    assert.match(lines[1] ?? "", /reason=silent .*others=1000$/);
    const text = registry.expose();
    assert.match(text, /refused_total\{reason="plaintext"\} 1000\n/);
    assert.match(text, /refused_total\{reason="namespace"\} 1\n/);
  });
});
