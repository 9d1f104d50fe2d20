/** Every case of the matrix, asked of `heddle authz explain`: it says what the sidecar does, and what would change it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { explain, type ExplainRequest } from "../../src/control/authz/explain.ts";
import type { World } from "../../src/control/authz/resolve.ts";
import { SUGGESTIONS_MAX } from "../../src/control/authz/would-change.ts";
import type { Registration } from "../../src/control/sources/registration.ts";
import { compileInboundPolicy } from "../../src/dialects/compile-inbound.ts";
import { parseResources } from "../../src/dialects/registry.ts";
import { resourceSet } from "../../src/dialects/resource-set.ts";
import { defaultPolicySettings } from "../../src/dialects/target.ts";
import { emptyMesh } from "../../src/model/mesh.ts";
import { workloadKey } from "../../src/model/workload.ts";
import { AUTHZ_GROUPS } from "./cases/all.ts";
import { type AuthzCall, type AuthzGroup, PRICE } from "./cases/case.ts";

function worldOf({ documents, target = PRICE, defaultPolicy, providers = [] }: AuthzGroup): World {
  const { resources } = resourceSet(parseResources(documents, "case.yaml").resources);
  const policy = compileInboundPolicy(resources, target, {
    ...defaultPolicySettings,
    defaultPolicy: defaultPolicy ?? defaultPolicySettings.defaultPolicy,
    providers: providers.map((name) => ({ name, address: "127.0.0.1:1", timeoutMs: 100, failOpen: false })),
  });
  const { name, namespace, labels, serviceAccount } = target;
  const registration: Registration = {
    name,
    namespace,
    labels,
    serviceAccount,
    locality: { region: "", zone: "", subZone: "" },
    weight: 1,
    health: "healthy",
    ports: target.ports.map((port) => {
      return { ...port, protocol: "detect", address: "127.0.0.1", addressPort: 1, meshed: true };
    }),
    admin: "",
    outbound: "",
    upstreams: [],
    ttlSeconds: 5,
  };
  return {
    mesh: { ...emptyMesh, inboundPolicies: new Map([[workloadKey(target), policy]]) },
    registrations: [registration],
    trustDomain: "cluster.local",
    certified: new Map(),
  };
}

function questionOf({ from, address = "127.0.0.1", ...call }: AuthzCall, to: string): ExplainRequest {
  const { port, protocol = "http", method, path, host = "price.shop", headers = [], jwt } = call;
  const tcp = protocol === "tcp";
  return {
    from: from === "" ? address : from,
    to,
    namespace: "default",
    port: port ?? 80,
    method,
    path,
    host: tcp ? undefined : host,
    headers,
    claims: jwt,
    plaintext: false,
    address,
    tcp,
  };
}

describe("authz explain, of every case", () => {
  for (const group of AUTHZ_GROUPS) {
    describe(`${group.dialect}: ${group.name}`, () => {
      const world = worldOf(group);
      const { name, namespace } = group.target ?? PRICE;
      for (const { name: what, call, verdict, by, external = [] } of group.cases) {
        it(`${verdict}: ${what}`, () => {
          const { allowed, verdicts } = explain(questionOf(call, `${name}.${namespace}`), world);
          const [only, more] = verdicts;
          assert.ok(only !== undefined && more === undefined);
          assert.equal(allowed ? "allowed" : "denied", verdict, only.reason);
          const kind = only.by.kind.slice(only.by.kind.lastIndexOf("/") + 1);
          assert.equal(`${kind}/${only.by.name}`, by);
          assert.deepEqual(only.asks, external);
          if (kind !== "default")
            assert.ok(only.by.file === "case.yaml" && only.by.line > 0, "says where it is written");
          assert.ok(only.suggestions.length <= SUGGESTIONS_MAX);
          if (!allowed) assert.ok(only.suggestions.length > 0, "says what would change it");
        });
      }
    });
  }
});
