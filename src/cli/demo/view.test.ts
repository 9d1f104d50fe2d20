import assert from "node:assert/strict";
import { it } from "node:test";
import { plain } from "../output.ts";
import { STAT_ROWS } from "../testing/fake-control.ts";
import { matchesGolden } from "../testing/golden.ts";
import { demoJson, demoLine, demoNext, demoSummary } from "./view.ts";

const facts = { requests: 1_442, failures: 4, rows: STAT_ROWS };

it("shows a table with the load above and what to try below", () => {
  const hints = { heddle: "bin/heddle", outbound: "127.0.0.1:24002", control: " --control 127.0.0.1:24000" };
  matchesGolden("output/demo-live.txt", `${demoSummary(facts)}\n${demoNext(hints, plain)}`);
  matchesGolden("output/demo-line.txt", demoLine(facts));
  assert.match(demoSummary({ ...facts, failures: 0 }), /none failed/);
});

it("gives the summary as JSON", () => {
  assert.deepEqual(demoJson(facts), {
    requests: 1_442,
    failures: 4,
    services: [
      { name: "gateway", success: 0.9967, rps: 20.04, latency_ms_p50: 5.4, latency_ms_p95: 31, latency_ms_p99: 96.2 },
      { name: "price-grpc", success: null, rps: 0, latency_ms_p50: null, latency_ms_p95: null, latency_ms_p99: null },
    ],
  });
});
