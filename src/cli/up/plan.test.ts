import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  allocatePorts,
  registrationOf,
  releasePorts,
  serviceEnvironment,
  sidecarConfig,
  upstreamVariable,
  type InstanceDefinition,
  type InstancePorts,
} from "./plan.ts";
import { PortAllocator } from "./ports.ts";

const definition: InstanceDefinition = {
  namespace: "shop",
  service: {
    name: "price",
    command: ["node", "price.ts"],
    directory: "/work/shop",
    ports: [
      { name: "http", port: 80, protocol: "http", env: "PORT" },
      { name: "grpc", port: 90, protocol: "grpc", env: "PORT_GRPC" },
    ],
    upstreams: ["product", "price-list.warehouse:8080"],
    env: { CURRENCY: "EUR", HEDDLE_WORKLOAD: "mine" },
    labels: { team: "money", version: "1" },
    ready: "/healthz",
  },
  instance: { name: "price-2", env: { CURRENCY: "CHF" }, labels: { version: "2" } },
};

const ports: InstancePorts = {
  ports: definition.service.ports.map((port, index) => ({
    definition: port,
    app: 1000 + index,
    inbound: 2000 + index,
  })),
  upstreams: definition.service.upstreams.map((authority, index) => ({ authority, port: 3000 + index })),
  outbound: 4000,
  admin: 5000,
};

describe("the plan of an instance", () => {
  it("gives its sidecar every listener", () => {
    const xds = { host: "127.0.0.1", port: 4181 };
    const config = sidecarConfig(definition, ports, { xds }, { logLevel: "warn", shutdownGraceMs: 4_000 });
    assert.deepEqual(config.inbound[1], {
      listen: { host: "127.0.0.1", port: 2001 },
      target: { host: "127.0.0.1", port: 1001 },
      service: "price",
      port: 90,
      protocol: "grpc",
    });
    assert.deepEqual(config.upstreams[1], {
      authority: "price-list.warehouse:8080",
      listen: { host: "127.0.0.1", port: 3001 },
    });
    assert.deepEqual([config.outbound?.port, config.admin.port, config.control], [4000, 5000, xds]);
    assert.deepEqual([config.workload, config.namespace, config.service], ["price-2", "shop", "price"]);
  });

  it("gives its program the variables, and the mesh file the last word", () => {
    assert.deepEqual(serviceEnvironment(definition, ports), {
      HEDDLE_WORKLOAD: "mine",
      HEDDLE_HTTP_PROXY: "http://127.0.0.1:4000",
      HEDDLE_NODE: process.execPath,
      PORT: "1000",
      PORT_GRPC: "1001",
      HEDDLE_UPSTREAM_PRODUCT: "127.0.0.1:3000",
      HEDDLE_UPSTREAM_PRICE_LIST_WAREHOUSE_8080: "127.0.0.1:3001",
      CURRENCY: "CHF",
    });
  });

  it("registers the sidecar's inbound listeners as the way in", () => {
    const registration = registrationOf(definition, ports, "healthy");
    assert.deepEqual(registration.ports[0], {
      service: "price",
      name: "http",
      port: 80,
      protocol: "http",
      address: "127.0.0.1",
      addressPort: 2000,
      meshed: true,
    });
    assert.deepEqual(registration.labels, { team: "money", version: "2" });
    assert.deepEqual([registration.admin, registration.ttlSeconds], ["127.0.0.1:5000", 15]);
  });

  it("names upstream variables as a shell can", () => {
    assert.equal(upstreamVariable("price-grpc.shop"), "HEDDLE_UPSTREAM_PRICE_GRPC_SHOP");
  });

  it("takes eight different ports and gives them back", async () => {
    const allocator = new PortAllocator(30_000);
    const first = await allocatePorts(definition, allocator);
    const numbers = [
      ...first.ports.flatMap(({ app, inbound }) => [app, inbound]),
      ...first.upstreams.map(({ port }) => port),
      first.outbound,
      first.admin,
    ];
    assert.equal(new Set(numbers).size, 8);
    releasePorts(first, allocator);
    assert.deepEqual(await allocatePorts(definition, allocator), first);
  });

  it("leaves the program's port alone if it is given", async () => {
    const { ports: given } = await allocatePorts(definition, new PortAllocator(30_000), [3000]);
    assert.equal(given[0]?.app, 3000);
  });
});
