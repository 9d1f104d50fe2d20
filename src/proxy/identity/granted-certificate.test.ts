import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { before, describe, it } from "node:test";

import { makeTestCa, type TestCa } from "../../../test/support/identity.ts";
import { fingerprint } from "../../xds/certify.ts";
import { checkGranted } from "./granted-certificate.ts";

const PRICE = "spiffe://cluster.local/ns/shop/sa/price";

describe("what the authority grants", () => {
  let ca: TestCa;
  let chain: Buffer[];
  let roots: X509Certificate[];
  let key: KeyObject;
  before(async () => {
    ca = await makeTestCa();
    const credentials = await ca.credentials(PRICE);
    chain = credentials.chain.split(/(?<=END CERTIFICATE-----\n)/).map((pem) => new X509Certificate(pem).raw);
    roots = [new X509Certificate(ca.root.certificate)];
    key = createPublicKey(createPrivateKey(credentials.key));
  });

  it("is taken when all of it fits, with who signed it", () => {
    const granted = checkGranted(chain, roots, key, PRICE);
    assert.deepEqual(granted.issuer, fingerprint(new X509Certificate(ca.issuer.certificate).raw));
    assert.equal(granted.chain.match(/BEGIN CERTIFICATE/g)?.length, 2);
  });

  it("is refused for another key, another name, by another root, or in pieces", async () => {
    const other = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey;
    const foreign = [new X509Certificate((await makeTestCa()).root.certificate)];
    const [leaf, issuer] = chain as [Buffer, Buffer];
    assert.throws(() => checkGranted(chain, roots, other, PRICE), /not for our key/);
    assert.throws(() => checkGranted(chain, roots, key, `${PRICE}2`), /not for spiffe:.*price2: it names/);
    assert.throws(() => checkGranted(chain, roots, key, PRICE.slice(0, -1)), /not for/);
    assert.throws(() => checkGranted(chain, foreign, key, PRICE), /does not descend/);
    assert.throws(() => checkGranted(chain, [], key, PRICE), /does not descend/);
    assert.throws(() => checkGranted([leaf], roots, key, PRICE), /does not descend/);
    assert.throws(() => checkGranted([leaf, leaf, issuer], roots, key, PRICE), /does not descend/);
    assert.throws(() => checkGranted([], roots, key, PRICE), /0 certificates/);
    assert.throws(() => checkGranted(Array<Buffer>(9).fill(leaf), roots, key, PRICE), /9 certificates/);
  });
});
