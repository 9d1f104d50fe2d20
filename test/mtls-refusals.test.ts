/** Who comes without the right certificate: openssl at the door of a sidecar, and behind the door that a sidecar knocks at. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import http2 from "node:http2";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it, type TestContext } from "node:test";
import tls from "node:tls";

import { NO_DOCUMENT, openPolicy, type TlsMode } from "../src/model/inbound-policy.ts";
import type { PortProtocol } from "../src/model/service.ts";
import type { Credentials } from "../src/net/credentials.ts";
import { type Application, call, startApplication } from "./support/application.ts";
import { makeTestCa, TestCredentials } from "./support/identity.ts";
import { metricSum } from "./support/mesh.ts";
import { needs } from "./support/peers.ts";
import { freePorts } from "./support/ports.ts";
import { HANDSHAKES_MAX } from "../src/proxy/tls/mesh-tls.ts";
import { rawConnect, type RawPeer, rawServer } from "./support/raw.ts";
import { CART, identityOf, PRICE, PRICE_NAME, type Secured, secured, type SecuredOptions } from "./support/secured.ts";
import { until } from "./support/until.ts";
import { root } from "./support/up.ts";

const ca = await makeTestCa();
const price = await ca.credentials(PRICE);
const cart = await ca.credentials(CART);
const HOUR_MS = 3_600_000;
const REQUEST = "GET / HTTP/1.1\r\nHost: price\r\nConnection: close\r\n\r\n";

let folder = "";
let application: Application;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "heddle-mtls-"));
  application = await startApplication("price");
});
after(async () => {
  application.close();
  await rm(folder, { recursive: true });
});

function mesh(context: TestContext, over: Partial<SecuredOptions> = {}): Promise<Secured> {
  return secured(context, {
    protocol: "detect",
    applicationPort: application.port,
    caller: new TestCredentials(cart),
    service: new TestCredentials(price),
    ...over,
  });
}

let files = 0;

/** Flags with which openssl has these credentials. */
async function filesOf({ key, chain, anchors }: Credentials): Promise<string[]> {
  const name = (kind: string): string => join(folder, `${files}.${kind}`);
  files++;
  const flags = ["-cert", name("crt"), "-cert_chain", name("crt"), "-key", name("key"), "-CAfile", name("ca")];
  await Promise.all([
    writeFile(name("crt"), chain),
    writeFile(name("key"), key, { mode: 0o600 }),
    writeFile(name("ca"), anchors),
  ]);
  return flags;
}

/** What `openssl s_client` got for a request, however that ended. */
async function ask(port: number, ...flags: readonly string[]): Promise<string> {
  const args = ["s_client", "-connect", `127.0.0.1:${port}`, "-servername", PRICE_NAME, "-quiet", "-ign_eof", ...flags];
  const child = spawn("openssl", args, { stdio: ["pipe", "pipe", "ignore"], timeout: 30_000 });
  let text = "";
  child.stdout.on("data", (chunk) => (text += String(chunk)));
  child.stdin.on("error", () => {});
  child.stdin.write(REQUEST);
  await once(child, "close");
  return text;
}

async function assertRefused(of: Secured, side: "caller" | "service", reason: string, detail: RegExp): Promise<void> {
  await until(`it is counted as ${reason}`, async () => {
    return metricSum(await of.metrics(side), "heddle_tls_handshake_failures_total", `reason="${reason}"`) > 0;
  });
  const direction = side === "caller" ? "outbound" : "inbound";
  assert.ok(metricSum(await of.metrics(side), `${direction}_tcp_errors_total`, 'error="tls"') > 0);
  const line = of.log.find((one) => one.reason === reason && one.direction === direction);
  assert.match(String(line?.detail), detail);
  assert.equal(line?.level, "warn");
}

