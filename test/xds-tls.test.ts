/** The xDS port in TLS: who is served by it, whom a sidecar takes for it, and what is left of both when roots change. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";

import { makeIssuer, makeRoot, type Signer } from "../src/control/identity/certificates.ts";
import { CROSSES_MAX, EMBEDDED_FILE } from "../src/control/identity/embedded.ts";
import { LOOK_AT_FILES_EVERY_MS } from "../src/control/identity/follow-files.ts";
import type { IdentityFiles } from "../src/control/identity/given.ts";
import type { TrustState } from "../src/control/identity/trust-state.ts";
import { listenXds } from "../src/control/xds-server.ts";
import { controlIdentity, linkerdName, spiffeId } from "../src/model/identity.ts";
import { systemClock } from "../src/net/clock.ts";
import type { Credentials } from "../src/net/credentials.ts";
import { GrpcCode } from "../src/protocol/grpc.ts";
import { CertifiedTransport, ControlTls } from "../src/proxy/identity/control-tls.ts";
import { CERTIFY_METHOD } from "../src/xds/certify.ts";
import { XdsClient } from "../src/xds/client.ts";
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
} from "../src/xds/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { DISCOVERY_METHOD, Http2Transport, type Secure } from "../src/xds/http2-transport.ts";
import { decodeJoinToken, joinProof } from "../src/xds/join-token.ts";
import { ENDPOINTS } from "../src/xds/resource-types.ts";
import { world } from "../src/xds/testing/worlds.ts";
import { logger, startAuthority, type TestAuthority, type TestClient } from "./support/certify.ts";
import { CutRelay } from "./support/cut-relay.ts";
import { makeTestCa, type TestCa, TestCredentials } from "./support/identity.ts";
import { needs } from "./support/peers.ts";
import { until } from "./support/until.ts";

const TRUST_DOMAIN = "cluster.local";
const PRICE = "spiffe://cluster.local/ns/shop/sa/price";
const CONTROL = spiffeId(controlIdentity(TRUST_DOMAIN));
const HOUR_MS = 3_600_000;
/** So that what virtual time adds does not make certificates that are not good yet. */
const BEHIND_MS = 10 * 60_000;

type Address = TestAuthority["address"];

let folder: string;
const cleanups: (() => void | Promise<void>)[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "heddle-xds-tls-"));
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
  await rm(folder, { recursive: true });
});

async function start(over: Parameters<typeof startAuthority>[0] = {}): Promise<TestAuthority> {
  const authority = await startAuthority({ lifetimeMs: HOUR_MS, stateDirectory: folder, behindMs: BEHIND_MS, ...over });
  cleanups.push(() => authority.close());
  return authority;
}

/** A sidecar's two streams over TLS. */
interface Remote {
  readonly of: TestClient;
  readonly tls: ControlTls;
  readonly token: string;
}

function remote(authority: TestAuthority, workload: string, address: Address = authority.address): Remote {
  const token = authority.joinToken(workload);
  const { roots, ...halves } = decodeJoinToken(token);
  const credentials = (): Credentials | undefined => of.client.current;
  const tls = new ControlTls(TRUST_DOMAIN, roots, credentials, systemClock);
  const of = authority.client(workload, { token: joinProof(halves), address, secure: tls.certify });
  return { of, tls, token };
}

async function certified({ of }: Remote): Promise<Credentials> {
  await until("a certificate came", () => of.client.current !== undefined).catch((error: unknown) => {
    throw new Error(of.log.join(""), { cause: error });
  });
  return of.client.current as Credentials;
}

/** Follows `price`, as discovery of that sidecar does. */
function follow({ of, tls }: Remote, address: Address): { readonly endpoints: () => string; readonly log: string[] } {
  const log: string[] = [];
  const inner = new Http2Transport(address, systemClock, DISCOVERY_METHOD, tls.discover);
  const client = new XdsClient({
    address,
    node: { workload: "price-1", namespace: "shop", service: "price", admin: "" },
    logger: logger(log),
    clock: systemClock,
    random: () => 0,
    transport: new CertifiedTransport(of.client, inner),
  });
  cleanups.push(() => client.close());
  let endpoints = "";
  client.watch("secret-service.default", {
    onView: ({ backends }) => {
      endpoints = [...backends.values()].flatMap((backend) => backend.endpoints.map((one) => one.address)).join(" ");
    },
    onUnknown: () => (endpoints = "unknown"),
  });
  return { endpoints: () => endpoints, log };
}

