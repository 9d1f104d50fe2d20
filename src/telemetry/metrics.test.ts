import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { MetricsRegistry } from "./metrics.ts";

describe("MetricsRegistry", () => {
  it("prints counters and gauges with their labels in the declared order, empty ones left out", () => {
    const registry = new MetricsRegistry();
    const requests = registry.counter({ name: "request_total", help: "Requests.", labelNames: ["direction", "tls"] });
    requests.labels({ tls: "true", direction: "inbound" }).inc();
    requests.labels({ direction: "inbound", tls: "true" }).inc(2);
    requests.labels({ direction: "outbound" }).inc();
    registry.gauge({ name: "open", help: "Open.", labelNames: [] }).labels({}).value = 7;
    assert.equal(
      registry.expose(),
      [
        "# HELP request_total Requests.",
        "# TYPE request_total counter",
        'request_total{direction="inbound",tls="true"} 3',
        'request_total{direction="outbound"} 1',
        "# HELP open Open.",
        "# TYPE open gauge",
        "open 7",
        "",
      ].join("\n"),
    );
  });

  it("prints histograms cumulatively, with bounds inclusive", () => {
    const registry = new MetricsRegistry();
    const family = registry.histogram({ name: "ms", help: "h", labelNames: ["a"], bounds: [1, 5] });
    for (const value of [0.5, 1, 3, 5, 9]) family.labels({ a: "x" }).observe(value);
    assert.deepEqual(registry.expose().split("\n").slice(2), [
      'ms_bucket{a="x",le="1"} 2',
      'ms_bucket{a="x",le="5"} 4',
      'ms_bucket{a="x",le="+Inf"} 5',
      'ms_sum{a="x"} 18.5',
      'ms_count{a="x"} 5',
      "",
    ]);
  });

  it("escapes label values so that no value can break out of its quotes", () => {
    fc.assert(
      fc.property(fc.string(), (value) => {
        const registry = new MetricsRegistry();
        registry
          .counter({ name: "c", help: "h", labelNames: ["v"] })
          .labels({ v: value })
          .inc();
        const line = registry.expose().split("\n")[2] as string;
        if (value === "") {
          assert.equal(line, "c 1");
          return;
        }
        const match = /^c\{v="((?:[^"\\\n]|\\["\\n])*)"\} 1$/s.exec(line);
        assert.ok(match, line);
        const back = (match[1] as string).replaceAll(/\\(["\\n])/g, (_, c: string) => (c === "n" ? "\n" : c));
        assert.equal(back, value);
      }),
    );
  });

  it("bounds a family: what comes after shares one series, and is counted", () => {
    const registry = new MetricsRegistry();
    const family = registry.counter({ name: "c", help: "h", labelNames: ["v"], seriesMax: 3 });
    for (let i = 0; i < 10; i++) family.labels({ v: String(i) }).inc();
    family.labels({ v: "1" }).inc();
    const text = registry.expose();
    assert.match(text, /^c\{v="1"\} 2$/m);
    assert.match(text, /^c\{v="overflow"\} 7$/m);
    assert.match(text, /^heddle_metrics_overflow_total\{family="c"\} 7$/m);
    assert.equal(text.match(/^c\{/gm)?.length, 4);
  });

  it("refuses a family registered twice", () => {
    const registry = new MetricsRegistry();
    registry.counter({ name: "c", help: "h", labelNames: [] });
    assert.throws(() => registry.gauge({ name: "c", help: "h", labelNames: [] }), /c is registered twice/);
  });

  it("asks its collectors before each exposition", () => {
    const registry = new MetricsRegistry();
    const gauge = registry.gauge({ name: "g", help: "h", labelNames: ["k"] });
    let size = 1;
    registry.collect(() => {
      gauge.clear();
      gauge.labels({ k: String(size) }).value = size;
    });
    assert.match(registry.expose(), /^g\{k="1"\} 1$/m);
    size = 2;
    assert.doesNotMatch(registry.expose(), /k="1"/);
  });
});
