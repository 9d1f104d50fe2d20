/** Certificates from the control plane's authority to sidecars' clients, over real sockets, on virtual time. */
import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync, type KeyObject, sign, X509Certificate } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, it } from "node:test";

import { create } from "@bufbuild/protobuf";

import { CERTIFICATE_BYTES_MAX, CLOCK_SKEW_MS } from "../src/control/identity/authority.ts";
import {
  CERTIFICATION_EVERY_MS,
  CERTIFICATIONS_BURST,
  CERTIFY_MESSAGE_BYTES_MAX,
  PROOF_TIMEOUT_MS,
} from "../src/control/identity/certify-service.ts";
import { REQUEST_BYTES_MAX } from "../src/control/identity/certificate-request.ts";
import { TOKEN_LIFETIME_MS } from "../src/control/identity/join-tokens.ts";
import { GrpcCode } from "../src/protocol/grpc.ts";
import { certificateRequest } from "../src/proxy/identity/certificate-request.ts";
import { CERTIFY_TIMEOUT_MS, LOOK_AT_TIME_EVERY_MS, RENEW_AFTER } from "../src/proxy/identity/identity-client.ts";
import { possessionBytes } from "../src/xds/certify.ts";
import { PossessionSchema } from "../src/xds/gen/heddle/identity/v1/identity_pb.ts";
import { RawCertify, startAuthority, type TestAuthority, type TestClient } from "./support/certify.ts";
import { CutRelay } from "./support/cut-relay.ts";
import { makeTestCa } from "./support/identity.ts";
import { needs } from "./support/peers.ts";
import { output } from "./support/programs.ts";
import { until } from "./support/until.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const PRICE = { trustDomain: "cluster.local", namespace: "shop", serviceAccount: "price" };
const PRICE_ID = "spiffe://cluster.local/ns/shop/sa/price";

let authority: TestAuthority;
const raws: RawCertify[] = [];
afterEach(async () => {
  for (const stream of raws.splice(0)) stream.close();
  await authority.close();
});

function raw(): RawCertify {
  const made = new RawCertify(authority.address);
  raws.push(made);
  return made;
}

function newKey(): KeyObject {
  return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
}

function certified({ client }: TestClient, refreshes = 1): Promise<void> {
  return until(`certificate ${refreshes} came`, () => client.refreshes >= refreshes);
}

/** Both times, in steps, so that each side's timers see the other's answers. */
function pass(ms: number, ...clients: TestClient[]): void {
  authority.clock.advance(ms);
  for (const { clock } of clients) clock.advance(ms);
}

