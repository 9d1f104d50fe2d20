import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { scrapeTargets } from "./scrape-targets.ts";
import { registration } from "./testing/registration.ts";

describe("scrapeTargets", () => {
  it("knows sidecars from registrations and from streams, each once; the stream knows better", () => {
    const registrations = [
      registration("price-1", { admin: "127.0.0.1:1" }),
      registration("price-2", { admin: "127.0.0.1:2" }),
    ];
    const node = { namespace: "default", service: "price", identity: "" };
    const targets = scrapeTargets(
      [
        { ...node, workload: "price-2", admin: "127.0.0.1:22" },
        { ...node, workload: "price-3", admin: "127.0.0.1:3" },
      ],
      registrations,
    );
    assert.deepEqual(
      targets.map(({ workload, service, admin }) => `${workload} ${service} ${admin}`),
      ["price-1 price 127.0.0.1:1", "price-2 price 127.0.0.1:22", "price-3 price 127.0.0.1:3"],
    );
  });

  it("does not take its own loopback interface for that of another host, unless a registration says so", () => {
    const node = { namespace: "default", service: "price", identity: "spiffe://cluster.local/ns/default/sa/price" };
    const targets = scrapeTargets(
      [
        { ...node, workload: "price-1", admin: "127.0.0.1:1" },
        { ...node, workload: "price-2", admin: "[::1]:2" },
        { ...node, workload: "price-3", admin: "10.0.0.3:3" },
        { ...node, workload: "price-4", admin: "127.0.0.1:44" },
      ],
      [registration("price-4", { admin: "127.0.0.1:4" })],
    );
    assert.deepEqual(
      targets.map(({ workload, admin }) => `${workload} ${admin}`),
      ["price-4 127.0.0.1:4", "price-3 10.0.0.3:3"],
    );
  });

  it("leaves out who has no sidecar, but not who has no service", () => {
    const keyboard = { workload: "keyboard", namespace: "default", service: "", admin: "127.0.0.1:4191", identity: "" };
    const grpcClient = { workload: "", namespace: "", service: "", admin: "", identity: "" };
    const registrations = [registration("a", {}), registration("b", { admin: "127.0.0.1:1", ports: [] })];
    assert.deepEqual(
      scrapeTargets([keyboard, grpcClient], registrations).map(({ workload, service }) => [workload, service]),
      [
        ["b", ""],
        ["keyboard", ""],
      ],
    );
  });
});
