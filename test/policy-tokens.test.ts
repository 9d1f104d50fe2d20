/** JSON Web Tokens in front of a whole sidecar. */
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it, type TestContext } from "node:test";

import * as grpc from "@grpc/grpc-js";
import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from "jose";

import { type InboundPolicy, NO_DOCUMENT, openPolicy } from "../src/model/inbound-policy.ts";
import { startApplication } from "./support/application.ts";
import { policedSidecar, policyOf, rule } from "./support/policed.ts";

const ISSUER = "https://issuer.example";

function sign(key: CryptoKey, claims: Record<string, unknown>): Promise<string> {
  return new SignJWT({ iss: ISSUER, ...claims })
    .setProtectedHeader({ alg: "RS256", kid: "k" })
    .setExpirationTime("1h")
    .sign(key);
}

interface Keys {
  readonly key: CryptoKey;
  readonly jwksUri: string;
}

async function keys(context: TestContext): Promise<Keys> {
  const { privateKey: key, publicKey } = await generateKeyPair("RS256");
  const text = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: "k", alg: "RS256" }] });
  const server = http.createServer((_, response) => response.end(text));
  await once(server.listen(0, "127.0.0.1"), "listening");
  context.after(() => server.close());
  return { key, jwksUri: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` };
}

/** Only members of "staff" get in, by a token of the issuer. */
function staffOnly(jwksUri: string): InboundPolicy {
  const staff = rule("allow", "staff", {
    on: "jwt-claim",
    path: ["groups"],
    any: [{ kind: "exact", value: "staff" }],
    not: false,
  });
  return policyOf("deny", [staff], {
    jwt: [
      {
        origin: NO_DOCUMENT,
        issuer: ISSUER,
        audiences: [],
        jwks: "",
        jwksUri,
        from: [{ in: "header", name: "authorization", prefix: "Bearer " }],
        forwardOriginalToken: false,
        outputPayloadToHeader: "",
        outputClaimToHeaders: [{ header: "x-user", claim: "sub" }],
        timeoutMs: 5_000,
      },
    ],
  });
}

function pass(bytes: Buffer): Buffer {
  return bytes;
}

describe("a sidecar that asks for tokens", () => {
  it("lets in whom the rules name, tells the application who it is, and keeps the token to itself", async (context) => {
    const app = await startApplication("price");
    context.after(() => app.close());
    const { key, jwksUri } = await keys(context);
    const sidecar = await policedSidecar(context, { applicationPort: app.port, policy: staffOnly(jwksUri) });
    const ask = (token: string): ReturnType<typeof sidecar.get> =>
      sidecar.get("/a?x=1", { method: "POST", headers: { authorization: `Bearer ${token}`, "x-user": "root" } });
    const staff = await sign(key, { sub: "ann", groups: ["staff"] });
    for (const round of ["verified", "known"]) {
      const { status, body } = await ask(staff);
      assert.equal(status, 200, round);
      const { headers } = JSON.parse(body) as { headers: string[] };
      assert.equal(headers[headers.indexOf("x-user") + 1], "ann");
      assert.equal(headers.filter((name) => name === "x-user").length, 1);
      assert.ok(!headers.some((name) => /authorization/i.test(name)));
    }
    const guest = await ask(await sign(key, { sub: "gus", groups: ["guests"] }));
    assert.deepEqual([guest.status, guest.headers["heddle-error"]], [403, "HED1015 forbidden"]);
    assert.equal((await sidecar.get("/")).status, 403);
    const bad = await ask(`${staff}x`);
    assert.deepEqual([bad.status, bad.headers["heddle-error"]], [401, "HED1016 invalid_token"]);
    assert.equal(bad.headers["www-authenticate"], 'Bearer error="invalid_token"');
    assert.equal(app.requests, 2);
    const log = sidecar.log.join("");
    assert.ok(!log.includes(staff) && !bad.body.includes(staff));
    sidecar.set(openPolicy);
    assert.equal((await ask("nonsense")).status, 200);
  });

  it("holds a body until the token is verified, and passes it on whole", async (context) => {
    const app = await startApplication("price");
    context.after(() => app.close());
    const { key, jwksUri } = await keys(context);
    const sidecar = await policedSidecar(context, { applicationPort: app.port, policy: staffOnly(jwksUri) });
    const sent = "x".repeat(300_000);
    const response = await fetch(`http://127.0.0.1:${sidecar.port}/`, {
      method: "POST",
      body: sent,
      headers: { authorization: `Bearer ${await sign(key, { sub: "ann", groups: ["staff"] })}` },
    });
    const { body } = (await response.json()) as { body: string };
    assert.equal(body.length, sent.length);
  });

  it("refuses a huge token unread, and tells gRPC callers UNAUTHENTICATED", async (context) => {
    const app = await startApplication("price");
    context.after(() => app.close());
    const { jwksUri } = await keys(context);
    const sidecar = await policedSidecar(context, { applicationPort: app.port, policy: staffOnly(jwksUri) });
    const huge = await sidecar.get("/", { headers: { authorization: `Bearer a.${"b".repeat(20_000)}.c` } });
    assert.deepEqual([huge.status, huge.headers["heddle-error"]], [401, "HED1016 invalid_token"]);
    assert.match(huge.body, /at most 16384 are taken/);
    const client = new grpc.Client(`127.0.0.1:${sidecar.port}`, grpc.credentials.createInsecure());
    context.after(() => client.close());
    const metadata = new grpc.Metadata();
    metadata.set("authorization", "Bearer bad");
    const error = await new Promise<grpc.ServiceError | null>((resolve) => {
      client.makeUnaryRequest("/a.B/C", pass, pass, Buffer.alloc(0), metadata, (failure) => resolve(failure));
    });
    assert.equal(error?.code, grpc.status.UNAUTHENTICATED);
    assert.equal(app.requests, 0);
  });
});
