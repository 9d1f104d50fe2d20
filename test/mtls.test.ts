/** Mutual TLS between two sidecars carries all that they carry without it, and nobody in between can read it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, randomBytes, X509Certificate } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { describe, it, type TestContext } from "node:test";
import tls from "node:tls";

import { WebSocket, WebSocketServer } from "ws";

import type { PortProtocol } from "../src/model/service.ts";
import { systemClock } from "../src/net/clock.ts";
import { startProxy } from "../src/proxy/proxy.ts";
import { cases, connectInterop } from "./interop/cases.ts";
import { startInteropServer } from "./interop/server.ts";
import { call, startApplication } from "./support/application.ts";
import { makeTestCa, TestCredentials } from "./support/identity.ts";
import { ANY_PORT, metricSum, sidecar } from "./support/mesh.ts";
import { needs } from "./support/peers.ts";
import { freePorts } from "./support/ports.ts";
import { output } from "./support/programs.ts";
import { rawConnect, rawServer } from "./support/raw.ts";
import { CART, PRICE, PRICE_NAME, type Secured, secured, type SecuredOptions } from "./support/secured.ts";
import { until } from "./support/until.ts";

const ca = await makeTestCa();
const priceCredentials = await ca.credentials(PRICE);
const cartCredentials = await ca.credentials(CART);
const CART_NAME = PRICE_NAME.replace("price", "cart");
const READABLE = "every word of this is a secret";

function both(context: TestContext, applicationPort: number, over: Partial<SecuredOptions> = {}): Promise<Secured> {
  return secured(context, {
    protocol: "detect",
    applicationPort,
    caller: new TestCredentials(cartCredentials),
    service: new TestCredentials(priceCredentials),
    ...over,
  });
}

/** What has passed was TLS between two that know each other. */
async function assertSecured(mesh: Secured, ...secrets: readonly string[]): Promise<void> {
  const wire = mesh.wire().toString("latin1");
  assert.ok(wire.length > 2_000, "something has passed");
  for (const secret of [READABLE, "HTTP/1.1", "PRI * HTTP/2", ...secrets]) {
    assert.ok(!wire.includes(secret), `${secret} can be read between the sidecars`);
  }
  const secure = 'tls="true"';
  const [out, into] = [await mesh.metrics("caller"), await mesh.metrics("service")];
  assert.ok(metricSum(out, "tcp_open_total", 'peer="dst"', secure, `server_id="${PRICE_NAME}"`) > 0);
  assert.ok(metricSum(into, "tcp_open_total", 'peer="src"', secure, `client_id="${CART_NAME}"`) > 0);
  assert.equal(metricSum(into, "tcp_open_total", 'peer="src"', "no_tls_reason"), 0);
  assert.equal(
    metricSum(out, "heddle_tls_handshake_failures_total") + metricSum(into, "heddle_tls_handshake_failures_total"),
    0,
  );
}