/** Asks for endpoints by hand. @returns the status that the stream ended with, or "served" */
async function ask(
  address: Address,
  as: Credentials | undefined,
  anchors: string,
  namespace = "shop",
): Promise<{ readonly status: number | "served"; readonly reason: string }> {
  const roots = anchors.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? [];
  const ders = roots.map((root) => new X509Certificate(root).raw);
  const tls = new ControlTls(TRUST_DOMAIN, ders, () => as, systemClock);
  const secure = as === undefined ? tls.certify : tls.discover;
  const transport = new Http2Transport(address, systemClock, DISCOVERY_METHOD, secure);
  const { promise, resolve } = Promise.withResolvers<{ status: number | "served"; reason: string }>();
  const request = create(DeltaDiscoveryRequestSchema, {
    node: { id: "by hand", metadata: { workload: "price-1", namespace } },
    typeUrl: ENDPOINTS,
    resourceNamesSubscribe: ["secret-service.default:80"],
  });
  const stream = transport.open({
    onOpen: () => stream.send(toBinary(DeltaDiscoveryRequestSchema, request)),
    onMessage: (bytes) => {
      const { resources } = fromBinary(DeltaDiscoveryResponseSchema, bytes);
      resolve({ status: resources.length === 1 ? "served" : 0, reason: "" });
    },
    onClose: (reason, status) => resolve({ reason, status: status ?? -1 }),
  });
  const outcome = await promise;
  stream.close();
  return outcome;
}

/** What the authority goes by, so that a test can sign what the authority would not. */
async function authorityOf(): Promise<{ readonly root: Signer; readonly trust: TrustState }> {
  return JSON.parse(await readFile(join(folder, EMBEDDED_FILE), "utf8")) as { root: Signer; trust: TrustState };
}

/** Signed by the authority's issuer. */
async function mint(identity: string, over: Parameters<TestCa["credentials"]>[1] = {}): Promise<Credentials> {
  const { root, trust } = await authorityOf();
  const ca = await makeTestCa({}, { root, issuer: trust.issuer });
  return ca.credentials(identity, { anchors: root.certificate, ...over });
}

async function rotate(authority: TestAuthority, ...clients: TestClient[]): Promise<void> {
  assert.equal(await authority.identity.rotate("all"), "started");
  await until(
    "the rotation is complete",
    () => {
      authority.clock.advance(200);
      for (const { clock } of clients) clock.advance(200);
      return authority.identity.status.rotation === null;
    },
    30_000,
  );
}

