import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { defaultProtocol, OPAQUE_PORTS, parsePortKey, PORT_PROTOCOLS, portKey, portProtocol } from "./service.ts";

describe("portKey", () => {
  it("is taken apart by parsePortKey", () => {
    const key = portKey({ name: "price", namespace: "shop" }, 80);
    assert.equal(key, "price.shop:80");
    assert.deepEqual(parsePortKey(key), { name: "price", namespace: "shop", port: 80 });
  });
});

describe("the protocol of a port", () => {
  it("is opaque on Linkerd's ports and to be detected on all others, if nobody says it", () => {
    const opaque = Array.from({ length: 65_535 }, (_, i) => i + 1).filter((port) => defaultProtocol(port) === "opaque");
    assert.deepEqual(opaque, [25, 587, 3306, 4444, 5432, 6379, 9300, 11211]);
    assert.deepEqual(opaque, OPAQUE_PORTS);
    assert.equal(defaultProtocol(80), "detect");
  });

  it("is known by our names and by appProtocol", () => {
    for (const name of PORT_PROTOCOLS) assert.equal(portProtocol(name), name);
    assert.equal(portProtocol("kubernetes.io/h2c"), "http2");
    assert.equal(portProtocol("linkerd.io/opaque"), "opaque");
    assert.equal(portProtocol("linkerd.io/tcp"), "opaque");
    for (const text of ["", "HTTP", "smtp", "constructor", "__proto__"]) assert.equal(portProtocol(text), undefined);
  });
});

describe("parsePortKey", () => {
  it("refuses what is no key, and says what it got", () => {
    for (const text of [
      "",
      "price",
      "price.shop",
      "price:80",
      "a.b.c:80",
      "price.shop:",
      "price.shop:x",
      "price.shop:123456",
      ".shop:80",
    ]) {
      assert.throws(() => parsePortKey(text), { message: new RegExp(`"${text.replaceAll(".", "\\.")}"$`) });
    }
  });
});
