import assert from "node:assert/strict";
import { join, resolve } from "node:path";
import { describe, it } from "node:test";
import { defaultMeshPolicy, type MeshFile, type MeshFileService } from "../../dialects/mesh/mesh-file.ts";
import type { PortProtocol } from "../../model/service.ts";
import { plain } from "../output.ts";
import { matchesGolden } from "../testing/golden.ts";
import { greeting, heddleWord } from "./greeting.ts";

function service(name: string, protocol: PortProtocol, upstreams: readonly string[] = []): MeshFileService {
  return {
    name,
    command: ["serve"],
    directory: "/",
    ports: [{ name: "http", port: 80, protocol, env: "PORT" }],
    upstreams,
    env: {},
    labels: {},
    instances: [{ name: `${name}-1`, env: {}, labels: {} }],
    ready: "",
  };
}

function at(port: number): { host: string; port: number } {
  return { host: "127.0.0.1", port };
}

function greet(api: number, ...services: MeshFileService[]): string {
  const mesh: MeshFile = {
    file: "/mesh.yaml",
    name: "shop",
    namespace: "default",
    services,
    resourcePaths: [],
    policy: defaultMeshPolicy,
  };
  const addresses = { api: at(api), xds: at(4181), outbound: at(4140), admin: at(4191) };
  return greeting({ mesh, addresses, heddle: "heddle", seconds: 1.84 }, plain);
}

describe("the greeting", () => {
  it("names the service that nobody else calls", () => {
    const text = greet(4180, service("price", "http"), service("gateway", "http", ["price.default:80"]));
    matchesGolden("output/up-greeting.txt", text);
  });

  it("leaves out what cannot be called with curl, and says where the control plane is", () => {
    const text = greet(4999, service("price", "grpc"));
    assert.doesNotMatch(text, /curl/);
    assert.match(text, /heddle stat -w --control 127\.0\.0\.1:4999/);
    assert.ok(text.split("\n").length <= 7);
  });

  it("calls Heddle as its user can", () => {
    const clone = resolve(import.meta.dirname, "../../..");
    assert.equal(heddleWord(clone, "/usr/bin"), "bin/heddle");
    assert.equal(heddleWord("/", "/usr/bin"), join(clone, "bin/heddle").slice(1));
    assert.equal(heddleWord(import.meta.dirname, "/usr/bin"), join(clone, "bin/heddle"));
    assert.equal(heddleWord(import.meta.dirname, `/usr/bin:${join(clone, "bin")}`), "heddle");
  });
});
