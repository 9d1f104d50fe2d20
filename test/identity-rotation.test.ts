/** Roots and issuers that change under proxies that go on: over real sockets, on virtual time. */
import assert from "node:assert/strict";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";

import { EMBEDDED_FILE } from "../src/control/identity/embedded.ts";
import { LOOK_AT_FILES_EVERY_MS } from "../src/control/identity/follow-files.ts";
import { makeIssuer, makeRoot, type Signer } from "../src/control/identity/certificates.ts";
import { type IdentityFiles, ISSUER_CHAIN_MAX, ROOTS_MAX } from "../src/control/identity/given.ts";
import { SECRET_FILE_BYTES_MAX } from "../src/control/identity/secret-file.ts";
import type { IdentityOptions, IdentityStatus } from "../src/control/identity/identity.ts";
import { DISCONNECTED_LIVES_MS } from "../src/control/identity/proxies.ts";
import { RETURN_MS, SETTLE_MS } from "../src/control/identity/rotation.ts";
import { certificateRequest } from "../src/proxy/identity/certificate-request.ts";
import { RawCertify, startAuthority, type TestAuthority, type TestClient } from "./support/certify.ts";
import { CutRelay } from "./support/cut-relay.ts";
import { makeTestCa } from "./support/identity.ts";
import { until } from "./support/until.ts";

const PRICE = { trustDomain: "cluster.local", namespace: "shop", serviceAccount: "price" };
const HOUR_MS = 3_600_000;

let folder: string;
let authority: TestAuthority;
const cleanups: (() => void | Promise<void>)[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "heddle-rotation-"));
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
  await rm(folder, { recursive: true });
});

async function start(over: Partial<IdentityOptions> = {}): Promise<TestAuthority> {
  const started = await startAuthority({ lifetimeMs: HOUR_MS, stateDirectory: folder, ...over });
  cleanups.push(() => started.close());
  return started;
}

async function certified(...clients: TestClient[]): Promise<void> {
  for (const { client } of clients) await until("a certificate came", () => client.current !== undefined);
  await until("the authority knows", () => {
    const reported = authority.identity.status.proxies.filter(({ issuer }) => issuer !== null);
    return reported.length >= clients.length;
  });
}

/** Does a peer that trusts `anchors` take this chain? By the signatures, as TLS does. */
function trusts(anchors: string, chain: string): boolean {
  const [leaf, issuer] = pems(chain).map((pem) => new X509Certificate(pem));
  assert.ok(leaf && issuer);
  const roots = pems(anchors).map((pem) => new X509Certificate(pem));
  return (
    leaf.verify(issuer.publicKey) && roots.some((root) => issuer.checkIssued(root) && issuer.verify(root.publicKey))
  );
}

function pems(text: string): string[] {
  return text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
}

function phase(): string | undefined {
  return authority.identity.status.rotation?.phase;
}

/** Time passes for all until that holds. */
async function passUntil(what: string, condition: () => boolean, ...clients: TestClient[]): Promise<void> {
  await until(
    what,
    () => {
      authority.clock.advance(200);
      for (const { clock } of clients) clock.advance(200);
      mutualTrust(clients);
      return condition();
    },
    20_000,
  );
}

/** At no time is there a certificate that another proxy would refuse. */
function mutualTrust(clients: readonly TestClient[]): void {
  for (const a of clients) {
    for (const b of clients) {
      if (a.client.current === undefined || b.client.current === undefined) continue;
      assert.ok(trusts(a.client.current.anchors, b.client.current.chain), "a certificate that a peer does not trust");
    }
  }
}

function rootsOf(status: IdentityStatus): string[] {
  return status.roots.map(({ fingerprint }) => fingerprint);
}

/** A proxy that is known and says nothing more. */
async function mute(workload: string): Promise<RawCertify> {
  const stream = new RawCertify(authority.address);
  await stream.nonce();
  const request = certificateRequest(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey, PRICE);
  const proof = { case: "joinToken", value: authority.token(workload) } as const;
  stream.send({ case: "certification", value: { workload, request, proof } });
  await stream.certificate();
  return stream;
}