describe("a sidecar on another host", () => {
  it("gets its certificate and its discovery in TLS, and nobody in between reads a word", async () => {
    const authority = await start();
    authority.ads.setMesh(world({ "secret-service": ["10.7.7.7"] }));
    const relay = await CutRelay.start(authority.address);
    cleanups.push(() => relay.close());
    const price = remote(authority, "price-1", relay.address);
    const { endpoints } = follow(price, relay.address);
    await certified(price);
    await until("discovery answers", () => endpoints() === "10.7.7.7");
    authority.ads.setMesh(world({ "secret-service": ["10.7.7.8"] }));
    await until("and tells of changes", () => endpoints() === "10.7.7.8");

    const [, id = "-", secret = "-"] = price.token.split(".");
    const wire = relay.passed().toString("latin1");
    assert.ok(wire.length > 4_000);
    for (const word of [id, secret, "price-1", "secret-service", "10.7.7.7", "envoy.", "Certify"]) {
      assert.ok(!wire.includes(word), word);
    }
    // Who is asked for is said before anything is secret (RFC 8446 §4.1.2), so the relay has recorded indeed.
    assert.ok(wire.includes(linkerdName(controlIdentity(TRUST_DOMAIN))));
    assert.deepEqual(authority.xdsRefusals, []);
  });

  it("is served in the same way by a control plane that was started again", async () => {
    const authority = await start();
    authority.ads.setMesh(world({ "secret-service": ["10.7.7.7"] }));
    const price = remote(authority, "price-1");
    const { endpoints } = follow(price, authority.address);
    await certified(price);
    await until("discovery answers", () => endpoints() === "10.7.7.7");
    await authority.stop();
    const again = await start({ port: authority.address.port });
    again.ads.setMesh(world({ "secret-service": ["10.7.7.8"] }));
    await until("discovery answers again", () => endpoints() === "10.7.7.8");
    await until("the authority knows it again", () => {
      price.of.clock.advance(500);
      return again.identity.status.proxies.length === 1;
    });
    assert.equal(price.of.client.refreshes, 1);
  });

  it("whose certificate has expired asks for the next", async () => {
    const lifetimeMs = 5_000;
    const authority = await start({ lifetimeMs, behindMs: 0, clock: systemClock, now: Date.now });
    authority.ads.setMesh(world({ "secret-service": ["10.7.7.7"] }));
    const relay = await CutRelay.start(authority.address);
    cleanups.push(() => relay.close());
    const price = remote(authority, "price-1", relay.address);
    const first = await certified(price);
    await relay.cut();
    await until("its certificate has expired", () => Date.now() > first.notAfter, 20_000);
    const { status, reason } = await ask(authority.address, first, first.anchors);
    assert.equal(status, GrpcCode.unauthenticated, reason);
    await relay.mend();
    price.of.clock.advance(lifetimeMs);
    await until("it has another", () => {
      price.of.clock.advance(500);
      return price.of.client.refreshes === 2;
    });
    const next = price.of.client.current as Credentials;
    assert.equal((await ask(authority.address, next, next.anchors)).status, "served");
  });
});

const asIs = (bytes: Buffer): Buffer => bytes;

