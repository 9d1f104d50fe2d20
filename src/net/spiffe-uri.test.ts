import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { describe, it } from "node:test";

import { makeTestCa } from "../../test/support/identity.ts";
import { spiffeUri } from "./spiffe-uri.ts";

const ID = "spiffe://cluster.local/ns/shop/sa/price";

describe("spiffeUri", () => {
  it("finds the one SPIFFE id among other names", () => {
    assert.equal(spiffeUri(`URI:${ID}`), ID);
    assert.equal(spiffeUri(`DNS:price.shop, URI:${ID}, IP Address:10.0.0.1`), ID);
  });

  it("finds none where there is none, or more than one URI", () => {
    assert.equal(spiffeUri(undefined), undefined);
    for (const names of ["", "DNS:price", "URI:https://price", `URI:${ID}, URI:${ID}`, `URI:${ID}, URI:https://a`]) {
      assert.equal(spiffeUri(names), undefined, names);
    }
  });

  it("is not misled by what stands inside of another name", async () => {
    const ca = await makeTestCa();
    const attempts = [
      { uris: [], dnsNames: [`x, URI:${ID}`] },
      { uris: [], dnsNames: [`x", URI:${ID}, DNS:"`] },
      { uris: [`https://x, URI:${ID}`], dnsNames: [] },
      { uris: [`https://x", URI:${ID}`], dnsNames: [] },
    ];
    for (const over of attempts) {
      const names = new X509Certificate((await ca.credentials(ID, over)).chain).subjectAltName;
      assert.ok(names?.includes(ID), names ?? "none");
      assert.equal(spiffeUri(names), undefined, names ?? "none");
    }
  });
});
