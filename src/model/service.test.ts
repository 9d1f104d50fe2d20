import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { parsePortKey, portKey } from "./service.ts";

describe("portKey", () => {
  it("is taken apart by parsePortKey", () => {
    const key = portKey({ name: "price", namespace: "shop" }, 80);
    assert.equal(key, "price.shop:80");
    assert.deepEqual(parsePortKey(key), { name: "price", namespace: "shop", port: 80 });
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