describe("who asks the xDS port for the mesh, in TLS", () => {
  const cases: readonly {
    readonly name: string;
    readonly as: () => Promise<Credentials | undefined>;
    readonly namespace?: string;
    readonly status: number | "served";
    readonly reason: RegExp;
    readonly counted: readonly string[];
  }[] = [
    {
      name: "a workload of the mesh is served",
      as: () => mint(PRICE),
      status: "served",
      reason: /^$/,
      counted: [],
    },
    {
      name: "a workload of another namespace than it says is refused",
      as: () => mint(PRICE),
      namespace: "bank",
      status: GrpcCode.permissionDenied,
      reason: /namespace is not that of its certificate, spiffe:\/\/cluster\.local\/ns\/shop/,
      counted: ["namespace"],
    },
    {
      name: "nobody is refused",
      as: () => Promise.resolve(undefined),
      status: GrpcCode.unauthenticated,
      reason: /found no certificate; .*heddle identity token/,
      counted: ["no_certificate"],
    },
    {
      name: "a workload of another authority is refused",
      as: async () => {
        const { root } = await authorityOf();
        return (await makeTestCa()).credentials(PRICE, { anchors: root.certificate });
      },
      status: GrpcCode.unauthenticated,
      reason: /none of our roots/,
      counted: ["bad_certificate"],
    },
    {
      name: "an expired certificate is refused",
      as: () => mint(PRICE, { notAfter: Date.now() - 60_000 }),
      status: GrpcCode.unauthenticated,
      reason: /expired/,
      counted: ["bad_certificate"],
    },
    {
      name: "a certificate that is not good yet is refused",
      as: () => mint(PRICE, { notBefore: Date.now() + HOUR_MS / 2 }),
      status: GrpcCode.unauthenticated,
      reason: /not valid yet/,
      counted: ["bad_certificate"],
    },
    {
      name: "a workload of another trust domain is refused, though the authority is ours",
      as: () => mint("spiffe://other.test/ns/shop/sa/price"),
      status: GrpcCode.unauthenticated,
      reason: /trust domain other\.test/,
      counted: ["trust_domain"],
    },
    {
      name: "a certificate with two names is refused",
      as: () => mint(PRICE, { uris: [PRICE, "spiffe://cluster.local/ns/bank/sa/safe"] }),
      status: GrpcCode.unauthenticated,
      reason: /SPIFFE id/,
      counted: ["bad_certificate"],
    },
  ];
  for (const { name, as, namespace, status, reason, counted } of cases) {
    it(name, async () => {
      const authority = await start();
      authority.ads.setMesh(world({ "secret-service": ["10.7.7.7"] }));
      const { root } = await authorityOf();
      const outcome = await ask(authority.address, await as(), root.certificate, namespace);
      assert.equal(outcome.status, status, outcome.reason);
      assert.match(outcome.reason, reason);
      assert.deepEqual(authority.xdsRefusals, counted);
      assert.ok(!authority.log.some((line) => line.includes("10.7.7.7")));
    });
  }

  it("is asked for a certificate by both methods: grpc-js gets in with one, and not without", async () => {
    const authority = await start();
    const { root } = await authorityOf();
    const { key, chain } = await mint(PRICE);
    const anchors = Buffer.from(root.certificate);
    const options = { "grpc.ssl_target_name_override": linkerdName(controlIdentity(TRUST_DOMAIN)) };
    const status = async (credentials: grpc.ChannelCredentials, method: string): Promise<number> => {
      const client = new grpc.Client(`127.0.0.1:${authority.address.port}`, credentials, options);
      const path = `/envoy.service.discovery.v3.AggregatedDiscoveryService/${method}`;
      const call = client.makeBidiStreamRequest(path, asIs, asIs);
      call.on("data", () => {}).on("error", () => {});
      const { promise, resolve } = Promise.withResolvers<number>();
      call.on("status", ({ code }) => resolve(code));
      call.end();
      return promise.finally(() => client.close());
    };
    for (const method of ["StreamAggregatedResources", "DeltaAggregatedResources"]) {
      assert.equal(await status(grpc.credentials.createSsl(anchors), method), grpc.status.UNAUTHENTICATED);
      const own = grpc.credentials.createSsl(anchors, Buffer.from(key), Buffer.from(chain));
      assert.equal(await status(own, method), grpc.status.OK);
    }
    assert.deepEqual(authority.xdsRefusals, ["no_certificate", "no_certificate"]);
  });

  it("speaks TLS 1.3 and HTTP/2, and sees the control plane's name", needs("openssl"), async () => {
    const authority = await start();
    const { root } = await authorityOf();
    await writeFile(join(folder, "root.pem"), root.certificate);
    const flags = ["-CAfile", join(folder, "root.pem"), "-servername", linkerdName(controlIdentity(TRUST_DOMAIN))];
    const good = await openssl(authority.address, ...flags, "-alpn", "h2", "-showcerts");
    assert.match(good, /Verify return code: 0 \(ok\)/);
    assert.match(good, /TLSv1\.3, Cipher is TLS_AES_128_GCM_SHA256/);
    assert.match(good, /ALPN protocol: h2/);
    const leaf = new X509Certificate(/-----BEGIN CERTIFICATE[^]*?END CERTIFICATE-----/.exec(good)?.[0] ?? "");
    assert.match(leaf.subjectAltName ?? "", new RegExp(`URI:${CONTROL}, DNS:heddle-control\\.heddle\\.serviceaccount`));
    assert.match(await openssl(authority.address, ...flags, "-tls1_2"), /alert protocol version/);
    assert.match(await openssl(authority.address, ...flags, "-alpn", "http/1.1"), /alert no application protocol/);
    await until("both are counted", () => authority.xdsRefusals.join() === "handshake,handshake");
  });
});

/** What s_client prints, however it ends. */
async function openssl({ host, port }: Address, ...flags: string[]): Promise<string> {
  const child = spawn("openssl", ["s_client", "-connect", `${host}:${port}`, ...flags], { timeout: 30_000 });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (text += String(chunk)));
  child.stdin.end();
  await once(child, "close");
  return text;
}

/** A listener that is what a control plane is, but for its certificate. */
async function fake(credentials: Credentials, asked: string[]): Promise<Address> {
  const listener = await listenXds({
    address: { host: "127.0.0.1", port: 0 },
    insecure: true,
    credentials: new TestCredentials(credentials),
    trustDomain: TRUST_DOMAIN,
    clock: systemClock,
    now: Date.now,
    logger: logger([]),
    onRefused: (reason) => asked.push(reason),
    routes: () => {},
  });
  cleanups.push(() => listener.close());
  return listener.address;
}

