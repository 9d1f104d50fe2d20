import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";

import { makeTestCa, type TestCa } from "../../../test/support/identity.ts";
import { needs } from "../../../test/support/peers.ts";
import { makeCross, makeIssuer, makeLeaf, makeRoot } from "./certificates.ts";

const run = promisify(execFile);
const PRICE = "spiffe://cluster.local/ns/shop/sa/price";
const HOUR_MS = 3_600_000;

describe("certificates", () => {
  let folder: string;
  let ca: TestCa;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "heddle-certificates-"));
    ca = await makeTestCa();
  });
  after(() => rm(folder, { recursive: true }));

  const openssl = async (...words: string[]): Promise<string> => (await run("openssl", words, { cwd: folder })).stdout;

  /** @param chain a file with the leaf first */
  function verify(roots: string, chain: string): Promise<string> {
    return openssl("verify", "-x509_strict", "-CAfile", roots, "-untrusted", chain, chain);
  }

  it("openssl verifies a leaf as server and as client", needs("openssl"), async () => {
    const { chain } = await ca.credentials(PRICE);
    await writeFile(join(folder, "root.pem"), ca.anchors);
    await writeFile(join(folder, "chain.pem"), chain);
    for (const purpose of ["sslserver", "sslclient"]) {
      const words = [
        "-x509_strict",
        "-purpose",
        purpose,
        "-CAfile",
        "root.pem",
        "-untrusted",
        "chain.pem",
        "chain.pem",
      ];
      assert.match(await openssl("verify", ...words), /OK/);
    }
  });

  it("has the names and usages of an X.509-SVID", needs("openssl"), async () => {
    const { chain } = await ca.credentials(PRICE);
    await writeFile(join(folder, "chain.pem"), chain);
    const text = await openssl("x509", "-in", "chain.pem", "-noout", "-text");
    assert.match(
      text,
      /Subject Alternative Name: critical\s+URI:spiffe:\/\/cluster\.local\/ns\/shop\/sa\/price, DNS:price/,
    );
    assert.match(text, /DNS:price\.shop\.serviceaccount\.identity\.linkerd\.cluster\.local\n/);
    assert.match(text, /Key Usage: critical\s+Digital Signature\n/);
    assert.match(text, /TLS Web Server Authentication, TLS Web Client Authentication/);
    assert.match(text, /Basic Constraints: critical\s+CA:FALSE/);
    assert.match(text, /Authority Key Identifier/);
  });

  it("an issuer signs leaves only", needs("openssl"), async () => {
    const text = await (async () => {
      await writeFile(join(folder, "issuer.pem"), ca.issuer.certificate);
      return openssl("x509", "-in", "issuer.pem", "-noout", "-text");
    })();
    assert.match(text, /Basic Constraints: critical\s+CA:TRUE, pathlen:0/);
    assert.match(text, /Key Usage: critical\s+Certificate Sign, CRL Sign/);
  });

  it("the root of another authority does not verify", needs("openssl"), async () => {
    const { chain } = await ca.credentials(PRICE);
    await writeFile(join(folder, "other.pem"), (await makeTestCa()).anchors);
    await writeFile(join(folder, "chain.pem"), chain);
    await assert.rejects(
      openssl("verify", "-CAfile", "other.pem", "-untrusted", "chain.pem", "chain.pem"),
      /unable to get/,
    );
  });

  it("a root that another has certified is followed from either, by openssl", needs("openssl"), async () => {
    const next = await makeTestCa();
    const validity = { notBefore: Date.now() - 60_000, notAfter: Date.now() + HOUR_MS };
    const cross = await makeCross(next.root.certificate, ca.root, validity);
    const { chain } = await next.credentials(PRICE);
    await writeFile(join(folder, "old.pem"), ca.anchors);
    await writeFile(join(folder, "new.pem"), next.anchors);
    await writeFile(join(folder, "both.pem"), ca.anchors + next.anchors);
    await writeFile(join(folder, "plain.pem"), chain);
    await writeFile(join(folder, "crossed.pem"), chain + cross);
    for (const roots of ["old.pem", "new.pem", "both.pem"]) assert.match(await verify(roots, "crossed.pem"), /OK/);
    await assert.rejects(verify("old.pem", "plain.pem"), /unable to get/);
    const made = new X509Certificate(cross);
    assert.ok(made.ca);
    assert.equal(made.subject, new X509Certificate(next.root.certificate).subject);
    assert.ok(made.publicKey.equals(new X509Certificate(next.root.certificate).publicKey));
    assert.ok(made.checkIssued(new X509Certificate(ca.root.certificate)));
  });

  it("two roots made one after the other have different names, keys and serial numbers", async () => {
    const other = new X509Certificate((await makeTestCa()).root.certificate);
    const one = new X509Certificate(ca.root.certificate);
    assert.notEqual(one.subject, other.subject);
    assert.notEqual(one.serialNumber, other.serialNumber);
    assert.ok(!one.publicKey.equals(other.publicKey));
  });

  for (const [name, key] of [
    ["P-384", () => generateKeyPairSync("ec", { namedCurve: "P-384" })],
    ["RSA", () => generateKeyPairSync("rsa", { modulusLength: 2048 })],
    ["Ed25519", () => generateKeyPairSync("ed25519")],
  ] as const) {
    it(`signs with an issuer's key of the kind ${name}`, needs("openssl"), async () => {
      const { privateKey } = key();
      await writeFile(join(folder, "given.key"), privateKey.export({ type: "pkcs8", format: "pem" }));
      const config = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"];
      const request = ["req", "-x509", "-new", "-key", "given.key", "-subj", "/CN=given", "-days", "1", ...config];
      const certificate = await openssl(...request);
      const workload = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const leaf = await makeLeaf(
        { certificate, key: privateKey.export({ type: "pkcs8", format: "pem" }) },
        workload.publicKey.export({ type: "spki", format: "der" }),
        { uris: [PRICE], dnsNames: [] },
        { notBefore: Date.now() - 20_000, notAfter: Date.now() + HOUR_MS },
      );
      await writeFile(join(folder, "given.pem"), certificate);
      await writeFile(join(folder, "leaf.pem"), leaf);
      assert.match(await openssl("verify", "-CAfile", "given.pem", "leaf.pem"), /OK/);
    });
  }

  it("refuses a key that cannot sign certificates", async () => {
    const { privateKey } = generateKeyPairSync("x25519");
    const root = await makeRoot({ notBefore: Date.now(), notAfter: Date.now() + HOUR_MS });
    const wrong = { ...root, key: privateKey.export({ type: "pkcs8", format: "pem" }) };
    await assert.rejects(
      makeIssuer(wrong, { notBefore: Date.now(), notAfter: Date.now() + HOUR_MS }),
      /expected a key/,
    );
  });
});
