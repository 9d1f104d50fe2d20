import assert from "node:assert/strict";
import { it } from "node:test";

import { openPolicy } from "../model/inbound-policy.ts";
import type { WorkloadPort } from "../model/workload.ts";
import { Policies, type PolicyTarget, policyTarget } from "./policies.ts";
import { registration } from "./testing/registration.ts";

function setUp(): { policies: Policies; compiled: string[] } {
  const compiled: string[] = [];
  const policies = new Policies(({ name, labels }: PolicyTarget) => {
    compiled.push(`${name} ${JSON.stringify(labels)}`);
    return { ...openPolicy };
  });
  return { policies, compiled };
}

it("a policy is compiled once for as long as its workload stays the same in what matters", () => {
  const { policies, compiled } = setUp();
  const first = policies.forOneBuild()(registration("price-1"));
  assert.equal(policies.forOneBuild()(registration("price-1", { health: "unhealthy", weight: 7 })), first);
  assert.notEqual(policies.forOneBuild()(registration("price-1", { labels: { app: "price" } })), first);
  assert.deepEqual(compiled, ["price-1 {}", 'price-1 {"app":"price"}']);
});

it("a policy is compiled anew when the documents have changed, and forgotten with its workload", () => {
  const { policies, compiled } = setUp();
  policies.forOneBuild()(registration("price-1"));
  policies.changed(() => ({ ...openPolicy, defaultPolicy: "deny" }));
  assert.equal(policies.forOneBuild()(registration("price-1")).defaultPolicy, "deny");
  const before = policies.forOneBuild()(registration("price-1"));
  policies.forOneBuild();
  assert.notEqual(policies.forOneBuild()(registration("price-1")), before);
  assert.equal(compiled.length, 1);
});

it("the application's port is 0 unless it is said", () => {
  const [port] = registration("price-1").ports as [WorkloadPort];
  const target = policyTarget({ ...registration("price-1"), ports: [port, { ...port, port: 81, appPort: 8080 }] });
  assert.deepEqual(
    target.ports.map(({ port: service, appPort }) => [service, appPort]),
    [
      [80, 0],
      [81, 8080],
    ],
  );
});