describe("who knocks at a sidecar", needs("openssl"), () => {
  it("with a right certificate is answered", async (context) => {
    const of = await mesh(context);
    const asked = application.requests;
    assert.match(await ask(of.inboundPort, ...(await filesOf(cart))), /^HTTP\/1\.1 200 /);
    assert.equal(application.requests, asked + 1);
    assert.equal(metricSum(await of.metrics("service"), "heddle_tls_handshake_failures_total"), 0);
  });

  const refusals: readonly [string, () => Promise<string[]>, reason: string, detail: RegExp][] = [
    ["no certificate", async () => [], "no_certificate", /no certificate/],
    [
      "one of another CA",
      async () => filesOf(await (await makeTestCa()).credentials(CART)),
      "unknown_ca",
      /none of our roots/,
    ],
    [
      "an expired one",
      async () => filesOf(await ca.credentials(CART, { notAfter: Date.now() - 60_000 })),
      "expired",
      /expired/,
    ],
    [
      "one not valid yet",
      async () => filesOf(await ca.credentials(CART, { notBefore: Date.now() + HOUR_MS / 2 })),
      "not_yet_valid",
      /clocks/,
    ],
    [
      "one without an identity",
      async () => filesOf(await ca.credentials(CART, { uris: [] })),
      "no_identity",
      /SPIFFE id/,
    ],
    [
      "one of another trust domain",
      async () => filesOf(await ca.credentials("spiffe://elsewhere/ns/shop/sa/cart")),
      "wrong_identity",
      /found spiffe:\/\/elsewhere\/ns\/shop\/sa\/cart, expected a workload of spiffe:\/\/cluster.local/,
    ],
    ["a right one, but TLS 1.2", async () => [...(await filesOf(cart)), "-tls1_2"], "protocol_version", /TLS 1\.3/],
    [
      "a right one, but a protocol inside that we do not have",
      async () => [...(await filesOf(cart)), "-alpn", "imap"],
      "no_agreement",
      /nothing that both/,
    ],
  ];
  for (const [what, flags, reason, detail] of refusals) {
    it(`with ${what} is refused, and the application hears nothing`, async (context) => {
      const of = await mesh(context);
      const asked = application.requests;
      assert.equal(await ask(of.inboundPort, ...(await flags())), "");
      await assertRefused(of, "service", reason, detail);
      assert.equal(application.requests, asked);
    });
  }
});

describe("who a sidecar knocks at", needs("openssl"), () => {
  const elsewhere: readonly [string, () => Promise<Credentials>, reason: string, detail: RegExp][] = [
    [
      "is somebody else of the same CA",
      () => ca.credentials(identityOf("thief")),
      "wrong_identity",
      /found spiffe:\/\/cluster.local\/ns\/shop\/sa\/thief, expected spiffe:\/\/cluster.local\/ns\/shop\/sa\/price/,
    ],
    ["is of another CA", async () => (await makeTestCa()).credentials(PRICE), "unknown_ca", /none of our roots/],
    [
      "has an expired certificate",
      () => ca.credentials(PRICE, { notAfter: Date.now() - 60_000 }),
      "expired",
      /expired/,
    ],
  ];
  for (const [what, credentials, reason, detail] of elsewhere) {
    it(`and who ${what} gets nothing`, async (context) => {
      const [port = 0] = await freePorts(1);
      const args = [
        "s_server",
        "-accept",
        `127.0.0.1:${port}`,
        "-naccept",
        "100",
        "-quiet",
        "-Verify",
        "2",
        ...(await filesOf(await credentials())),
      ];
      const server = spawn("openssl", args, { stdio: ["pipe", "pipe", "ignore"] });
      context.after(() => server.kill("SIGKILL"));
      let got = "";
      server.stdout.on("data", (chunk) => (got += String(chunk)));
      const of = await mesh(context, { at: port });
      await until("it is up", () => listens(port));
      const { status, body } = await call(`http://127.0.0.1:${of.outboundPort}`, "price");
      assert.equal(status, 502);
      assert.match(body, detail);
      await assertRefused(of, "caller", reason, detail);
      assert.equal(got, "", "not a byte of the request has left");
    });
  }

  it("speaks TLS 1.2 only gets nothing", async (context) => {
    const server = tls
      .createServer({ key: price.key, cert: price.chain, maxVersion: "TLSv1.2" })
      .listen(0, "127.0.0.1");
    server.on("tlsClientError", () => {});
    await once(server, "listening");
    context.after(() => server.close());
    const of = await mesh(context, { at: (server.address() as net.AddressInfo).port });
    assert.equal((await call(`http://127.0.0.1:${of.outboundPort}`, "price")).status, 502);
    await assertRefused(of, "caller", "protocol_version", /TLS 1\.3/);
  });

  it("speaks no TLS at all gets nothing", async (context) => {
    const server = await rawServer(context, ({ socket }) =>
      socket.on("data", () => socket.write("HTTP/1.1 400 What?\r\n\r\n")),
    );
    const of = await mesh(context, { at: server.port });
    assert.equal((await call(`http://127.0.0.1:${of.outboundPort}`, "price")).status, 502);
    await assertRefused(of, "caller", "protocol_error", /broken TLS/);
    assert.ok(server.peers.every(({ text }) => !text.includes("HTTP")));
  });
});

