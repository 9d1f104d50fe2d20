import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { emptyMesh } from "../model/mesh.ts";
import type { Service } from "../model/service.ts";
import { indexServices, resolveAuthority } from "./authority.ts";

const price: Service = {
  name: "price",
  namespace: "default",
  ports: [
    { name: "http", port: 80, protocol: "http" },
    { name: "grpc", port: 9090, protocol: "grpc" },
  ],
};
const other: Service = { name: "price", namespace: "shop", ports: [{ name: "http", port: 8080, protocol: "http" }] };
const services = indexServices({ ...emptyMesh, services: [price, other] });

const resolve = (authority: string, namespace = "default"): string | undefined =>
  resolveAuthority(services, authority, namespace);

describe("resolveAuthority", () => {
  it("looks a bare name up in the caller's namespace", () => {
    assert.equal(resolve("price"), "price.default:80");
    assert.equal(resolve("price", "shop"), "price.shop:8080");
    assert.equal(resolve("price", "elsewhere"), undefined);
  });

  it("knows every longer form", () => {
    for (const form of [
      "price.shop",
      "price.shop.svc",
      "price.shop.svc.cluster.local",
      "price.shop.svc.cluster.local.",
    ]) {
      assert.equal(resolve(form), "price.shop:8080", form);
      assert.equal(resolve(`${form}:8080`), "price.shop:8080", form);
    }
  });

  it("takes the port that is named, and the first otherwise", () => {
    assert.equal(resolve("price:9090"), "price.default:9090");
    assert.equal(resolve("price.default:80"), "price.default:80");
    assert.equal(resolve("price:81"), undefined);
  });

  it("knows nothing else", () => {
    const strangers = [
      "",
      ".",
      "price.",
      "price..shop",
      "price:",
      "price:0",
      "price:080",
      "price:65536",
      "price:999999",
      "Price",
      "price.shop.example.com",
      "price.shop.svc.example.com",
      "10.0.0.1",
      "[::1]:80",
      "price@shop",
      "price:80:80",
      "a".repeat(64),
      "-price",
      "price\n",
      "unknown",
    ];
    for (const stranger of strangers) assert.equal(resolve(stranger), undefined, JSON.stringify(stranger));
  });

  it("is quick on long garbage", () => {
    const started = performance.now();
    assert.equal(resolve(`${"a-".repeat(50_000)}!`), undefined);
    assert.ok(performance.now() - started < 100);
  });
});
