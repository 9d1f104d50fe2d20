import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { defaultBackendPolicy } from "../model/backend-policy.ts";
import { emptyMesh, type Mesh } from "../model/mesh.ts";
import { defaultRoute } from "../model/route.ts";
import { parsePortKey, portKey, type Service } from "../model/service.ts";
import { decodeInboundPolicy } from "./decode-policy.ts";
import { decodeCluster, decodeEndpoints, decodeListener, decodeRoutes } from "./decode.ts";
import { encodeInboundPolicy } from "./encode-policy.ts";
import { encodeCluster, encodeEndpoints, encodeListener, encodeRoutes } from "./encode.ts";
import { arbitraryEndpoints, arbitraryMesh } from "./testing/arbitraries.ts";
import { arbitraryPolicy } from "./testing/arbitrary-policy.ts";

/** Every resource of a mesh. */
function encodeMesh(mesh: Mesh): Uint8Array[][] {
  return mesh.services.flatMap((service) =>
    service.ports.map((port) => {
      const key = portKey(service, port.port);
      return [
        encodeListener(key, key, service, port),
        encodeRoutes(key, mesh.routes.get(key) ?? [defaultRoute(key)]),
        encodeCluster(key, mesh.policies.get(key) ?? defaultBackendPolicy),
        encodeEndpoints(key, mesh.endpoints.get(key) ?? []),
      ];
    }),
  );
}

/** The mesh that they stand for, with defaults left out. */
function decodeMesh(resources: readonly (readonly Uint8Array[])[]): Mesh {
  const services = new Map<string, Service>();
  const mesh = { ...emptyMesh, endpoints: new Map(), routes: new Map(), policies: new Map() };
  for (const [first, second, third, fourth] of resources) {
    assert.ok(first && second && third && fourth);
    const listener = decodeListener(first);
    const { service: name, namespace, port } = listener;
    const before = services.get(`${name}.${namespace}`);
    services.set(`${name}.${namespace}`, { name, namespace, ports: [...(before?.ports ?? []), port] });
    const key = listener.routes;
    assert.equal(key, portKey({ name, namespace }, port.port));
    assert.deepEqual(parsePortKey(key), { name, namespace, port: port.port });
    const routes = decodeRoutes(second);
    const cluster = decodeCluster(third);
    const endpoints = decodeEndpoints(fourth);
    assert.deepEqual([routes.name, cluster.name, endpoints.name], [key, key, key]);
    if (!equal(routes.routes, [defaultRoute(key)])) mesh.routes.set(key, routes.routes);
    if (!equal(cluster.policy, defaultBackendPolicy)) mesh.policies.set(key, cluster.policy);
    if (endpoints.endpoints.length > 0) mesh.endpoints.set(key, endpoints.endpoints);
  }
  return { ...mesh, services: [...services.values()] };
}

function equal(a: unknown, b: unknown): boolean {
  try {
    assert.deepStrictEqual(a, b);
    return true;
  } catch {
    return false;
  }
}

describe("encode and decode", () => {
  it("give back every mesh as it was", () => {
    fc.assert(fc.property(arbitraryMesh, (mesh) => assert.deepStrictEqual(decodeMesh(encodeMesh(mesh)), mesh)));
  });

  it("give back every policy as it was", () => {
    fc.assert(
      fc.property(arbitraryPolicy, (policy) => {
        const decoded = decodeInboundPolicy(encodeInboundPolicy("shop/price-1", policy));
        assert.deepStrictEqual(decoded, { name: "shop/price-1", policy });
      }),
    );
  });

  it("give the same bytes for the same endpoints in whatever order", () => {
    const shuffled = arbitraryEndpoints.chain((endpoints) =>
      fc.tuple(
        fc.constant(endpoints),
        fc
          .shuffledSubarray(endpoints, { minLength: endpoints.length })
          .map((list) =>
            list.map((item) => ({ ...item, labels: Object.fromEntries(Object.entries(item.labels).toReversed()) })),
          ),
      ),
    );
    fc.assert(
      fc.property(shuffled, ([endpoints, other]) =>
        assert.deepEqual(encodeEndpoints("a.b:1", other), encodeEndpoints("a.b:1", endpoints)),
      ),
    );
  });
});