async function listens(port: number): Promise<boolean> {
  const socket = net.connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** A TLS connection as another program would make it. */
async function dialled(
  context: TestContext,
  port: number,
  credentials: Credentials | undefined,
  servername: string,
): Promise<tls.TLSSocket> {
  const { key, chain } = credentials ?? {};
  const socket = tls.connect({ port, host: "127.0.0.1", servername, key, cert: chain, rejectUnauthorized: false });
  socket.on("error", () => {});
  context.after(() => socket.destroy());
  await once(socket, "secureConnect");
  return socket;
}

const at = (mode: TlsMode): Partial<SecuredOptions> => ({
  policy: { ...openPolicy, tls: { mode, origin: NO_DOCUMENT } },
});

describe("what a port takes", () => {
  for (const protocol of ["detect", "http", "opaque"] satisfies PortProtocol[]) {
    it(`permissive, ${protocol}: plaintext as well, and says so`, async (context) => {
      const of = await mesh(context, { ...at("permissive"), protocol });
      const client = await rawConnect(context, of.inboundPort);
      client.socket.write(REQUEST);
      await until("it is answered", () => client.text.startsWith("HTTP/1.1 200 OK"));
      const metrics = await of.metrics("service");
      const labels = ['peer="src"', 'tls="no_identity"', 'no_tls_reason="no_tls_from_remote"'];
      assert.equal(metricSum(metrics, "tcp_open_total", ...labels), 1);
      if (protocol !== "opaque") assert.equal(metricSum(metrics, "request_total", 'tls="no_identity"'), 1);
    });

    it(`strict, ${protocol}: refuses plaintext by RST, and whose TLS is for somebody else`, async (context) => {
      const of = await mesh(context, { ...at("strict"), protocol });
      const asked = application.requests;
      const client = await rawConnect(context, of.inboundPort);
      client.socket.write(REQUEST);
      await until("it is reset", () => client.closed === "ECONNRESET");
      await assertRefused(of, "service", "plaintext", /takes nothing but TLS of the mesh/);
      const other = tls.connect({ port: of.inboundPort, host: "127.0.0.1", servername: "example.test" });
      assert.equal(((await once(other, "error")) as [NodeJS.ErrnoException])[0].code, "ECONNRESET");
      const ours = await dialled(context, of.inboundPort, cart, PRICE_NAME);
      ours.write(REQUEST);
      assert.match(String((await once(ours, "data"))[0]), /^HTTP\/1\.1 200 OK/);
      assert.equal(application.requests, asked + 1);
    });
  }

  it("strict: nobody hears from the server before he has said who he is", async (context) => {
    const server = await rawServer(context, ({ socket }) => socket.write("220 hello\r\n"));
    const other = await rawServer(context, ({ socket }) => socket.write("220 hello\r\n"));
    const strict = await mesh(context, { ...at("strict"), protocol: "detect", applicationPort: server.port });
    const permissive = await mesh(context, { ...at("permissive"), protocol: "detect", applicationPort: other.port });
    const client = await rawConnect(context, strict.inboundPort);
    const later = await rawConnect(context, permissive.inboundPort);
    await until("who came later has heard from a server", () => later.text === "220 hello\r\n");
    assert.deepEqual([client.text, server.peers.length], ["", 0]);
  });

  it("disable: TLS for this sidecar is left to the application", async (context) => {
    const server = await rawServer(context);
    const of = await mesh(context, { ...at("disable"), applicationPort: server.port });
    const socket = tls.connect({ port: of.inboundPort, host: "127.0.0.1", servername: PRICE_NAME });
    socket.on("error", () => {});
    context.after(() => socket.destroy());
    await until("the ClientHello is there", () => server.peers[0]?.text.includes(PRICE_NAME) === true);
  });

  for (const protocol of ["detect", "opaque"] satisfies PortProtocol[]) {
    it(`permissive, ${protocol}: TLS of the application's own goes through`, async (context) => {
      const server = tls
        .createServer({ key: price.key, cert: price.chain }, (socket) => socket.pipe(socket))
        .listen(0, "127.0.0.1");
      await once(server, "listening");
      context.after(() => server.close());
      const of = await mesh(context, { protocol, applicationPort: (server.address() as net.AddressInfo).port });
      const socket = await dialled(context, of.inboundPort, undefined, "shop.example");
      socket.write("echo");
      assert.equal(String((await once(socket, "data"))[0]), "echo");
      assert.equal(metricSum(await of.metrics("service"), "tcp_open_total", 'peer="src"', 'tls="opaque"'), 1);
    });
  }

  it("a ClientHello in single bytes, and one cut off", async (context) => {
    const of = await mesh(context);
    const torn = net.connect({ port: of.inboundPort, host: "127.0.0.1", noDelay: true });
    context.after(() => torn.destroy());
    await once(torn, "connect");
    let first = true;
    const byBytes = new (await import("node:stream")).Duplex({
      read() {},
      async write(chunk: Buffer, _encoding, done) {
        const bytes = first ? chunk : Buffer.alloc(0);
        for (const byte of bytes) {
          torn.write(Buffer.from([byte]));
          await new Promise((resolve) => setImmediate(resolve));
        }
        if (!first) torn.write(chunk);
        first = false;
        done();
      },
    });
    torn.on("data", (chunk) => byBytes.push(chunk));
    torn.on("end", () => byBytes.push(null));
    const socket = tls.connect({
      socket: byBytes,
      servername: PRICE_NAME,
      key: cart.key,
      cert: cart.chain,
      rejectUnauthorized: false,
    });
    socket.on("error", () => {});
    context.after(() => socket.destroy());
    await once(socket, "secureConnect");
    socket.write(REQUEST);
    assert.match(String((await once(socket, "data"))[0]), /^HTTP\/1\.1 200 OK/);

    const cut = await rawConnect(context, of.inboundPort);
    cut.socket.end(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00]));
    await until("it is closed", () => cut.closed !== "");
  });

  it("permissive, opaque: a plain caller hears a server that speaks first", async (context) => {
    const server = await rawServer(context, ({ socket }) => socket.write("220 hello\r\n"));
    const of = await mesh(context, { protocol: "opaque", applicationPort: server.port });
    const client = await rawConnect(context, of.inboundPort);
    await until("the greeting is here", () => client.text === "220 hello\r\n");
    client.socket.end("bye");
    await until("it is answered", () => server.peers.at(-1)?.text === "bye" && server.peers.at(-1)?.ended === true);
  });

  it("so many handshakes at once, and no more", async (context) => {
    const of = await mesh(context);
    const hello = readFileSync(join(root, "fuzz/corpus/client-hello/sidecar"));
    const open = async (): Promise<RawPeer> => {
      const peer = await rawConnect(context, of.inboundPort);
      peer.socket.write(hello);
      return peer;
    };
    const peers = await Promise.all(Array.from({ length: HANDSHAKES_MAX }, open));
    await until("all of them are answered", () => peers.every(({ text }) => text !== ""), 30_000);
    const more = await open();
    await until("one more is refused", () => more.closed === "ECONNRESET");
    await assertRefused(of, "service", "overload", /under way already/);
    for (const { socket } of peers) socket.destroy();
    await until(
      "there is room again",
      async () => (await ask(of.inboundPort, ...(await filesOf(cart)))).startsWith("HTTP"),
      30_000,
    );
  });

  it("does not believe a stranger's word for how a request was", async (context) => {
    const of = await mesh(context, { protocol: "http" });
    const server = http2.createServer((request, response) => {
      response.end(
        JSON.stringify([request.method, Object.keys(request.headers).filter((name) => name.startsWith("heddle"))]),
      );
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    context.after(() => server.close());
    const { port } = server.address() as net.AddressInfo;
    const plain = await mesh(context, { protocol: "http2", applicationPort: port });
    const client = http2.connect(`http://127.0.0.1:${plain.inboundPort}`);
    context.after(() => client.destroy());
    assert.deepEqual(JSON.parse(await askForged(client)), ["GET", []]);
    assert.equal(of.log.length, 0);
  });
});

/** Poses as a sidecar that carries HTTP/1. @returns what the application was asked */
async function askForged(session: http2.ClientHttp2Session): Promise<string> {
  const stream = session.request({
    ":authority": "price",
    "heddle-orig-proto": "1.1",
    "heddle-orig-names": "X-Forged",
    "x-forged": "1",
  });
  let text = "";
  for await (const chunk of stream) text += String(chunk);
  return text;
}

describe("a port that takes TLS of the mesh again", () => {
  for (const mode of ["permissive", "strict"] as const) {
    it(`takes nobody's word for how a request was, on no connection (${mode})`, async (context) => {
      const of = await mesh(context, at("disable"));
      const client = http2.connect(`http://127.0.0.1:${of.inboundPort}`);
      client.on("error", () => {});
      context.after(() => client.destroy());
      assert.match(await askForged(client), /"X-Forged"/);
      const silent = await rawConnect(context, of.inboundPort);
      await until(
        "all are accepted",
        async () => metricSum(await of.metrics("service"), "tcp_open_total", 'peer="src"') === 2,
      );
      of.setPolicy({ ...openPolicy, tls: { mode, origin: NO_DOCUMENT } });
      await once(client, "close");
      await until("the silent one is closed, too", () => silent.ended);
      if (mode === "strict") return;
      const again = http2.connect(`http://127.0.0.1:${of.inboundPort}`);
      context.after(() => again.destroy());
      assert.doesNotMatch(await askForged(again), /"X-Forged"/);
    });
  }
});

describe("a sidecar", () => {
  it("without an identity still reaches one that has one and takes plaintext", async (context) => {
    const of = await mesh(context, { caller: undefined });
    const { status, body } = await call(`http://127.0.0.1:${of.outboundPort}`, "price", "/", {
      headers: { "X-MiXed": "1" },
    });
    assert.equal(status, 200);
    assert.ok(JSON.parse(body).headers.includes("X-MiXed"));
    assert.equal(metricSum(await of.metrics("caller"), "request_total", 'tls="disabled"'), 1);
  });

  it("with an identity speaks plaintext to who needs to prove none", async (context) => {
    const of = await mesh(context, { service: undefined, expected: "" });
    assert.equal((await call(`http://127.0.0.1:${of.outboundPort}`, "price")).status, 200);
    const labels = ['tls="no_identity"', 'no_tls_reason="not_provided_by_service_discovery"'];
    assert.equal(metricSum(await of.metrics("caller"), "request_total", ...labels), 1);
  });

  it("that has no certificate yet speaks to nobody who must prove his, and lets no TLS in", async (context) => {
    const of = await mesh(context, { caller: new TestCredentials(undefined) });
    const { status, body } = await call(`http://127.0.0.1:${of.outboundPort}`, "price");
    assert.equal(status, 502);
    assert.match(body, /no certificate yet/);
    await assertRefused(of, "caller", "no_credentials", /no certificate yet/);
  });

  for (const mode of ["permissive", "strict"] as const) {
    it(`that has no certificate yet says so to who means it, and asks nobody instead (${mode})`, async (context) => {
      const asked = application.requests;
      const of = await mesh(context, { ...at(mode), service: new TestCredentials(undefined) });
      const { status } = await call(`http://127.0.0.1:${of.outboundPort}`, "price");
      assert.equal(status, 502);
      await assertRefused(of, "service", "no_credentials", /no certificate yet/);
      assert.equal(metricSum(await of.metrics("service"), "tcp_open_total", 'tls="opaque"'), 0);
      assert.equal(application.requests, asked);
    });
  }

  it("keeps its certificate when a new one makes no sense", async (context) => {
    const service = new TestCredentials(price);
    const of = await mesh(context, { service });
    service.replace({ ...price, key: cart.key });
    assert.ok(
      of.log.some(({ level, message }) => level === "error" && /cannot be used/.test(String(message))),
      JSON.stringify(of.log),
    );
    assert.equal((await call(`http://127.0.0.1:${of.outboundPort}`, "price")).status, 200);
    assert.ok(!JSON.stringify(of.log).includes("PRIVATE KEY"));
  });
});
