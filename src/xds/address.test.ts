import assert from "node:assert/strict";
import { describe, it } from "node:test";

import type { Endpoint } from "../model/endpoint.ts";
import { emptyMesh, type Mesh } from "../model/mesh.ts";
import { Logger } from "../telemetry/log.ts";
import { indexAddresses, parseAddressAuthority } from "./address.ts";
import { decodeCluster, decodeEndpoints, decodeListener, decodeRoutes } from "./decode.ts";
import { CLUSTER, ENDPOINTS, LISTENER, ROUTES } from "./resource-types.ts";
import { Snapshot } from "./snapshot.ts";

const quiet = new Logger({ level: "error", format: "plain", sink: { write: () => true } });

function endpoint(address: string, workload: string): Endpoint {
  return {
    address,
    port: 8080,
    workload,
    locality: { region: "", zone: "", subZone: "" },
    weight: 1,
    health: "healthy",
    labels: {},
    meshed: true,
    identity: "spiffe://cluster.local/ns/shop/sa/price",
  };
}

const one = endpoint("10.77.0.2", "price-1");
const two = endpoint("fd77:0:0::1:3", "price-2");
const mesh: Mesh = {
  ...emptyMesh,
  services: [
    {
      name: "price",
      namespace: "shop",
      ports: [{ name: "http", port: 80, protocol: "http" }],
      addresses: ["10.78.0.2", "fd77:0::2:2"],
    },
  ],
  endpoints: new Map([["price.shop:80", [one, two]]]),
};

describe("addresses as authorities", () => {
  it("are told from names, and from what is no address", () => {
    assert.deepEqual(parseAddressAuthority("10.1.2.3:80"), { address: "10.1.2.3", port: 80 });
    assert.deepEqual(parseAddressAuthority("[fd00::1]:8080"), { address: "fd00::1", port: 8080 });
    for (const other of [
      "price:80",
      "10.1.2.3",
      "10.1.2:80",
      "10.1.2.3:0",
      "10.1.2.3:65536",
      "fd00::1:80",
      "[10.1.2.3]:80",
      "[::g]:80",
      "*",
      "",
    ]) {
      assert.equal(parseAddressAuthority(other), undefined, other);
    }
  });

  it("lead to the service whose address it is, or to one endpoint, in whatever form that was registered", () => {
    const index = indexAddresses(mesh);
    assert.equal(index.get("10.78.0.2:80")?.endpoint, undefined);
    assert.equal(index.get("10.78.0.2:80")?.key, "price.shop:80");
    assert.equal(index.get("[fd77::2:2]:80")?.key, "price.shop:80");
    assert.equal(index.get("10.77.0.2:8080")?.endpoint, one);
    assert.equal(index.get("[fd77::1:3]:8080")?.endpoint, two);
    assert.equal(index.get("10.78.0.2:8080"), undefined, "the service has no such port");
  });

  it("are answered over xDS: a service's with the service, a workload's with a backend of that one alone", () => {
    const snapshot = new Snapshot(mesh, quiet);
    const bytes = (type: typeof LISTENER | typeof ROUTES | typeof CLUSTER | typeof ENDPOINTS, name: string) =>
      snapshot.get(type, name, "default")?.body.value as Uint8Array;
    const service = decodeListener(bytes(LISTENER, "10.78.0.2:80"));
    assert.deepEqual([service.name, service.routes], ["10.78.0.2:80", "price.shop:80"]);
    const name = "10.77.0.2:8080";
    const listener = decodeListener(bytes(LISTENER, name));
    assert.deepEqual([listener.routes, listener.service, listener.port.protocol], [name, "price", "http"]);
    assert.equal(decodeRoutes(bytes(ROUTES, name)).routes[0]?.backends[0]?.backend, name);
    assert.equal(decodeCluster(bytes(CLUSTER, name)).name, name);
    assert.deepEqual(decodeEndpoints(bytes(ENDPOINTS, name)).endpoints, [one]);
    assert.equal(snapshot.get(LISTENER, "192.0.2.1:80", "default"), undefined);
    assert.deepEqual([...snapshot.names()], ["price.shop:80"], "a wildcard does not stand for addresses");
  });
});
