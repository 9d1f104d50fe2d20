import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { describe, it } from "node:test";

import * as fc from "fast-check";
import "reflect-metadata";
import { Pkcs10CertificateRequest, SubjectAlternativeNameExtension } from "@peculiar/x509";

import { needs } from "../../../test/support/peers.ts";
import { linkerdName, spiffeId } from "../../model/identity.ts";
import { certificateRequest, der } from "./certificate-request.ts";

const PRICE = { trustDomain: "cluster.local", namespace: "shop", serviceAccount: "price" };

const label = fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/);
const identities = fc.record({
  trustDomain: fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join(".")),
  namespace: label,
  serviceAccount: fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join(".")),
});

/** Tag and length of so many octets, in hexadecimal. */
function header(length: number): string {
  const whole = der(0x04, Buffer.alloc(length));
  return whole.subarray(0, whole.length - length).toString("hex");
}

describe("certificate request", () => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });

  it("is what openssl takes for one, signed by its key, with both names", needs("openssl"), () => {
    const words = ["req", "-inform", "DER", "-noout", "-verify", "-text"];
    const text = execFileSync("openssl", words, {
      input: certificateRequest(privateKey, PRICE),
      stdio: "pipe",
    }).toString();
    assert.match(text, /Subject: \n/);
    assert.match(
      text,
      /Subject Alternative Name: critical\s+URI:spiffe:\/\/cluster\.local\/ns\/shop\/sa\/price, DNS:price/,
    );
    assert.match(text, /Signature Algorithm: ecdsa-with-SHA256/);
  });

  it("openssl refuses it when one bit of the body is different", needs("openssl"), () => {
    const request = certificateRequest(privateKey, PRICE);
    const at = request.indexOf("price");
    request[at] = (request[at] ?? 0) ^ 1;
    const words = ["req", "-inform", "DER", "-noout", "-verify"];
    const verify = (): string =>
      execFileSync("sh", ["-c", `openssl ${words.join(" ")} 2>&1; true`], { input: request }).toString();
    assert.match(verify(), /failure|error/i);
  });

  it("a library reads the key and the names of any identity", async () => {
    await fc.assert(
      fc.asyncProperty(identities, async (identity) => {
        const request = new Pkcs10CertificateRequest(new Uint8Array(certificateRequest(privateKey, identity)));
        assert.ok(await request.verify());
        const key = publicKey.export({ type: "spki", format: "der" });
        assert.deepEqual(Buffer.from(request.publicKey.rawData), key);
        const names = [...request.extensions].flatMap((extension) =>
          extension instanceof SubjectAlternativeNameExtension ? extension.names.items : [],
        );
        const found = names.map(({ type, value }) => `${type} ${value}`);
        assert.deepEqual(found, [`url ${spiffeId(identity)}`, `dns ${linkerdName(identity)}`]);
      }),
      { numRuns: 50 },
    );
  });

  it("lengths are in the shortest form", () => {
    assert.equal(header(0), "0400");
    assert.equal(header(127), "047f");
    assert.equal(header(128), "048180");
    assert.equal(header(255), "0481ff");
    assert.equal(header(256), "04820100");
    assert.equal(header(65_536), "0483010000");
  });
});