describe("a certificate by a join token", () => {
  it(
    "is verified by openssl, names the workload, and is for a key that only the sidecar has",
    needs("openssl"),
    async () => {
      authority = await startAuthority();
      const price = authority.client("price-1");
      await certified(price);
      const { current } = price.client;
      assert.ok(current);
      assert.equal(current.identity, PRICE_ID);
      const folder = await mkdtemp(join(tmpdir(), "heddle-identity-"));
      try {
        await writeFile(join(folder, "roots.pem"), current.anchors);
        await writeFile(join(folder, "chain.pem"), current.chain);
        await writeFile(join(folder, "key.pem"), current.key, { mode: 0o600 });
        const at = (name: string): string => join(folder, name);
        const verify = [
          "verify",
          "-x509_strict",
          "-CAfile",
          at("roots.pem"),
          "-untrusted",
          at("chain.pem"),
          at("chain.pem"),
        ];
        assert.match((await output("openssl", verify)).toString(), /OK/);
        const ofKey = await output("openssl", ["pkey", "-in", at("key.pem"), "-pubout"]);
        const ofLeaf = await output("openssl", ["x509", "-in", at("chain.pem"), "-noout", "-pubkey"]);
        assert.deepEqual(ofKey, ofLeaf);
        assert.equal(current.notAfter - current.notBefore, DAY_MS + CLOCK_SKEW_MS);
      } finally {
        await rm(folder, { recursive: true });
      }
    },
  );

  it("is given once: the same token again is refused, with nothing to hope for", async () => {
    authority = await startAuthority();
    const token = authority.token("price-1");
    await certified(authority.client("price-1", { token }));
    const thief = authority.client("price-1", { token });
    await until("it is refused", () => thief.refused.length > 0);
    assert.match(thief.refused[0] ?? "", /UNAUTHENTICATED: the join token is not known/);
    assert.equal(thief.client.current, undefined);
    assert.equal(thief.clock.pending, 0);
    assert.deepEqual(authority.refusals, ["proof"]);
  });

  it("is refused to another workload, and the token is used up then", async () => {
    authority = await startAuthority();
    const token = authority.token("price-1");
    const other = authority.client("price-2", { token });
    await until("it is refused", () => other.refused.length > 0);
    assert.match(other.refused[0] ?? "", /not for the workload "price-2"/);
    const right = authority.client("price-1", { token });
    await until("it is refused, too", () => right.refused.length > 0);
  });

  it("is refused after ten minutes, and for a token that never was", async () => {
    authority = await startAuthority();
    const token = authority.token("price-1");
    authority.clock.advance(TOKEN_LIFETIME_MS);
    for (const bad of [token, "", "x", "x.y", `${token}x`]) {
      const late = authority.client("price-1", { token: bad });
      await until(`"${bad}" is refused`, () => late.refused.length > 0);
    }
  });

  it("is for the names of the token, whatever the request asks for", async () => {
    authority = await startAuthority();
    const wrong = raw();
    await wrong.nonce();
    const request = certificateRequest(newKey(), { ...PRICE, serviceAccount: "admin" });
    const joinToken = authority.token("price-1");
    const proof = { case: "joinToken", value: joinToken } as const;
    wrong.send({ case: "certification", value: { workload: "price-1", request, proof } });
    const { status, reason } = await wrong.end();
    assert.equal(status, GrpcCode.invalidArgument);
    assert.match(reason, /asks for the name "url spiffe:\/\/cluster\.local\/ns\/shop\/sa\/admin"/);
  });

  it("never shows in a log", async () => {
    authority = await startAuthority();
    const token = authority.token("price-1");
    const price = authority.client("price-1", { token });
    await certified(price);
    const thief = authority.client("price-1", { token });
    await until("it is refused", () => thief.refused.length > 0);
    const all = [...authority.log, ...price.log, ...thief.log, ...thief.refused].join("\n");
    const [, secret = "-"] = token.split(".");
    assert.ok(!all.includes(secret));
    assert.ok(!all.includes("PRIVATE KEY"));
  });
});

