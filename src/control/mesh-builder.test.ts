import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { defaultMeshPolicy, type MeshFile, type MeshFilePort } from "../dialects/mesh/mesh-file.ts";
import type { PortProtocol } from "../model/service.ts";
import { openPolicy } from "../model/inbound-policy.ts";
import type { Workload, WorkloadPort } from "../model/workload.ts";
import { buildMesh as build, type BuiltMesh, type MeshSettings } from "./mesh-builder.ts";

const settings: MeshSettings = { trustDomain: "mesh.test", policyOf: () => openPolicy };

function buildMesh(files: readonly MeshFile[], workloads: readonly Workload[]): BuiltMesh {
  return build(files, workloads, settings);
}

function file(namespace: string, services: Record<string, readonly [number, PortProtocol, string?][]>): MeshFile {
  return {
    file: "/m.yaml",
    name: "m",
    namespace,
    resourcePaths: [],
    policy: defaultMeshPolicy,
    services: Object.entries(services).map(([name, ports]) => ({
      name,
      command: ["x"],
      directory: "/",
      ports: ports.map(([port, protocol, portName = `p${port}`]): MeshFilePort => ({
        name: portName,
        port,
        protocol,
        env: "PORT",
      })),
      upstreams: [],
      env: {},
      labels: {},
      instances: [{ name: `${name}-1`, env: {}, labels: {}, weight: 1 }],
      ready: "",
    })),
  };
}

function workload(name: string, ports: readonly Partial<WorkloadPort>[], more: Partial<Workload> = {}): Workload {
  return {
    name,
    namespace: "default",
    serviceAccount: "",
    labels: { version: "v1" },
    locality: { region: "", zone: "z", subZone: "" },
    weight: 2,
    health: "healthy",
    ports: ports.map((port) => ({
      service: "price",
      name: "http",
      port: 80,
      protocol: "http",
      address: "127.0.0.1",
      addressPort: 20_000,
      meshed: true,
      ...port,
    })),
    ...more,
  };
}

describe("buildMesh", () => {
  it("knows declared services without instances, and workloads without declaration", () => {
    const { mesh, warnings } = buildMesh(
      [file("shop", { cart: [[80, "http"]], worker: [] })],
      [workload("price-1", [{}])],
    );
    assert.deepEqual(warnings, []);
    assert.deepEqual(mesh.services, [
      { name: "price", namespace: "default", ports: [{ name: "http", port: 80, protocol: "http" }] },
      { name: "cart", namespace: "shop", ports: [{ name: "p80", port: 80, protocol: "http" }] },
    ]);
    assert.deepEqual(
      [...mesh.endpoints],
      [
        [
          "price.default:80",
          [
            {
              address: "127.0.0.1",
              port: 20_000,
              workload: "price-1",
              locality: { region: "", zone: "z", subZone: "" },
              weight: 2,
              health: "healthy",
              labels: { version: "v1" },
              meshed: true,
              identity: "",
            },
          ],
        ],
      ],
    );
  });

  it("lets the file win over workloads, and an earlier file over a later one, with a warning", () => {
    const files = [
      file("default", { price: [[80, "grpc", "http"]] }),
      file("default", {
        price: [
          [80, "http2"],
          [90, "http"],
        ],
      }),
    ];
    const { mesh, warnings } = buildMesh(files, [workload("price-1", [{}])]);
    assert.deepEqual(mesh.services[0]?.ports, [
      { name: "http", port: 80, protocol: "grpc" },
      { name: "p90", port: 90, protocol: "http" },
    ]);
    assert.equal(mesh.endpoints.get("price.default:80")?.length, 1);
    assert.deepEqual(warnings, [
      "/m.yaml says that price.default:80 speaks http2, but it is known as grpc, which stays",
      "workload price-1 says that price.default:80 speaks http, but it is known as grpc, which stays",
    ]);
  });

  it("gathers the addresses that a service is known by", () => {
    const { mesh } = buildMesh(
      [],
      [
        workload("price-1", [{ serviceAddresses: ["10.78.0.3", "fd77::2:2"] }]),
        workload("price-2", [{ serviceAddresses: ["10.78.0.2", "10.78.0.3"] }]),
      ],
    );
    assert.deepEqual(mesh.services[0]?.addresses, ["10.78.0.2", "10.78.0.3", "fd77::2:2"]);
  });

  it("keeps port names unique", () => {
    const { mesh, warnings } = buildMesh([], [workload("price-1", [{}, { port: 81 }])]);
    assert.deepEqual(
      mesh.services[0]?.ports.map(({ name }) => name),
      ["http", "http-81"],
    );
    assert.equal(warnings.length, 1);
  });

  it("gives an address that two claim to the later one", () => {
    const { mesh, warnings } = buildMesh([], [workload("price-9", [{}]), workload("price-1", [{}])]);
    assert.deepEqual(
      mesh.endpoints.get("price.default:80")?.map((endpoint) => endpoint.workload),
      ["price-1"],
    );
    assert.deepEqual(warnings, [
      "price-1 serves price.default:80 at 127.0.0.1:20000, where price-9 was; the later one holds",
    ]);
  });

  it("demands an identity of meshed endpoints whose workload has one, and of no others", () => {
    const { mesh } = buildMesh(
      [],
      [
        workload("price-1", [{}], { serviceAccount: "pricing" }),
        workload("price-2", [{ addressPort: 2 }]),
        workload("price-3", [{ addressPort: 3, meshed: false }], { serviceAccount: "pricing" }),
      ],
    );
    assert.deepEqual(
      mesh.endpoints.get("price.default:80")?.map(({ identity }) => identity),
      ["spiffe://mesh.test/ns/default/sa/pricing", "", ""],
    );
  });

  it("has a policy for each workload", () => {
    const deny = { ...openPolicy, defaultPolicy: "deny" as const };
    const policyOf: MeshSettings["policyOf"] = ({ name }) => (name === "b" ? deny : openPolicy);
    const { mesh } = build([], [workload("b", []), workload("a", [], { namespace: "shop" })], {
      ...settings,
      policyOf,
    });
    assert.deepEqual(
      [...mesh.inboundPolicies],
      [
        ["default/b", deny],
        ["shop/a", openPolicy],
      ],
    );
  });

  it("does not depend on the order in which workloads came, as long as they do not contradict each other", () => {
    const one = fc.record({
      name: fc.constantFrom("a", "b", "c", "d", "e"),
      service: fc.constantFrom("x", "y"),
      port: fc.nat(3),
    });
    fc.assert(
      fc.property(fc.uniqueArray(one, { selector: ({ name }) => name }), (some) => {
        const workloads = some.map(({ name, service, port }, i) =>
          workload(name, [{ service, port: port + 1, name: `p${port}`, addressPort: i + 1 }]),
        );
        assert.deepEqual(buildMesh([], workloads), buildMesh([], workloads.toReversed()));
      }),
    );
  });
});