/** Why a sidecar does not speak to it; fails if it does. */
async function refusal(address: Address, secure: Secure, method: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const stream = new Http2Transport(address, systemClock, method, secure).open({
    onOpen: () => reject(new Error("it was taken for the control plane")),
    onMessage: () => {},
    onClose: resolve,
  });
  cleanups.push(() => stream.close());
  return promise;
}

describe("who stands in for the control plane", () => {
  const impostors: readonly [string, () => Promise<Credentials>, RegExp][] = [
    [
      "another authority's",
      async () => (await makeTestCa()).credentials(CONTROL),
      /none of our roots; .*new join token/,
    ],
    [
      "a workload's",
      () => mint(PRICE),
      /found spiffe:.*sa\/price, expected the control plane, spiffe:.*heddle-control/,
    ],
    ["an expired one", () => mint(CONTROL, { notAfter: Date.now() - 60_000 }), /expired/],
    [
      "that of the control plane of another trust domain",
      () => mint(spiffeId(controlIdentity("other.test"))),
      /found spiffe:\/\/other\.test/,
    ],
  ];
  for (const [name, made, expected] of impostors) {
    it(`with ${name} certificate is told nothing`, async () => {
      await start();
      const { root } = await authorityOf();
      const own = await mint(PRICE);
      const tls = new ControlTls(TRUST_DOMAIN, [new X509Certificate(root.certificate).raw], () => own, systemClock);
      const asked: string[] = [];
      const address = await fake(await made(), asked);
      assert.match(await refusal(address, tls.certify, CERTIFY_METHOD), expected);
      assert.match(await refusal(address, tls.discover, DISCOVERY_METHOD), expected);
    });
  }

  it("has no token to do so with", async () => {
    const authority = await start();
    const subject = { ...controlIdentity(TRUST_DOMAIN), workload: "impostor" };
    assert.equal(authority.identity.joinToken(subject), "reserved");
    assert.equal(typeof authority.identity.joinToken({ ...subject, namespace: "shop" }), "object");
  });

  it("in plain is told nothing, and the token stays good", async () => {
    const authority = await start();
    const heard: Buffer[] = [];
    const server = net.createServer((socket) => {
      socket.on("error", () => {}).on("data", (chunk: Buffer) => heard.push(chunk));
      socket.end("HTTP/1.1 200 OK\r\n\r\n");
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    cleanups.push(() => void server.close());
    const { port } = server.address() as net.AddressInfo;
    const price = remote(authority, "price-1", { host: "127.0.0.1", port });
    await until("it was refused", () => price.of.log.some((line) => /no certificate yet/.test(line)));
    const [, id = "-", secret = "-"] = price.token.split(".");
    assert.ok(heard.length > 0);
    assert.ok(![id, secret].some((word) => Buffer.concat(heard).includes(word)));
    assert.ok(!price.of.log.join("").includes(secret));
    assert.equal(authority.identity.counts.tokens, 1);
  });
});

describe("roots that change", () => {
  it("are changed under sidecars whose streams are in TLS, and later connections go by the new ones", async () => {
    const authority = await start();
    authority.ads.setMesh(world({ "secret-service": ["10.7.7.7"] }));
    const [price, cart] = [remote(authority, "price-1"), remote(authority, "price-2")] as const;
    const { endpoints } = follow(price, authority.address);
    const before = await certified(price);
    await certified(cart);
    await until("discovery answers", () => endpoints() === "10.7.7.7");
    await rotate(authority, price.of, cart.of);
    const after = price.of.client.current as Credentials;
    assert.notEqual(after.anchors, before.anchors);
    authority.ads.setMesh(world({ "secret-service": ["10.7.7.8"] }));
    await until("the old connection goes on", () => endpoints() === "10.7.7.8");
    assert.equal((await ask(authority.address, after, after.anchors)).status, "served");
    // Who comes with the retired root's certificate is refused, but knows the control plane still.
    assert.equal((await ask(authority.address, before, before.anchors)).status, GrpcCode.unauthenticated);
    assert.deepEqual(authority.refusals, []);
  });

  it("several times while a sidecar is away let it come back, up to a bound", async () => {
    const authority = await start();
    const relay = await CutRelay.start(authority.address);
    cleanups.push(() => relay.close());
    const price = remote(authority, "price-1");
    const away = remote(authority, "price-2", relay.address);
    await certified(price);
    const { anchors } = await certified(away);
    await relay.cut();
    await until("it is away", () => authority.identity.status.proxies.some(({ connected }) => !connected));
    for (let times = 0; times < CROSSES_MAX; times++) await rotate(authority, price.of);
    assert.equal(away.of.client.refreshes, 1);
    assert.equal(away.of.client.current?.anchors, anchors);
    await relay.mend();
    await until("it has a new certificate", () => {
      away.of.clock.advance(1_000);
      return away.of.client.refreshes === 2;
    });
    assert.equal(away.of.client.current?.anchors, price.of.client.current?.anchors);

    await relay.cut();
    await until("it is away again", () => authority.identity.status.proxies.some(({ connected }) => !connected));
    for (let times = 0; times <= CROSSES_MAX; times++) await rotate(authority, price.of);
    assert.equal((await authorityOf()).trust.crosses.length, CROSSES_MAX);
    await relay.mend();
    await until("it says what is wrong", () => {
      away.of.clock.advance(1_000);
      return away.of.log.some((line) => /none of our roots; .*new join token/.test(line));
    });
    assert.equal(away.of.client.refreshes, 2);
  });

  it("are in a token that is made meanwhile, so it is good through the change", async () => {
    const authority = await start();
    const price = remote(authority, "price-1");
    await certified(price);
    await authority.identity.rotate("all");
    await until("both roots are trusted", () => {
      authority.clock.advance(100);
      return authority.identity.status.roots.length === 2;
    });
    const token = decodeJoinToken(authority.joinToken("price-3"));
    assert.equal(token.roots.length, 2);
    await until("the rotation is complete", () => {
      authority.clock.advance(200);
      price.of.clock.advance(200);
      return authority.identity.status.rotation === null;
    });
    const tls = new ControlTls(TRUST_DOMAIN, token.roots, () => late.client.current, systemClock);
    const late = authority.client("price-3", { token: joinProof(token), secure: tls.certify });
    await until("it has a certificate", () => late.client.current !== undefined);
  });

  it("are somebody else's files, to which a sidecar that was away has no way: it says that it needs a token", async () => {
    const files: IdentityFiles = {
      roots: join(folder, "roots.pem"),
      issuerCertificate: join(folder, "issuer.pem"),
      issuerKey: join(folder, "issuer.key"),
    };
    const write = async (): Promise<void> => {
      const validity = { notBefore: Date.now() - HOUR_MS, notAfter: Date.now() + HOUR_MS };
      const root = await makeRoot(validity);
      const issuer = await makeIssuer(root, validity);
      await writeFile(files.issuerKey, issuer.key, { mode: 0o600 });
      await writeFile(files.issuerCertificate, issuer.certificate);
      await writeFile(files.roots, root.certificate);
    };
    await write();
    const authority = await start({ files });
    const relay = await CutRelay.start(authority.address);
    cleanups.push(() => relay.close());
    const price = remote(authority, "price-1");
    const away = remote(authority, "price-2", relay.address);
    await certified(price);
    await certified(away);
    await relay.cut();
    await until("it is away", () => authority.identity.status.proxies.some(({ connected }) => !connected));
    const [before] = authority.identity.status.roots;
    await write();
    await until(
      "the change is complete",
      () => {
        authority.clock.advance(LOOK_AT_FILES_EVERY_MS / 10);
        price.of.clock.advance(200);
        const { rotation, roots } = authority.identity.status;
        return rotation === null && roots.length === 1 && roots[0]?.fingerprint !== before?.fingerprint;
      },
      30_000,
    );
    await relay.mend();
    await until("it says so", () => {
      away.of.clock.advance(1_000);
      return away.of.log.some((line) => /none of our roots; .*new join token/.test(line));
    });
    const fresh = remote(authority, "price-3");
    await certified(fresh);
  });
});