describe("mutual TLS between two sidecars", () => {
  it("carries HTTP/1 and its bodies, unreadable in between, with both names in the metrics", async (context) => {
    const application = await startApplication("price");
    context.after(() => application.close());
    const mesh = await both(context, application.port);
    const { status, body } = await call(`http://127.0.0.1:${mesh.outboundPort}`, "price", "/x?y", {
      method: "POST",
      body: READABLE,
    });
    assert.equal(status, 200);
    assert.deepEqual([JSON.parse(body).body, JSON.parse(body).url], [READABLE, "/x?y"]);
    await assertSecured(mesh);
    const into = await mesh.metrics("service");
    assert.equal(metricSum(into, "request_total", 'direction="inbound"', 'tls="true"', `client_id="${CART_NAME}"`), 1);
    assert.equal(metricSum(into, "response_total", 'status_code="200"', `client_id="${CART_NAME}"`), 1);
    assert.equal(
      metricSum(await mesh.metrics("caller"), "request_total", 'tls="true"', `server_id="${PRICE_NAME}"`),
      1,
    );
    assert.equal(metricSum(into, "request_total"), 1, "and counted once");
  });

  it("keeps the case of an HTTP/1 head, which only a sidecar's word can restore", async (context) => {
    const application = await startApplication("price");
    context.after(() => application.close());
    const mesh = await both(context, application.port);
    const { body } = await call(`http://127.0.0.1:${mesh.outboundPort}`, "price", "/", { headers: { "X-MiXed": "1" } });
    assert.ok(JSON.parse(body).headers.includes("X-MiXed"), body);
  });

  it("carries HTTP/2 from end to end", async (context) => {
    const server = http2.createServer((request, response) => {
      response.writeHead(200, { "x-version": request.httpVersion });
      request.pipe(response);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    context.after(() => server.close());
    const mesh = await both(context, (server.address() as AddressInfo).port, { protocol: "http2" });
    const client = http2.connect(`http://127.0.0.1:${mesh.outboundPort}`);
    context.after(() => client.destroy());
    const answers = Array.from({ length: 50 }, async (_, i) => {
      const stream = client.request({ ":method": "POST", ":authority": "price" });
      stream.end(`${READABLE} ${i}`);
      let text = "";
      for await (const chunk of stream) text += String(chunk);
      return text;
    });
    assert.deepEqual(
      await Promise.all(answers),
      Array.from({ length: 50 }, (_, i) => `${READABLE} ${i}`),
    );
    await assertSecured(mesh);
  });

  it("carries all of gRPC's interoperability cases", async (context) => {
    const server = await startInteropServer();
    context.after(() => server.close());
    const mesh = await both(context, server.port, { protocol: "grpc" });
    const client = connectInterop(`127.0.0.1:${mesh.outboundPort}`, "price");
    context.after(() => client.close());
    for (const [name, run] of Object.entries(cases)) await context.test(name, () => run(client));
    await assertSecured(mesh);
  });

  it("carries WebSocket", async (context) => {
    const server = http.createServer();
    const sockets = new WebSocketServer({ server });
    sockets.on("connection", (socket) =>
      socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary })),
    );
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    context.after(() => {
      sockets.close();
      server.close();
      server.closeAllConnections();
    });
    const mesh = await both(context, (server.address() as AddressInfo).port);
    const socket = new WebSocket(`ws://127.0.0.1:${mesh.outboundPort}/chat`, { headers: { Host: "price" } });
    context.after(() => socket.terminate());
    await once(socket, "open");
    for (const message of [READABLE, "x".repeat(100_000)]) {
      socket.send(message);
      assert.equal(String((await once(socket, "message"))[0]), message);
    }
    socket.close();
    await once(socket, "close");
    await assertSecured(mesh);
  });

  it("carries CONNECT, each end by itself", async (context) => {
    const server = await rawServer(context);
    const mesh = await both(context, server.port);
    const near = await rawConnect(context, mesh.outboundPort);
    near.socket.write("CONNECT price:80 HTTP/1.1\r\nHost: price:80\r\n\r\n");
    await until("it is granted", () => near.text.startsWith("HTTP/1.1 200 OK\r\n\r\n"));
    near.socket.end(READABLE);
    await until("the far end has it, and the end", () => server.peers[0]?.text === READABLE && server.peers[0].ended);
    server.peers[0]?.socket.end("answer");
    await until("the answer came", () => near.text.endsWith("answer") && near.ended);
    await assertSecured(mesh);
  });

  for (const protocol of ["opaque", "detect"] satisfies PortProtocol[]) {
    it(`carries byte streams, on a port of protocol ${protocol}: half-close and RST go through, who speaks first is heard`, async (context) => {
      const server = await rawServer(context, ({ socket }) => socket.write("220 hello\r\n"));
      const mesh = await both(context, server.port, { protocol });
      const near = await rawConnect(context, mesh.upstreamPort);
      await until("the greeting is here", () => near.text === "220 hello\r\n");
      near.socket.end(READABLE);
      await until(
        "the far end has it, and the end",
        () => server.peers.at(-1)?.text === READABLE && server.peers.at(-1)?.ended === true,
      );
      assert.equal(near.ended, false);
      server.peers.at(-1)?.socket.end(" and answer");
      await until("the answer and the end came", () => near.text === "220 hello\r\n and answer" && near.ended);
      await assertSecured(mesh, "220 hello");

      for (const side of ["near", "far"] as const) {
        const before = server.peers.length;
        const client = await rawConnect(context, mesh.upstreamPort);
        await until("the greeting is here", () => client.text !== "" && server.peers.length > before);
        client.socket.write("x");
        await until("the far end has it", () => server.peers.at(-1)?.text === "x");
        const far = server.peers.at(-1);
        if (side === "near") client.socket.resetAndDestroy();
        else far?.socket.resetAndDestroy();
        const other = side === "near" ? far : client;
        await until("the other end is reset", () => other?.closed === "ECONNRESET");
      }
    });
  }

  it("carries 100 MiB up and 100 MiB down, unchanged", async (context) => {
    const size = 100 * 1024 * 1024;
    const block = randomBytes(1024 * 1024);
    const blocks = function* (): Generator<Buffer> {
      for (let sent = 0; sent < size; sent += block.length) yield block;
    };
    const whole = createHash("sha256");
    for (const one of blocks()) whole.update(one);
    const expected = whole.digest("hex");
    const answer = async (request: http.IncomingMessage, response: http.ServerResponse): Promise<void> => {
      const hash = createHash("sha256");
      for await (const chunk of request) hash.update(chunk as Buffer);
      response.setHeader("x-hash", hash.digest("hex"));
      Readable.from(blocks()).pipe(response);
    };
    const server = http.createServer((request, response) => void answer(request, response));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    context.after(() => {
      server.close();
      server.closeAllConnections();
    });
    const mesh = await both(context, (server.address() as AddressInfo).port);
    const request = http.request({ port: mesh.outboundPort, method: "POST", headers: { Host: "price" } });
    Readable.from(blocks()).pipe(request);
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    assert.equal(response.headers["x-hash"], expected);
    const hash = createHash("sha256");
    for await (const chunk of response) hash.update(chunk as Buffer);
    assert.equal(hash.digest("hex"), expected);
    await assertSecured(mesh, block.subarray(0, 64).toString("latin1"));
  });

  it("carries a real Redis", needs("redis-server", "redis-cli"), async (context) => {
    const [port = 0] = await freePorts(1);
    const redis = spawn("redis-server", ["--port", String(port), "--bind", "127.0.0.1", "--save", ""], {
      stdio: "ignore",
    });
    context.after(() => redis.kill("SIGKILL"));
    const mesh = await both(context, port, { protocol: "opaque" });
    const say = async (...args: string[]): Promise<string> =>
      String(await output("redis-cli", ["-h", "127.0.0.1", "-p", String(mesh.upstreamPort), ...args])).trim();
    await until(
      "it is up",
      () =>
        say("PING").then(
          (answer) => answer === "PONG",
          () => false,
        ),
      20_000,
    );
    const value = READABLE.repeat(20_000);
    await output("redis-cli", ["-h", "127.0.0.1", "-p", String(mesh.upstreamPort), "-x", "SET", "big"], value);
    assert.equal(await say("GET", "big"), value);
    await assertSecured(mesh);
  });

  it("goes on with live connections while certificates are renewed, and makes new ones with the new", async (context) => {
    const server = await rawServer(context, ({ socket }) => socket.on("data", (chunk) => socket.write(chunk)));
    const caller = new TestCredentials(cartCredentials);
    const service = new TestCredentials(priceCredentials);
    const mesh = await both(context, server.port, { protocol: "opaque", caller, service });
    const old = await rawConnect(context, mesh.upstreamPort);
    old.socket.write("before");
    await until("it is echoed", () => old.text === "before");
    // A root and certificates of their own: after the change nobody has anything in common with before.
    const other = await makeTestCa();
    service.replace(await other.credentials(PRICE));
    const between = await rawConnect(context, mesh.upstreamPort);
    await until("old and new do not know each other", () => between.closed !== "", 20_000);
    caller.replace(await other.credentials(CART));
    await until(
      "they do again",
      async () => {
        const fresh = await rawConnect(context, mesh.upstreamPort);
        fresh.socket.write("fresh");
        await until("it is answered or closed", () => fresh.text === "fresh" || fresh.closed !== "");
        return fresh.text === "fresh";
      },
      20_000,
    );
    old.socket.write(" and after");
    await until("the old one still lives", () => old.text === "before and after");
    assert.ok(
      metricSum(await mesh.metrics("caller"), "heddle_tls_handshake_failures_total", 'reason="unknown_ca"') > 0,
    );
  });

  it("is spoken by all workers, with the newest certificate, and a session begun with one is resumed with another", async (context) => {
    const application = await startApplication("price");
    context.after(() => application.close());
    const target = { host: "127.0.0.1", port: application.port };
    const inbound = [{ listen: ANY_PORT, target, service: "price", port: 80, protocol: "http" as const }];
    const credentials = new TestCredentials(priceCredentials);
    const config = sidecar("price-1", { namespace: "shop", service: "price", inbound, workers: 2 });
    const proxy = await startProxy(config, systemClock, credentials);
    context.after(() => proxy.close());
    const port = proxy.addresses.inbound[0]?.port ?? 0;
    const { key, chain, anchors } = cartCredentials;
    let session: Buffer | undefined;
    const ask = async (): Promise<{ answer: string; serial: string; resumed: boolean }> => {
      const options = { port, host: "127.0.0.1", servername: PRICE_NAME, key, cert: chain, ca: anchors };
      const socket = tls.connect({ ...options, ...(session === undefined ? {} : { session }) });
      socket.on("session", (next: Buffer) => (session = next));
      await once(socket, "secureConnect");
      const resumed = socket.isSessionReused();
      const serial = socket.getPeerCertificate().serialNumber;
      socket.write("GET / HTTP/1.1\r\nHost: price\r\n\r\n");
      const answer = String((await once(socket, "data"))[0]);
      socket.destroy();
      return { answer, serial, resumed };
    };
    const answers = [];
    for (let i = 0; i < 20; i++) answers.push(await ask());
    assert.ok(answers.every(({ answer }) => answer.startsWith("HTTP/1.1 200 OK")));
    assert.deepEqual(
      answers.map(({ resumed }) => resumed),
      answers.map((_, i) => i > 0),
    );
    const metrics = await (await fetch(`http://127.0.0.1:${proxy.addresses.admin.port}/metrics`)).text();
    assert.equal(metricSum(metrics, "heddle_tls_handshakes_total", 'resumed="true"'), 19);
    const next = await ca.credentials(PRICE);
    credentials.replace(next);
    const { serialNumber } = new X509Certificate(next.chain);
    let inARow = 0;
    await until("all workers have it", async () => {
      session = undefined;
      inARow = (await ask()).serial === serialNumber ? inARow + 1 : 0;
      return inARow === 10;
    });
  });

  it("resumes sessions on further connections", async (context) => {
    const server = await rawServer(context, ({ socket }) => socket.write("hello"));
    const mesh = await both(context, server.port, { protocol: "opaque" });
    for (let i = 0; i < 5; i++) {
      const near = await rawConnect(context, mesh.upstreamPort);
      await until("it is greeted", () => near.text === "hello");
      near.socket.destroy();
    }
    const resumed = metricSum(await mesh.metrics("service"), "heddle_tls_handshakes_total", 'resumed="true"');
    assert.ok(resumed >= 3, `${resumed} of 5 were resumed`);
  });
});
