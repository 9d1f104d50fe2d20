import assert from "node:assert/strict";
import { it } from "node:test";

import { emptyResourceSet } from "../dialects/resource-index.ts";
import { resourceSet } from "../dialects/resource-set.ts";
import { parseResources } from "../dialects/registry.ts";
import { defaultPolicySettings } from "../dialects/target.ts";
import type { WorkloadPort } from "../model/workload.ts";
import { Policies, policyTarget } from "./policies.ts";
import type { PolicyBasis } from "./sources/resource-source.ts";
import { recordingLogger } from "./testing/logger.ts";
import { registration } from "./testing/registration.ts";

const basis: PolicyBasis = { resources: emptyResourceSet, settings: defaultPolicySettings };

function documents(text: string): PolicyBasis {
  const { resources, diagnostics } = parseResources(text, "/policy.yaml");
  assert.deepEqual(diagnostics, []);
  return { ...basis, resources: resourceSet(resources).resources };
}

const strict = documents(`
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default }
spec: { mtls: { mode: STRICT } }
`);

it("a policy is compiled once for as long as its workload stays the same in what matters", () => {
  const policies = new Policies(recordingLogger().logger);
  const first = policies.forOneBuild(basis)(registration("price-1"));
  assert.equal(policies.forOneBuild(basis)(registration("price-1", { health: "unhealthy", weight: 7 })), first);
  assert.notEqual(policies.forOneBuild(basis)(registration("price-1", { labels: { app: "cost" } })), first);
});

it("a policy is compiled anew when the documents have changed, and forgotten with its workload", () => {
  const policies = new Policies(recordingLogger().logger);
  const before = policies.forOneBuild(basis)(registration("price-1"));
  assert.equal(before?.tls.mode, "permissive");
  assert.equal(policies.forOneBuild(strict)(registration("price-1"))?.tls.mode, "strict");
  assert.equal(policies.forOneBuild(basis)(registration("price-1"))?.tls.mode, "permissive");
  policies.forOneBuild(basis);
  assert.notEqual(policies.forOneBuild(basis)(registration("price-1")), before);
});

it("there is no policy before the documents are known", () => {
  assert.equal(new Policies(recordingLogger().logger).forOneBuild(undefined)(registration("price-1")), undefined);
});

it("the last policy stays if the next one cannot be made, and the log says why", () => {
  const { logger, lines } = recordingLogger();
  const policies = new Policies(logger);
  const broken = { ...basis, settings: { ...defaultPolicySettings, clusterNetworks: ["nowhere"] } };
  assert.equal(policies.forOneBuild(broken)(registration("price-1")), undefined);
  const good = policies.forOneBuild(strict)(registration("price-1"));
  assert.deepEqual(policies.problems, []);
  assert.equal(policies.forOneBuild(broken)(registration("price-1")), good);
  assert.match(policies.problems.join(), /^default\/price-1: .*nowhere/);
  assert.equal(policies.forOneBuild(broken)(registration("price-1")), good);
  assert.equal(policies.problems.length, 1, "it is still so when nothing has changed");
  assert.equal(lines.filter((line) => line.includes("cannot be made") && line.includes("default/price-1")).length, 2);
});

it("a workload without a label app counts as having its service", () => {
  assert.deepEqual(policyTarget(registration("price-1", { labels: { version: "2" } })).labels, {
    app: "price",
    version: "2",
  });
  assert.deepEqual(policyTarget(registration("price-1", { labels: { app: "cost" } })).labels, { app: "cost" });
  assert.deepEqual(policyTarget(registration("keyboard", { ports: [] })).labels, {});
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
