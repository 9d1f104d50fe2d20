/** WebSocket through two sidecars: the `ws` library at both ends, raw frames where fragments are counted, RFC 8441 by node:http2. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { describe, it, type TestContext } from "node:test";

import { type ClientOptions, WebSocket, WebSocketServer } from "ws";

import type { PortProtocol } from "../src/model/service.ts";
import { metricSum, startMesh, type TestMesh } from "./support/mesh.ts";
import { type RawPeer, rawConnect, rawServer } from "./support/raw.ts";
import { registerUnmeshed } from "./support/unmeshed.ts";
import { until } from "./support/until.ts";

const MESSAGES = 10_000;

/** A mesh with one service, "chat", on `port`. */
async function meshWith(context: TestContext, port: number, protocol: PortProtocol = "http"): Promise<TestMesh> {
  const mesh = await startMesh([{ service: "chat", workload: "chat-1", protocol, applicationPort: port }]);
  context.after(() => mesh.close());
  return mesh;
}

/** A `ws` server on a port of its own. */
async function startChat(
  context: TestContext,
  onConnection: (socket: WebSocket, request: http.IncomingMessage) => void,
): Promise<number> {
  const server = http.createServer((_request, response) => response.writeHead(200).end("no socket here"));
  const sockets = new WebSocketServer({ server, perMessageDeflate: false });
  sockets.on("connection", (socket, request) => {
    socket.on("error", () => {});
    onConnection(socket, request);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  context.after(() => {
    for (const client of sockets.clients) client.terminate();
    sockets.close();
    server.close();
    server.closeAllConnections();
  });
  return (server.address() as AddressInfo).port;
}

async function open(context: TestContext, mesh: TestMesh, options: ClientOptions = {}): Promise<WebSocket> {
  const socket = new WebSocket(`${mesh.outbound.replace("http", "ws")}/chat?room=1`, ["chat.v1"], {
    ...options,
    perMessageDeflate: false,
    headers: { Host: "chat", ...options.headers },
  });
  context.after(() => socket.terminate());
  await once(socket, "open");
  return socket;
}

/** Message i of the echo test: mixed sizes from nothing to 1 MiB, text and binary by turns. */
function message(i: number): { data: Buffer; binary: boolean } {
  const sizes = [0, 1, 125, 126, 127, 1_000, 65_535, 65_536];
  const size =
    i % 1_000 === 999 ? 1024 * 1024 : i % 50 === 49 ? (sizes[((i / 50) % sizes.length) | 0] as number) : i % 300;
  return { data: Buffer.alloc(size, `${i},`), binary: i % 2 === 0 };
}

describe("WebSocket through two sidecars", () => {
  it("echoes 10,000 messages of all sizes, in order, to the byte, over HTTP/2 in between", async (context) => {
    const port = await startChat(context, (socket) => {
      socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
    });
    const mesh = await meshWith(context, port);
    const socket = await open(context, mesh);
    assert.equal(socket.protocol, "chat.v1");
    let received = 0;
    socket.on("message", (data: Buffer, isBinary) => {
      const expected = message(received);
      assert.equal(isBinary, expected.binary, `message ${received}`);
      assert.ok(data.equals(expected.data), `message ${received}`);
      received++;
    });
    for (let i = 0; i < MESSAGES; i++) {
      const { data, binary } = message(i);
      socket.send(data, { binary });
      if (socket.bufferedAmount > 1024 * 1024) await until("there is room", () => socket.bufferedAmount === 0, 20_000);
    }
    await until("all have come back", () => received === MESSAGES, 30_000);
    socket.close(1000, "enough");
    const [code, reason] = (await once(socket, "close")) as [number, Buffer];
    assert.deepEqual([code, reason.toString()], [1000, "enough"]);
    await until("it is counted as one answer", async () => {
      const counted = await mesh.metrics("caller");
      return metricSum(counted, "response_total", 'status_code="101"', 'classification="success"') === 1;
    });
    const inbound = await mesh.metrics("chat-1");
    assert.equal(metricSum(inbound, "inbound_tcp_detect_http_results_total", 'result="http/2"'), 1);
    assert.equal(metricSum(inbound, "inbound_tcp_detect_http_results_total", 'result="http/1"'), 0);
  });

  it("passes pings and pongs, both ways", async (context) => {
    const seen: string[] = [];
    const port = await startChat(context, (socket) => {
      socket.on("ping", (data) => seen.push(`server got ping ${data.toString()}`));
      socket.on("pong", (data) => seen.push(`server got pong ${data.toString()}`));
      socket.ping("from the server");
    });
    const socket = await open(context, await meshWith(context, port));
    socket.on("pong", (data) => seen.push(`client got pong ${data.toString()}`));
    socket.ping("from the client");
    await until("all have passed", () => seen.length === 3);
    assert.deepEqual(seen.toSorted(), [
      "client got pong from the client",
      "server got ping from the client",
      "server got pong from the server",
    ]);
  });

  it("passes close codes and reasons, both ways", async (context) => {
    const heard: [number, string][] = [];
    const port = await startChat(context, (socket) => {
      socket.on("close", (code, reason) => heard.push([code, reason.toString()]));
      socket.on("message", (data: Buffer) => {
        const [code, reason] = JSON.parse(data.toString()) as [number, string];
        socket.close(code, reason);
      });
    });
    const mesh = await meshWith(context, port);
    const closings: [number, string][] = [
      [1000, ""],
      [1001, "going away"],
      [1008, "policy"],
      [1011, "ü".repeat(61)],
      [3000, "registered"],
      [4999, "x".repeat(123)],
    ];
    for (const [code, reason] of closings) {
      const near = await open(context, mesh);
      near.close(code, reason);
      await once(near, "close");
      await until("the server hears it", () => heard.length > 0);
      assert.deepEqual(heard.pop(), [code, reason]);
      const told = await open(context, mesh);
      told.send(JSON.stringify([code, reason]));
      const [gotCode, gotReason] = (await once(told, "close")) as [number, Buffer];
      assert.deepEqual([gotCode, gotReason.toString()], [code, reason]);
      await until("the server hears the echo", () => heard.length > 0);
      heard.pop();
    }
    const cut = await open(context, mesh);
    cut.terminate();
    await until("the server hears that it was cut", () => heard.length > 0);
    assert.equal(heard.pop()?.[0], 1006);
  });

  it("keeps a message's fragments and their masks as they were sent", async (context) => {
    const server = await rawServer(context, (peer) => answerHandshake(peer));
    const mesh = await meshWith(context, server.port);
    const socket = await open(context, mesh);
    await until("it is open", () => server.peers.length === 1);
    const parts = ["first", "", "x".repeat(200), "y".repeat(70_000), "last"];
    parts.forEach((part, i) => socket.send(part, { fin: i === parts.length - 1, binary: false }));
    const expected = parts.map((part, i) => ({
      fin: i === parts.length - 1,
      opcode: i === 0 ? 1 : 0,
      masked: true,
      payload: part,
    }));
    const raw = server.peers[0] as RawPeer;
    await until("all frames arrive", () => frames(raw).length >= parts.length);
    assert.deepEqual(frames(raw), expected);
  });

  it("goes on while either sidecar drains, until it has ended", async (context) => {
    const port = await startChat(context, (socket) => socket.on("message", (data: Buffer) => socket.send(data)));
    for (const workload of ["chat-1", "caller"]) {
      const mesh = await meshWith(context, port);
      const socket = await open(context, mesh);
      const proxy = mesh.sidecars.get(workload);
      assert.ok(proxy !== undefined);
      let drained = false;
      const done = proxy.drain().then(() => (drained = true));
      for (let i = 0; i < 3; i++) {
        socket.send(`after ${i}`);
        const [data] = (await once(socket, "message")) as [Buffer];
        assert.equal(data.toString(), `after ${i}`);
      }
      assert.equal(drained, false);
      socket.close(1001, "done");
      await once(socket, "close");
      await done;
    }
  });

  it("gives the application the handshake as the client wrote it, and the client the answer", async (context) => {
    const head =
      "GET /chat HTTP/1.1\r\nHOST: chat\r\nUser-Agent: old\r\nUPGRADE: WebSocket\r\nConnection: Upgrade\r\n" +
      "SEC-WebSocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-VERSION: 13\r\n\r\n";
    const answer =
      "HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n" +
      "SEC-WebSocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX-Mixed: 1\r\n\r\n";
    const server = await rawServer(context);
    const mesh = await meshWith(context, server.port);
    const client = await rawConnect(context, mesh.caller.addresses.outbound?.port ?? 0);
    client.socket.write(`${head}right behind`);
    await until("the head arrives", () => server.peers[0]?.text.endsWith("\r\n\r\n") === true);
    const far = server.peers[0] as RawPeer;
    // Upgrade and Connection belong to the connection: they come last, with the value as it was.
    assert.equal(
      far.text,
      "GET /chat HTTP/1.1\r\nHOST: chat\r\nUser-Agent: old\r\nSEC-WebSocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
        "Sec-WebSocket-VERSION: 13\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n",
    );
    far.socket.write(`${answer}and behind this`);
    await until("the answer and what follows arrive", () => client.text.endsWith("and behind this"));
    await until("what was sent early arrives", () => far.text.endsWith("right behind"));
    assert.equal(
      client.text,
      "HTTP/1.1 101 Web Socket Protocol Handshake\r\nSEC-WebSocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" +
        "X-Mixed: 1\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\nand behind this",
    );
  });

  it("is one of several upgrades: another method, another protocol, an ordinary answer", async (context) => {
    const server = await rawServer(context, ({ socket }) => {
      socket.on("data", (data: Buffer) => {
        const declined = data.toString().startsWith("GET /page");
        socket.write(
          declined
            ? "HTTP/1.1 200 Fine\r\nContent-Length: 4\r\n\r\npage"
            : "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp/1, x\r\n\r\nhello",
        );
      });
    });
    const mesh = await meshWith(context, server.port);
    const port = mesh.caller.addresses.outbound?.port ?? 0;
    const attach = await rawConnect(context, port);
    attach.socket.write("POST /attach HTTP/1.1\r\nHost: chat\r\nConnection: upgrade\r\nUpgrade: tcp/1, x\r\n\r\n");
    await until("it is upgraded", () => attach.text.endsWith("hello"));
    assert.equal(
      server.peers[0]?.text,
      "POST /attach HTTP/1.1\r\nHost: chat\r\nConnection: Upgrade\r\nUpgrade: tcp/1, x\r\n\r\n",
    );
    assert.equal(attach.text, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp/1, x\r\n\r\nhello");
    const page = await rawConnect(context, port);
    const ask = "GET /page HTTP/1.1\r\nHost: chat\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    page.socket.write(ask);
    await until("it is answered", () => page.text.endsWith("page"));
    assert.equal(page.text, "HTTP/1.1 200 Fine\r\nContent-Length: 4\r\n\r\npage");
    page.socket.write(ask);
    await until("the connection goes on", () => page.text.match(/HTTP\/1\.1 200 Fine/g)?.length === 2);
    assert.equal(metricSum(await mesh.metrics("caller"), "response_total", 'status_code="200"'), 2);
  });
});

/** What a client of RFC 8441 sees. */
interface Extended {
  readonly stream: http2.ClientHttp2Stream;
  readonly status: number;
  readonly headers: http2.IncomingHttpHeaders;
  readonly bytes: Buffer;
  readonly ended: boolean;
  readonly code: string;
}

async function extendedConnect(
  context: TestContext,
  port: number,
  fields: http2.OutgoingHttpHeaders = {},
): Promise<Extended> {
  const client = http2.connect(`http://127.0.0.1:${port}`);
  context.after(() => client.destroy());
  client.on("error", () => {});
  if (client.remoteSettings?.enableConnectProtocol !== true) await once(client, "remoteSettings");
  assert.equal(client.remoteSettings.enableConnectProtocol, true);
  const stream = client.request(
    {
      ":method": "CONNECT",
      ":protocol": "websocket",
      ":scheme": "http",
      ":path": "/chat",
      ":authority": "chat",
      "sec-websocket-version": "13",
      "sec-websocket-protocol": "chat.v1",
      ...fields,
    },
    { endStream: false },
  );
  const state = { stream, status: 0, headers: {}, bytes: Buffer.alloc(0), ended: false, code: "" };
  stream.on("response", (headers) => {
    state.headers = headers;
    state.status = Number(headers[":status"]);
  });
  stream.on("data", (chunk: Buffer) => (state.bytes = Buffer.concat([state.bytes, chunk])));
  stream.on("end", () => (state.ended = true));
  stream.on("error", (error: Error) => (state.code = error.message.replace(/^.*code /, "")));
  return state;
}

describe("WebSocket over HTTP/2 (RFC 8441), by node:http2", () => {
  it("reaches a ws application that knows HTTP/1 only", async (context) => {
    let keys = 0;
    const port = await startChat(context, (socket, request) => {
      assert.match(request.headers["sec-websocket-key"] ?? "", /^[A-Za-z0-9+/]{22}==$/);
      keys++;
      socket.on("message", (data: Buffer, isBinary) => socket.send(`echo ${data.toString()}`, { binary: isBinary }));
    });
    const mesh = await meshWith(context, port);
    const near = await extendedConnect(context, mesh.caller.addresses.outbound?.port ?? 0);
    await until("it is granted", () => near.status === 200);
    assert.equal(near.headers["sec-websocket-protocol"], "chat.v1");
    assert.equal(near.headers["sec-websocket-accept"], undefined);
    near.stream.write(clientFrame(1, "hello"));
    await until("it is echoed", () => near.bytes.includes("echo hello"));
    near.stream.write(clientFrame(8, "\x03\xe8bye"));
    await until("it is closed in good order", () => near.ended);
    assert.deepEqual(near.bytes.subarray(-7), Buffer.from("\x88\x05\x03\xe8bye", "latin1"));
    assert.equal(near.code, "");
    assert.equal(keys, 1);
  });

  it("is told when the application gives an ordinary answer, which HTTP/2 cannot say", async (context) => {
    const server = http.createServer((request, response) => {
      response.writeHead(request.url === "/forbidden" ? 403 : 200).end("an answer");
    });
    // Without a listener for upgrades, node:http answers them as requests.
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    context.after(() => server.close());
    const mesh = await meshWith(context, (server.address() as AddressInfo).port);
    const port = mesh.caller.addresses.outbound?.port ?? 0;
    const ordinary = await extendedConnect(context, port);
    await until("it is answered", () => ordinary.ended);
    assert.equal(ordinary.status, 501);
    assert.equal(ordinary.headers["heddle-error"], "HED1011 unsupported");
    const forbidden = await extendedConnect(context, port, { ":path": "/forbidden" });
    await until("it is answered", () => forbidden.ended);
    assert.deepEqual([forbidden.status, forbidden.bytes.toString()], [403, "an answer"]);
  });

  it("is answered for an application that does not prove that it speaks WebSocket", async (context) => {
    const answers = [
      "Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
      "Upgrade: websocket",
      "Upgrade: chess",
    ];
    const server = await rawServer(context, ({ socket }) => {
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n${answers.shift()}\r\n\r\n`);
    });
    const mesh = await meshWith(context, server.port);
    for (let i = 0; i < 3; i++) {
      const near = await extendedConnect(context, mesh.caller.addresses.outbound?.port ?? 0);
      await until("it is answered", () => near.ended);
      assert.equal(near.headers["heddle-error"], "HED1007 bad_answer");
      await until("the application is cut", () => server.peers[i]?.closed === "ECONNRESET");
    }
  });

  it("is cut with CANCEL when the application's connection is reset", async (context) => {
    const port = await startChat(context, (_socket, request) => {
      setImmediate(() => request.socket.resetAndDestroy());
    });
    const mesh = await meshWith(context, port);
    const near = await extendedConnect(context, mesh.caller.addresses.outbound?.port ?? 0);
    await until("the stream is reset", () => near.code !== "" || near.stream.rstCode !== 0);
    assert.equal(near.stream.rstCode, http2.constants.NGHTTP2_CANCEL);
  });
});

/** Takes extended CONNECT, and echoes. */
async function startHttp2(
  context: TestContext,
  takes: boolean,
): Promise<{ port: number; heads: http2.IncomingHttpHeaders[] }> {
  const heads: http2.IncomingHttpHeaders[] = [];
  const server = http2.createServer({ settings: { enableConnectProtocol: takes } });
  const sessions: http2.ServerHttp2Session[] = [];
  server.on("session", (session) => sessions.push(session));
  server.on("stream", (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
    heads.push(headers);
    stream.on("error", () => {});
    stream.respond({ ":status": 200, "x-answer": "1" });
    if (headers[":protocol"] === undefined) stream.end("a page");
    else stream.pipe(stream);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  context.after(() => {
    sessions.forEach((session) => session.destroy());
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, heads };
}

describe("an application that knows HTTP/2 only", () => {
  for (const meshed of [true, false]) {
    it(`is reached by a WebSocket client of HTTP/1 (${meshed ? "meshed" : "unmeshed"})`, async (context) => {
      const { port, heads } = await startHttp2(context, true);
      const mesh = meshed ? await meshWith(context, port, "http2") : await startMesh([]);
      context.after(() => mesh.close());
      if (!meshed) await registerUnmeshed(mesh, "chat", "http2", port);
      const client = await rawConnect(context, mesh.caller.addresses.outbound?.port ?? 0);
      client.socket.write(
        "GET /chat HTTP/1.1\r\nHost: chat\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
      );
      await until("it is upgraded", () => client.text.endsWith("\r\n\r\n"));
      assert.match(client.text, /^HTTP\/1\.1 101 Switching Protocols\r\n/);
      assert.match(client.text, /\r\nUpgrade: websocket\r\n/);
      // The example of RFC 6455 §1.3.
      assert.match(client.text, /\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/);
      assert.equal(heads[0]?.[":protocol"], "websocket");
      assert.equal(heads[0]?.["sec-websocket-key"], undefined);
      assert.equal(heads[0]?.["sec-websocket-version"], "13");
      const before = client.text.length;
      client.socket.end("bytes");
      await until("they are echoed to the end", () => client.closed === "end");
      assert.equal(client.text.slice(before), "bytes");
    });
  }

  it("gets any other upgrade as a request without one", async (context) => {
    const { port, heads } = await startHttp2(context, true);
    const mesh = await meshWith(context, port, "http2");
    const client = await rawConnect(context, mesh.caller.addresses.outbound?.port ?? 0);
    client.socket.write("GET / HTTP/1.1\r\nHost: chat\r\nConnection: Upgrade\r\nUpgrade: chess\r\n\r\n");
    await until("it is answered", () => client.text.includes("a page"));
    assert.match(client.text, /^HTTP\/1\.1 200 OK\r\n/);
    assert.equal(heads[0]?.[":method"], "GET");
  });

  it("that does not take extended CONNECT is not sent any, and the caller is told", async (context) => {
    const { port, heads } = await startHttp2(context, false);
    const mesh = await meshWith(context, port, "http2");
    const client = await rawConnect(context, mesh.caller.addresses.outbound?.port ?? 0);
    client.socket.write("GET / HTTP/1.1\r\nHost: chat\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    await until("it is answered", () => client.text.includes("HED1011"));
    assert.match(client.text, /^HTTP\/1\.1 501 /);
    assert.equal(heads.length, 0);
  });
});

interface WebSocketFrame {
  readonly fin: boolean;
  readonly opcode: number;
  readonly masked: boolean;
  /** Unmasked. */
  readonly payload: string;
}

/** The whole frames that a peer has received after its request head (RFC 6455 §5.2). */
function frames(peer: RawPeer): WebSocketFrame[] {
  const bytes = Buffer.from(peer.text, "latin1").subarray(peer.text.indexOf("\r\n\r\n") + 4);
  const found: WebSocketFrame[] = [];
  let at = 0;
  while (at + 2 <= bytes.length) {
    const first = bytes[at] as number;
    const second = bytes[at + 1] as number;
    let length = second & 0x7f;
    let from = at + 2;
    if (length === 126) {
      length = bytes.readUInt16BE(from);
      from += 2;
    } else if (length === 127) {
      length = Number(bytes.readBigUInt64BE(from));
      from += 8;
    }
    const masked = (second & 0x80) !== 0;
    const mask = masked ? bytes.subarray(from, from + 4) : Buffer.alloc(4);
    if (masked) from += 4;
    if (from + length > bytes.length) break;
    const payload = Buffer.from(bytes.subarray(from, from + length));
    for (let i = 0; i < length; i++) payload[i] = (payload[i] as number) ^ (mask[i % 4] as number);
    found.push({ fin: (first & 0x80) !== 0, opcode: first & 0x0f, masked, payload: payload.toString("latin1") });
    at = from + length;
  }
  return found;
}

/** A short frame of a client's, masked with zeros. */
function clientFrame(opcode: number, payload: string): Buffer {
  return Buffer.concat([
    Buffer.from([0x80 | opcode, 0x80 | payload.length, 0, 0, 0, 0]),
    Buffer.from(payload, "latin1"),
  ]);
}

/** Grants the first request on a connection, and is silent then. */
function answerHandshake({ socket }: RawPeer): void {
  socket.once("data", (data: Buffer) => {
    const key = /sec-websocket-key: (.*)\r\n/i.exec(data.toString("latin1"))?.[1] ?? "";
    const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
        `Sec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: chat.v1\r\n\r\n`,
    );
  });
}
