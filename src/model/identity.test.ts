import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { isLinkerdName, linkerdName, parseSpiffeId, spiffeId } from "./identity.ts";

const price = { trustDomain: "cluster.local", namespace: "shop", serviceAccount: "price" };

describe("an identity", () => {
  it("is written as SPIFFE and as Linkerd write it", () => {
    assert.equal(spiffeId(price), "spiffe://cluster.local/ns/shop/sa/price");
    assert.equal(linkerdName(price), "price.shop.serviceaccount.identity.linkerd.cluster.local");
  });

  it("is told by its name to be one of a sidecar", () => {
    assert.equal(isLinkerdName(linkerdName(price)), true);
    for (const text of ["", "price.shop.svc.cluster.local", "serviceaccount.identity.linkerd"]) {
      assert.equal(isLinkerdName(text), false, text);
    }
  });

  it("is read back from its SPIFFE id", () => {
    assert.deepEqual(parseSpiffeId(spiffeId(price)), price);
  });

  it("is none if it has another form", () => {
    for (const text of [
      "",
      "spiffe://",
      "spiffe://cluster.local",
      "spiffe://cluster.local/ns/shop",
      "spiffe://cluster.local/ns/shop/sa/",
      "spiffe://cluster.local/ns/shop/sa/price/x",
      "spiffe://cluster.local/ns/a/b/sa/price",
      "spiffe://Cluster.Local/ns/shop/sa/price",
      "https://cluster.local/ns/shop/sa/price",
      "spiffe://cluster.local/ns/shop/sa/price\n",
    ]) {
      assert.equal(parseSpiffeId(text), undefined, JSON.stringify(text));
    }
  });
});