describe("rotation", () => {
  it("changes root and issuer, and at no time does one proxy distrust another", async () => {
    authority = await start();
    const clients = ["price-1", "price-2", "price-3"].map((name) => authority.client(name));
    await certified(...clients);
    const before = authority.identity.status;
    const phases: (string | undefined)[] = [];
    assert.equal(await authority.identity.rotate("all"), "started");
    assert.equal(await authority.identity.rotate("all"), "under way");
    const done = (): boolean => {
      if (phases.at(-1) !== phase()) phases.push(phase());
      return phase() === undefined;
    };
    await passUntil("it is complete", done, ...clients);
    assert.deepEqual(phases, ["trust", "renew", "retire", undefined]);
    const after = authority.identity.status;
    assert.equal(after.roots.length, 1);
    assert.notEqual(rootsOf(after)[0], rootsOf(before)[0]);
    assert.notEqual(after.issuer.fingerprint, before.issuer.fingerprint);
    for (const { client } of clients) {
      assert.equal(pems(client.current?.anchors ?? "").length, 1);
      assert.equal(client.refreshes, 2);
    }
    assert.deepEqual(authority.refusals, []);
  });

  it("changes the issuer alone", async () => {
    authority = await start();
    const clients = ["price-1", "price-2"].map((name) => authority.client(name));
    await certified(...clients);
    const before = authority.identity.status;
    await authority.identity.rotate("issuer");
    await passUntil("it is complete", () => phase() === undefined, ...clients);
    const after = authority.identity.status;
    assert.deepEqual(rootsOf(after), rootsOf(before));
    assert.notEqual(after.issuer.fingerprint, before.issuer.fingerprint);
    assert.ok(after.proxies.every(({ issuer }) => issuer === after.issuer.fingerprint));
  });

  it("does not go on while a living proxy has not taken a phase over, and names it", async () => {
    authority = await start();
    const price = authority.client("price-1");
    await certified(price);
    const stuck = await mute("price-2");
    await authority.identity.rotate("all");
    await until("the other waits", () => authority.identity.status.rotation?.waitingFor.length === 1);
    for (let seconds = 0; seconds < 120; seconds++) {
      authority.clock.advance(1_000);
      price.clock.advance(1_000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(phase(), "trust");
    const waits = [{ namespace: "shop", workload: "price-2", lost: false }];
    assert.deepEqual(authority.identity.status.rotation?.waitingFor, waits);
    stuck.close();
    await until("it is lost", () => authority.identity.status.rotation?.waitingFor[0]?.lost === true);
    authority.clock.advance(DISCONNECTED_LIVES_MS - 1_000);
    assert.equal(phase(), "trust");
    await passUntil("it goes on without it", () => phase() === undefined, price);
  });

  it("lets a proxy come back that was away all the while", async () => {
    authority = await start();
    const relay = await CutRelay.start(authority.address);
    cleanups.push(() => relay.close());
    const price = authority.client("price-1");
    const away = authority.client("price-2", { address: relay.address });
    await certified(price, away);
    await relay.cut();
    await until("it is away", () => authority.identity.status.proxies.some(({ connected }) => !connected));
    await authority.identity.rotate("all");
    await passUntil("it is complete without it", () => phase() === undefined, price);
    assert.equal(away.client.refreshes, 1);
    await relay.mend();
    await until("it has a new certificate", () => {
      away.clock.advance(1_000);
      return away.client.refreshes === 2;
    });
    assert.deepEqual(away.refused, []);
    mutualTrust([price, away]);
  });

  it("goes on where it was after a restart of the control plane", async () => {
    authority = await start();
    const first = authority;
    const relay = await CutRelay.start(first.address);
    cleanups.push(() => relay.close());
    const price = first.client("price-1", { address: relay.address });
    await certified(price);
    const stuck = await mute("price-2");
    await first.identity.rotate("all");
    await until("both roots are trusted", () => pems(price.client.current?.anchors ?? "").length === 2);
    const during = rootsOf(first.identity.status);
    stuck.close();
    await first.identity.close();

    authority = await start();
    const { rotation } = authority.identity.status;
    assert.deepEqual([rotation?.phase, rotation?.returning], ["trust", true]);
    assert.deepEqual(rootsOf(authority.identity.status), during);
    authority.clock.advance(RETURN_MS - 1_000);
    // Nobody is connected, but somebody may be on the way.
    assert.equal(phase(), "trust");
    authority.clock.advance(1_000 + 3 * SETTLE_MS);
    await passUntil("it is complete", () => phase() === undefined);
    assert.equal(rootsOf(authority.identity.status)[0], during[1]);
  });

  it("is not begun if it cannot be saved", async () => {
    authority = await start();
    await rm(join(folder, EMBEDDED_FILE));
    await rm(folder, { recursive: true });
    await writeFile(folder, "a file where the folder was");
    await assert.rejects(authority.identity.rotate("all"));
    assert.equal(authority.identity.status.rotation, null);
    assert.equal(authority.identity.status.roots.length, 1);
  });
});

describe("the authority in the state folder", () => {
  it("is the same after a restart, in a file for its owner only", async () => {
    authority = await start();
    const before = authority.identity.status;
    await authority.close();
    authority = await start();
    assert.deepEqual(rootsOf(authority.identity.status), rootsOf(before));
    assert.equal((await stat(join(folder, EMBEDDED_FILE))).mode & 0o777, 0o600);
  });

  it("is refused when others can read it", async () => {
    authority = await start();
    await authority.close();
    for (const mode of [0o640, 0o604, 0o660]) {
      await chmod(join(folder, EMBEDDED_FILE), mode);
      await assert.rejects(
        startAuthority({ stateDirectory: folder }),
        /others than its owner can reach it .*chmod 600/,
      );
    }
  });

  it("is never replaced when it cannot be understood", async () => {
    const file = join(folder, EMBEDDED_FILE);
    authority = await start();
    await authority.close();
    const good = await readFile(file, "utf8");
    const { key } = (await makeTestCa()).root;
    const stored = JSON.parse(good) as { root: Signer };
    const foreign = JSON.stringify({ ...stored, root: { ...stored.root, key } });
    for (const bad of ["", "{", "{}", good.slice(0, -200), foreign, good.replace('"version": 1', '"version": 2')]) {
      await writeFile(file, bad);
      await assert.rejects(startAuthority({ stateDirectory: folder }), /identity\.json is not readable .*restore it/);
      assert.equal(await readFile(file, "utf8"), bad);
    }
  });
});

function paths(): IdentityFiles {
  return {
    roots: join(folder, "roots.pem"),
    issuerCertificate: join(folder, "issuer.pem"),
    issuerKey: join(folder, "issuer.key"),
  };
}

async function write(roots: readonly Signer[], issuer: Signer): Promise<void> {
  await writeFile(paths().roots, roots.map(({ certificate }) => certificate).join(""));
  await writeFile(paths().issuerCertificate, issuer.certificate);
  await rm(paths().issuerKey, { force: true });
  await writeFile(paths().issuerKey, issuer.key, { mode: 0o600 });
}

describe("an authority from files", () => {
  const refusals: Readonly<Record<string, { prepare: () => Promise<void>; says: RegExp }>> = {
    "no roots": { prepare: () => rm(paths().roots), says: /there is no file .*roots\.pem/ },
    "roots that are no certificates": {
      prepare: () => writeFile(paths().roots, "hello"),
      says: /roots\.pem: expected certificates in PEM, found none/,
    },
    "a torn root": {
      prepare: async () => writeFile(paths().roots, (await readFile(paths().roots, "utf8")).replace(/\n.{20}/, "\n")),
      says: /roots\.pem: a certificate in it cannot be read/,
    },
    "a key that others can read": {
      prepare: () => chmod(paths().issuerKey, 0o644),
      says: /issuer\.key holds a key, but others .*chmod 600/,
    },
    "more roots than are taken": {
      prepare: async () => writeFile(paths().roots, (await makeTestCa()).anchors.repeat(ROOTS_MAX + 1)),
      says: /roots\.pem: expected at most 16 certificates, found 17/,
    },
    "an issuer's chain without end": {
      prepare: async () => {
        const { certificate } = (await makeTestCa()).issuer;
        await writeFile(paths().issuerCertificate, certificate.repeat(ISSUER_CHAIN_MAX + 1));
      },
      says: /issuer\.pem: expected at most 4 certificates, found 5/,
    },
    "a file that is far too long": {
      prepare: () => writeFile(paths().roots, "x".repeat(SECRET_FILE_BYTES_MAX + 1)),
      says: /roots\.pem: it has more than 1048576 bytes/,
    },
    "a key file that is far too long": {
      prepare: () => writeFile(paths().issuerKey, "x".repeat(SECRET_FILE_BYTES_MAX + 1)),
      says: /issuer\.key has 1048577 bytes/,
    },
    "no key": { prepare: () => rm(paths().issuerKey), says: /there is no file .*issuer\.key/ },
    "a key that is none": {
      prepare: () => writeFile(paths().issuerKey, "hello"),
      says: /issuer\.key: expected a private key in PEM/,
    },
    "a key of another": {
      prepare: async () => writeFile(paths().issuerKey, (await makeTestCa()).issuer.key),
      says: /issuer\.key: the key is not that of the first certificate in .*issuer\.pem/,
    },
    "an issuer under another root": {
      prepare: async () => writeFile(paths().roots, (await makeTestCa()).anchors),
      says: /issuer\.pem: the issuer does not descend from a root in .*roots\.pem/,
    },
    "an issuer that is a leaf": {
      prepare: async () => {
        const { chain } = await (await makeTestCa()).credentials("spiffe://cluster.local/ns/shop/sa/price");
        await writeFile(paths().issuerCertificate, pems(chain)[0] ?? "");
      },
      says: /issuer\.pem: the certificate ".*" is not an authority's/,
    },
    "an issuer that has expired": {
      prepare: async () => {
        const root = await makeRoot({ notBefore: Date.now() - 2 * HOUR_MS, notAfter: Date.now() + HOUR_MS });
        await write(
          [root],
          await makeIssuer(root, { notBefore: Date.now() - 2 * HOUR_MS, notAfter: Date.now() - HOUR_MS }),
        );
      },
      says: /issuer\.pem: the certificate ".*" has expired at/,
    },
    "roots that are not valid yet": {
      prepare: async () => {
        const root = await makeRoot({ notBefore: Date.now() + HOUR_MS, notAfter: Date.now() + 2 * HOUR_MS });
        await writeFile(paths().roots, root.certificate);
      },
      says: /roots\.pem: the certificate ".*" is not valid before/,
    },
  };
  for (const [name, { prepare, says }] of Object.entries(refusals)) {
    it(`is refused: ${name}`, async () => {
      const { root, issuer } = await makeTestCa();
      await write([root], issuer);
      await prepare();
      await assert.rejects(startAuthority({ files: paths() }), says);
    });
  }

  it("signs with what the files have, and is not rotated by us", async () => {
    const { root, issuer } = await makeTestCa();
    await write([root], issuer);
    authority = await start({ files: paths() });
    const price = authority.client("price-1");
    await certified(price);
    assert.ok(trusts(root.certificate, price.client.current?.chain ?? ""));
    assert.equal(await authority.identity.rotate("all"), "not ours");
    assert.equal(authority.identity.status.source, "files");
  });

  it("follows new files in the same careful steps", async () => {
    const [old, next] = [await makeTestCa(), await makeTestCa()];
    await write([old.root], old.issuer);
    authority = await start({ files: paths() });
    const clients = ["price-1", "price-2"].map((name) => authority.client(name));
    await certified(...clients);
    await write([next.root], next.issuer);
    authority.clock.advance(LOOK_AT_FILES_EVERY_MS);
    await until("it begins", () => phase() !== undefined);
    await passUntil("it is complete", () => phase() === undefined, ...clients);
    for (const { client } of clients) {
      assert.equal(client.current?.anchors, new X509Certificate(next.root.certificate).toString());
      assert.ok(trusts(next.anchors, client.current?.chain ?? ""));
    }
  });

  it("keeps what was in force when the new files are bad, and takes them when they are mended", async () => {
    const [old, next] = [await makeTestCa(), await makeTestCa()];
    await write([old.root], old.issuer);
    authority = await start({ files: paths() });
    const price = authority.client("price-1");
    await certified(price);
    await writeFile(paths().issuerCertificate, next.issuer.certificate);
    authority.clock.advance(LOOK_AT_FILES_EVERY_MS);
    await until("it says so", () => authority.log.some((line) => /are not used.*the key is not that/.test(line)));
    assert.equal(phase(), undefined);
    await write([next.root], next.issuer);
    await passUntil("it begins", () => phase() !== undefined, price);
    await passUntil("it is complete", () => phase() === undefined, price);
    assert.ok(trusts(next.anchors, price.client.current?.chain ?? ""));
  });

  it("still knows the old roots when they were changed while the control plane was away", async () => {
    const [old, next] = [await makeTestCa(), await makeTestCa()];
    await write([old.root], old.issuer);
    authority = await start({ files: paths() });
    const relay = await CutRelay.start(authority.address);
    cleanups.push(() => relay.close());
    const price = authority.client("price-1", { address: relay.address });
    await certified(price);
    await authority.close();
    await write([next.root], next.issuer);
    authority = await start({ files: paths() });
    assert.equal(authority.identity.status.roots.length, 2);
    assert.equal(phase(), "renew");
  });
});
