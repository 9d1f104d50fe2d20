import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { defaultBackendPolicy } from "../model/backend-policy.ts";
import { openPolicy } from "../model/inbound-policy.ts";
import { decodeInboundPolicy } from "./decode-policy.ts";
import { decodeCluster, decodeEndpoints, decodeRoutes } from "./decode.ts";
import { CLUSTER, ENDPOINTS, INBOUND_POLICY, LISTENER, type ResourceType, ROUTES } from "./resource-types.ts";
import { type EncodedResource, Snapshot } from "./snapshot.ts";
import { memoryLogger } from "./testing/served-mesh.ts";
import { endpointAt, routeTo, world } from "./testing/worlds.ts";

const P = "price.default:80";

function get(snapshot: Snapshot, type: ResourceType, name: string): EncodedResource {
  const resource = snapshot.get(type, name, "default");
  assert.ok(resource, `no ${name}`);
  return resource;
}

describe("Snapshot", () => {
  const { logger, lines } = memoryLogger();

  it("has four resources for each service port, with defaults where the mesh says nothing", () => {
    const snapshot = new Snapshot(world({ price: ["10.0.0.1"] }), logger);
    assert.deepEqual([...snapshot.names()], [P]);
    assert.equal(decodeRoutes(get(snapshot, ROUTES, P).body.value).routes[0]?.name, "default");
    assert.deepEqual(decodeCluster(get(snapshot, CLUSTER, P).body.value).policy, defaultBackendPolicy);
    assert.equal(decodeEndpoints(get(snapshot, ENDPOINTS, P).body.value).endpoints.length, 1);
    assert.equal(get(snapshot, LISTENER, "price").name, "price");
    assert.equal(snapshot.get(CLUSTER, "price", "default"), undefined, "only Listeners have other names");
    assert.equal(snapshot.get(LISTENER, "nobody", "default"), undefined);
  });

  it("encodes once, however many ask", () => {
    const snapshot = new Snapshot(world({ price: ["10.0.0.1"] }), logger);
    assert.equal(get(snapshot, ENDPOINTS, P), get(snapshot, ENDPOINTS, P));
    assert.notEqual(get(snapshot, LISTENER, "price"), get(snapshot, LISTENER, "price.default"));
  });

  it("takes over from the mesh before what was made of the same objects", () => {
    const mesh = world({ price: ["10.0.0.1"], product: ["10.0.0.2"] }, { [P]: [routeTo(P)] });
    const before = new Snapshot(mesh, logger);
    for (const type of [ROUTES, CLUSTER, LISTENER, ENDPOINTS] as const) get(before, type, P);
    const after = new Snapshot({ ...mesh, endpoints: new Map([[P, [endpointAt("10.0.0.9")]]]) }, logger, before);
    const others: ResourceType[] = [ROUTES, CLUSTER, LISTENER];
    for (const type of others) assert.equal(get(after, type, P), get(before, type, P), type);
    assert.notEqual(get(after, ENDPOINTS, P).version, get(before, ENDPOINTS, P).version);
    const renamed = {
      ...mesh,
      services: mesh.services.map((service) => ({
        ...service,
        ports: [{ name: "web", port: 80, protocol: "http2" as const }],
      })),
    };
    assert.notEqual(get(new Snapshot(renamed, logger, before), LISTENER, P).version, get(before, LISTENER, P).version);
  });

  it("has the policy of each workload, under its own name only", () => {
    const inboundPolicies = new Map([["shop/price-1", openPolicy]]);
    const snapshot = new Snapshot({ ...world({ price: [] }), inboundPolicies }, logger);
    const policy = get(snapshot, INBOUND_POLICY, "shop/price-1");
    assert.deepEqual(decodeInboundPolicy(policy.body.value), { name: "shop/price-1", policy: openPolicy });
    for (const name of ["price-1", "shop/price-2", "default/price-1", P]) {
      assert.equal(snapshot.get(INBOUND_POLICY, name, "shop"), undefined);
    }
    assert.equal(snapshot.get(LISTENER, "shop/price-1", "shop"), undefined);
  });

  it("keeps a resource as it was when the new one cannot be encoded, and says so", () => {
    const before = new Snapshot(world({ price: ["10.0.0.1"] }), logger);
    const good = get(before, ENDPOINTS, P);
    const broken = { ...world({ price: [] }), endpoints: new Map([[P, [{ ...endpointAt("10.0.0.1"), weight: -1 }]]]) };
    const after = new Snapshot(broken, logger, before);
    assert.equal(get(after, ENDPOINTS, P), good);
    assert.equal(new Snapshot(broken, logger).get(ENDPOINTS, P, "default"), undefined);
    assert.ok(lines.some((line) => line.includes("cannot be encoded") && line.includes(P)));
  });
});