describe("requests that are refused", () => {
  const bad: Readonly<Record<string, { readonly request: () => Uint8Array; readonly says: RegExp }>> = {
    "no PKCS #10": { request: () => Buffer.from("hello"), says: /not PKCS #10/ },
    "a torn one": { request: () => certificateRequest(newKey(), PRICE).subarray(0, 100), says: /not PKCS #10/ },
    "one whose names were changed afterwards": {
      request: () => {
        const request = certificateRequest(newKey(), PRICE);
        const at = request.lastIndexOf("price");
        request[at] = (request[at] ?? 0) ^ 1;
        return request;
      },
      says: /not signed by its own key/,
    },
    "a long one": { request: () => Buffer.alloc(REQUEST_BYTES_MAX + 1), says: /at most 4096 are taken/ },
  };
  for (const [name, { request, says }] of Object.entries(bad)) {
    it(name, async () => {
      authority = await startAuthority();
      const stream = raw();
      await stream.nonce();
      const proof = { case: "joinToken", value: authority.token("price-1") } as const;
      stream.send({ case: "certification", value: { workload: "price-1", request: request(), proof } });
      const { status, reason } = await stream.end();
      assert.equal(status, GrpcCode.invalidArgument);
      assert.match(reason, says);
    });
  }

  it("one for a key of another kind", async () => {
    authority = await startAuthority();
    const stream = raw();
    await stream.nonce();
    const key = generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey;
    const proof = { case: "joinToken", value: authority.token("price-1") } as const;
    stream.send({
      case: "certification",
      value: { workload: "price-1", request: certificateRequest(key, PRICE), proof },
    });
    assert.match((await stream.end()).reason, /not for a P-256 key/);
  });

  it("a report by somebody who has proved nothing", async () => {
    authority = await startAuthority();
    const stream = raw();
    await stream.nonce();
    stream.send({ case: "report", value: { roots: [], issuer: new Uint8Array(32), notAfter: 0n } });
    assert.match((await stream.end()).reason, /expected a proof first/);
    assert.deepEqual(authority.identity.status.proxies, []);
  });

  const report = { roots: [new Uint8Array(32)], issuer: new Uint8Array(32), notAfter: 0n };
  const strange: Readonly<Record<string, typeof report>> = {
    "of a time that there is not": { ...report, notAfter: 2n ** 62n },
    "of what is no fingerprint of a root": { ...report, roots: [new Uint8Array(33)] },
    "of what is no fingerprint of an issuer": { ...report, issuer: new Uint8Array(60_000) },
  };
  for (const [what, value] of Object.entries(strange)) {
    it(`a report ${what}, which the API could not show`, async () => {
      authority = await startAuthority();
      const stream = raw();
      await stream.nonce();
      const proof = { case: "joinToken", value: authority.token("price-1") } as const;
      stream.send({ case: "certification", value: { workload: "price-1", request: new Uint8Array(), proof } });
      stream.send({ case: "report", value });
      const { status, reason } = await stream.end();
      assert.equal(status, GrpcCode.invalidArgument);
      assert.match(reason, /expected fingerprints of SHA-256 and a time/);
      assert.equal(authority.identity.status.proxies[0]?.notAfter, null);
    });
  }

  it("a message that is too long", async () => {
    authority = await startAuthority();
    const stream = raw();
    await stream.nonce();
    const request = new Uint8Array(CERTIFY_MESSAGE_BYTES_MAX);
    const proof = { case: "joinToken", value: "x" } as const;
    stream.send({ case: "certification", value: { workload: "price-1", request, proof } });
    assert.equal((await stream.end()).status, GrpcCode.resourceExhausted);
  });

  it("silence: a stream without a proof is ended", async () => {
    authority = await startAuthority();
    const stream = raw();
    await stream.nonce();
    authority.clock.advance(PROOF_TIMEOUT_MS);
    assert.equal((await stream.end()).status, GrpcCode.deadlineExceeded);
    assert.deepEqual(authority.refusals, ["silent"]);
  });
});

interface Holder {
  readonly key: KeyObject;
  readonly chain: readonly Uint8Array[];
}

/** Certifies itself by hand, and keeps the key. */
async function holder(): Promise<Holder> {
  const stream = raw();
  await stream.nonce();
  const key = newKey();
  const proof = { case: "joinToken", value: authority.token("price-1") } as const;
  stream.send({
    case: "certification",
    value: { workload: "price-1", request: certificateRequest(key, PRICE), proof },
  });
  return { key, chain: await stream.certificate() };
}

async function ask({ key, chain }: Holder, nonceOf?: (own: Uint8Array) => Uint8Array): Promise<RawCertify> {
  const stream = raw();
  const nonce = await stream.nonce();
  const request = certificateRequest(newKey(), PRICE);
  const signature = sign("sha256", possessionBytes(nonceOf?.(nonce) ?? nonce, request), key);
  const proof = { case: "possession" as const, value: create(PossessionSchema, { chain: [...chain], signature }) };
  stream.send({ case: "certification", value: { workload: "price-1", request, proof } });
  return stream;
}

async function refusal(stream: RawCertify): Promise<string> {
  const { status, reason } = await stream.end();
  assert.equal(status, GrpcCode.unauthenticated);
  return reason;
}

describe("a proof by certificate", () => {
  it("is taken, and refused with another key or another stream's nonce", async () => {
    authority = await startAuthority();
    const price = await holder();
    assert.equal((await (await ask(price)).certificate()).length, 2);
    assert.match(await refusal(await ask({ ...price, key: newKey() })), /signature is not by/);
    const other = await raw().nonce();
    assert.match(await refusal(await ask(price, () => other)), /signature is not by/);
  });

  it("is refused from another authority, from no authority, from an authority itself", async () => {
    authority = await startAuthority();
    const ca = await makeTestCa();
    const credentials = await ca.credentials(PRICE_ID);
    const [leaf, issuer] = credentials.chain
      .split(/(?<=END CERTIFICATE-----)/)
      .slice(0, 2)
      .map((pem) => new X509Certificate(pem));
    assert.ok(leaf && issuer);
    const key = createPrivateKey(credentials.key);
    assert.match(await refusal(await ask({ key, chain: [leaf.raw, issuer.raw] })), /does not descend from a root/);
    assert.match(await refusal(await ask({ key, chain: [leaf.raw] })), /does not descend/);
    const asIssuer = { key: createPrivateKey(ca.issuer.key), chain: [issuer.raw] };
    assert.match(await refusal(await ask(asIssuer)), /is an authority's/);
    // Our own issuer's certificate is public, and a leaf may not sign.
    const price = await holder();
    assert.match(await refusal(await ask({ key, chain: [leaf.raw, ...price.chain] })), /does not descend/);
    assert.match(await refusal(await ask({ key, chain: [] })), /expected 1 to 5/);
    assert.match(await refusal(await ask({ key, chain: Array<Uint8Array>(6).fill(leaf.raw) })), /expected 1 to 5/);
    const long = new Uint8Array(CERTIFICATE_BYTES_MAX + 1);
    assert.match(await refusal(await ask({ key, chain: [long] })), /at most 8192 are taken/);
    assert.match(await refusal(await ask({ key, chain: [new Uint8Array(8)] })), /not a certificate/);
  });

  it("is taken from one that expired while its machine slept, but not for ever", async () => {
    authority = await startAuthority({ lifetimeMs: HOUR_MS });
    const price = await holder();
    authority.clock.advance(2 * HOUR_MS - 60_000);
    await (await ask(price)).certificate();
    authority.clock.advance(120_000);
    assert.match(await refusal(await ask(price)), /has expired at/);
  });

  it("may not be asked for without end", async () => {
    authority = await startAuthority();
    const price = await holder();
    const stream = await ask(price);
    await stream.certificate();
    const nonce = await stream.nonce();
    const again = (): void => {
      const request = certificateRequest(newKey(), PRICE);
      const signature = sign("sha256", possessionBytes(nonce, request), price.key);
      const value = create(PossessionSchema, { chain: [...price.chain], signature });
      const proof = { case: "possession" as const, value };
      stream.send({ case: "certification", value: { workload: "price-1", request, proof } });
    };
    const certificates = (): number => stream.responses.filter((response) => response.case === "certificate").length;
    for (let count = 1; count < CERTIFICATIONS_BURST; count++) again();
    await until("all of a burst are given", () => certificates() === CERTIFICATIONS_BURST);
    authority.clock.advance(CERTIFICATION_EVERY_MS);
    again();
    await until("one more is given later", () => certificates() === CERTIFICATIONS_BURST + 1);
    again();
    assert.equal((await stream.end()).status, GrpcCode.resourceExhausted);
  });
});

describe("renewal", () => {
  it("happens at 70 % of the life, by another key, and tells who watches", async () => {
    authority = await startAuthority();
    const price = authority.client("price-1");
    await certified(price);
    const first = price.client.current;
    const seen: string[] = [];
    price.client.watch(({ chain }) => seen.push(chain));
    pass(0.7 * DAY_MS - 60_000, price);
    assert.equal(price.client.refreshes, 1);
    pass(120_000, price);
    await certified(price, 2);
    const second = price.client.current;
    assert.ok(first && second);
    assert.notEqual(first.key, second.key);
    assert.deepEqual(seen, [second.chain]);
    assert.ok(second.notAfter > first.notAfter);
  });

  it("is spread over some of the life", async () => {
    authority = await startAuthority();
    const [early, late] = [0, 0.999].map((drawn) =>
      authority.client(`price-${drawn * 1_000}`, { random: () => drawn }),
    );
    assert.ok(early && late);
    await Promise.all([certified(early), certified(late)]);
    pass(0.68 * DAY_MS, early, late);
    await certified(early, 2);
    assert.equal(late.client.refreshes, 1);
    pass(0.045 * DAY_MS, late);
    await certified(late, 2);
  });

  it("goes on over many lives", async () => {
    authority = await startAuthority({ lifetimeMs: 20_000 });
    const price = authority.client("price-1");
    for (let count = 1; count <= 20; count++) {
      await certified(price, count);
      await until("the proxy has said so", () => authority.identity.status.proxies[0]?.notAfter !== null);
      pass(14_500, price);
    }
    await certified(price, 21);
    assert.equal(price.client.refreshes, 21);
    assert.deepEqual(authority.refusals, []);
  });

  it("is made up for when the machine has slept and the clock stood still", async () => {
    authority = await startAuthority();
    let slept = 0;
    const price = authority.client("price-1", { slept: () => slept });
    await certified(price);
    slept = 20 * HOUR_MS;
    price.clock.advance(LOOK_AT_TIME_EVERY_MS);
    await certified(price, 2);
  });

  it("is not put off when it falls due between two looks at the clock", async () => {
    authority = await startAuthority({ lifetimeMs: 60_000 });
    const slept = [0];
    const price = authority.client("price-1", { slept: () => (slept.length > 1 ? slept.shift() : slept[0]) ?? 0 });
    await certified(price);
    const { notAfter = 0 } = price.client.current ?? {};
    const sleepUntilDue = RENEW_AFTER * (notAfter - authority.now()) - LOOK_AT_TIME_EVERY_MS;
    slept.splice(0, 1, sleepUntilDue - 0.5, sleepUntilDue + 0.5);
    pass(LOOK_AT_TIME_EVERY_MS, price);
    pass(1, price);
    await certified(price, 2);
  });

  it("does not go round in circles when the clock is ten minutes off, and says what is wrong", async () => {
    for (const [aheadMs, says] of [
      [600_000, /600 s ahead of the control plane's/],
      [-600_000, /600 s behind the control plane's/],
    ] as const) {
      authority = await startAuthority({ lifetimeMs: 60_000 });
      const price = authority.client("price-1", { aheadMs });
      await certified(price);
      pass(30_000, price);
      assert.equal(price.client.refreshes, 1);
      pass(15_000, price);
      await certified(price, 2);
      assert.equal(price.log.filter((line) => says.test(line)).length, 1);
      if (aheadMs > 0) await authority.close();
    }
  });

  it("keeps the old certificate while the control plane is away, and goes on when it is back", async () => {
    authority = await startAuthority({ lifetimeMs: HOUR_MS });
    const relay = await CutRelay.start(authority.address);
    const price = authority.client("price-1", { address: relay.address });
    await certified(price);
    const { current } = price.client;
    await relay.cut();
    await until("it has noticed", () => price.log.some((line) => line.includes("no connection to the certificate")));
    pass(45 * 60_000, price);
    assert.equal(price.client.current, current);
    await relay.mend();
    await until("it was renewed", () => {
      price.clock.advance(1_000);
      return price.client.refreshes === 2;
    });
    assert.deepEqual(price.refused, []);
    price.client.close();
    await relay.close();
  });

  it("ends the sidecar when it is refused and the certificate is no good any more", async () => {
    authority = await startAuthority({ lifetimeMs: HOUR_MS });
    const relay = await CutRelay.start(authority.address);
    const price = authority.client("price-1", { address: relay.address });
    await certified(price);
    await relay.cut();
    authority.clock.advance(3 * HOUR_MS);
    price.clock.advance(3 * HOUR_MS);
    assert.ok(price.log.some((line) => line.includes("the certificate has expired")));
    await relay.mend();
    await until("it is refused", () => {
      price.clock.advance(1_000);
      return price.refused.length > 0;
    });
    assert.match(price.refused[0] ?? "", /expired/);
    await relay.close();
  });

  it("asks again, on another stream, when no answer comes", async () => {
    authority = await startAuthority();
    const silent = await CutRelay.start(undefined);
    const price = authority.client("price-1", { address: silent.address });
    await until("it has connected", () => silent.connections > 0);
    price.clock.advance(CERTIFY_TIMEOUT_MS);
    await until("it says so", () => price.log.some((line) => line.includes("no answer within 10 s")));
    await until("it tries again", () => {
      price.clock.advance(200);
      return silent.connections > 1;
    });
    price.client.close();
    await silent.close();
  });
});
