/** What HTTP/1 has beyond request and answer, through two sidecars, with node:http at both ends. */
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import type { Duplex } from "node:stream";
import { describe, it, type TestContext } from "node:test";

import { metricSum, startMesh, type TestMesh } from "./support/mesh.ts";
import { until } from "./support/until.ts";

async function behind(context: TestContext, server: http.Server): Promise<TestMesh> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  const mesh = await startMesh([{ service: "chat", workload: "chat-1", protocol: "http", applicationPort: port }]);
  context.after(async () => {
    await mesh.close();
    server.close();
    server.closeAllConnections();
  });
  return mesh;
}

/** Echoes, with half-close. */
function echoServer(context: TestContext): http.Server {
  const sockets: Duplex[] = [];
  context.after(() => sockets.forEach((socket) => socket.destroy()));
  const server = http.createServer((_request, response) => response.writeHead(426).end("upgrade, please"));
  server.on("connection", (socket: net.Socket) => (socket.allowHalfOpen = true));
  server.on("upgrade", (request, socket, head) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${request.headers.upgrade}\r\n` +
        `Sec-WebSocket-Accept: yes\r\n\r\n`,
    );
    socket.write(head);
    if (request.url === "/silent") return;
    if (request.url === "/bye") socket.end("bye");
    else socket.pipe(socket);
  });
  return server;
}

async function upgrade(
  mesh: TestMesh,
  path: string,
): Promise<{ response: http.IncomingMessage; socket: Duplex; received: () => string; ended: () => boolean }> {
  const request = http.request(`${mesh.outbound}${path}`, {
    headers: { Host: "chat", Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Key": "k" },
  });
  request.end();
  const [response, socket, head] = (await once(request, "upgrade")) as [http.IncomingMessage, net.Socket, Buffer];
  socket.allowHalfOpen = true;
  let text = head.toString("latin1");
  let ended = false;
  socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
  socket.on("end", () => (ended = true));
  socket.on("error", () => {});
  return { response, socket, received: () => text, ended: () => ended };
}

async function nothingInFlight(mesh: TestMesh): Promise<void> {
  await until("the connections of the tunnel are gone", async () => {
    const text = await mesh.metrics("chat-1");
    return metricSum(text, "tcp_open_connections", 'direction="inbound"', 'peer="dst"') === 0;
  });
}

describe("an upgrade through two sidecars", () => {
  it("becomes a byte stream both ways, each direction with its own end", async (context) => {
    const mesh = await behind(context, echoServer(context));
    const { response, socket, received, ended } = await upgrade(mesh, "/");
    assert.equal(response.headers.upgrade, "websocket");
    assert.equal(response.headers["sec-websocket-accept"], "yes");
    socket.write("one");
    await until("it is echoed", () => received() === "one");
    const large = "x".repeat(500_000);
    socket.end(large);
    await until("what was on its way when we ended arrives", () => ended());
    assert.equal(received(), `one${large}`);
    await nothingInFlight(mesh);
    const text = await mesh.metrics("caller");
    assert.equal(metricSum(text, "response_total", 'status_code="101"', 'classification="success"'), 1);
    assert.equal(metricSum(text, "response_total"), 1);
  });

  it("goes on in one direction after the server has ended the other", async (context) => {
    const server = echoServer(context);
    let heard = "";
    server.on("upgrade", (_request, socket) => socket.on("data", (chunk: Buffer) => (heard += chunk.toString())));
    const mesh = await behind(context, server);
    const { socket, received, ended } = await upgrade(mesh, "/bye");
    await until("the server has ended", () => ended());
    assert.equal(received(), "bye");
    socket.write("still ");
    await until("the server hears it", () => heard === "still ");
    socket.end("here");
    await until("the server hears all", () => heard === "still here");
    await nothingInFlight(mesh);
  });

  it("ends when either side is cut", async (context) => {
    const mesh = await behind(context, echoServer(context));
    const { socket } = await upgrade(mesh, "/silent");
    (socket as net.Socket).resetAndDestroy();
    await nothingInFlight(mesh);
  });

  it("that is declined is an answer, and the connection goes on", async (context) => {
    const server = http.createServer((_request, response) => response.writeHead(426).end("no"));
    server.on("upgrade", (_request, socket) => {
      socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    });
    const mesh = await behind(context, server);
    const headers = { Host: "chat", Connection: "Upgrade", Upgrade: "websocket" };
    const request = http.request(`${mesh.outbound}/`, { headers });
    request.end();
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    assert.equal(response.statusCode, 403);
    response.resume();
    await once(response, "end");
  });
});

describe("interim answers through two sidecars", () => {
  it("let a client send its body only when it is asked to", async (context) => {
    let asked = 0;
    const server = http.createServer();
    server.on("checkContinue", (request, response) => {
      asked++;
      response.writeContinue();
      let body = "";
      request.on("data", (chunk: Buffer) => (body += chunk.toString()));
      request.on("end", () => response.end(`got ${body}`));
    });
    const mesh = await behind(context, server);
    const headers = { Host: "chat", Expect: "100-continue", "Content-Length": "4" };
    const request = http.request(`${mesh.outbound}/`, { method: "POST", headers });
    request.flushHeaders();
    await once(request, "continue");
    assert.equal(asked, 1);
    request.end("body");
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    let text = "";
    for await (const chunk of response) text += String(chunk);
    assert.equal(text, "got body");
  });

  it("are passed on with their fields as they were", async (context) => {
    const server = http.createServer((_request, response) => {
      response.writeEarlyHints({ link: "</style.css>; rel=preload", "X-Hint": "1" }, () => response.end("done"));
    });
    const mesh = await behind(context, server);
    const request = http.request(`${mesh.outbound}/`, { headers: { Host: "chat" } });
    const hints: http.InformationEvent[] = [];
    request.on("information", (info) => hints.push(info));
    request.end();
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    response.resume();
    await once(response, "end");
    assert.equal(hints.length, 1);
    assert.equal(hints[0]?.statusCode, 103);
    const names = (hints[0]?.rawHeaders ?? []).filter((_, i) => i % 2 === 0);
    assert.deepEqual(names, ["Link", "X-Hint"]);
  });
});

describe("answers of other shapes through two sidecars", () => {
  it("keep trailers both ways", async (context) => {
    const seen: NodeJS.Dict<string>[] = [];
    const server = http.createServer((request, response) => {
      request.resume();
      request.on("end", () => {
        seen.push(request.trailers);
        response.writeHead(200, { Trailer: "X-Sum" });
        response.write("body");
        response.addTrailers({ "X-Sum": "7" });
        response.end();
      });
    });
    const mesh = await behind(context, server);
    const headers = { Host: "chat", "Transfer-Encoding": "chunked", Trailer: "X-Count" };
    const request = http.request(`${mesh.outbound}/`, { method: "POST", headers });
    request.write("abc");
    request.addTrailers({ "X-Count": "3" });
    request.end();
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    response.resume();
    await once(response, "end");
    assert.equal(response.trailers["x-sum"], "7");
    assert.equal(seen[0]?.["x-count"], "3");
  });

  it("have no body where HTTP has none, and leave the connection usable", async (context) => {
    const server = http.createServer((request, response) => {
      const status = Number(request.url?.slice(1));
      response.writeHead(status, status === 200 ? { "Content-Length": "1000", "X-A": "1" } : { ETag: '"1"' });
      response.end();
    });
    const mesh = await behind(context, server);
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    context.after(() => agent.destroy());
    let sockets = 0;
    for (const [method, status] of [
      ["HEAD", 200],
      ["GET", 204],
      ["GET", 304],
      ["HEAD", 304],
    ] as const) {
      const request = http.request(`${mesh.outbound}/${status}`, { method, agent, headers: { Host: "chat" } });
      request.on("socket", () => (sockets += request.reusedSocket ? 0 : 1));
      request.end();
      const [response] = (await once(request, "response")) as [http.IncomingMessage];
      assert.equal(response.statusCode, status);
      if (status === 200) assert.equal(response.headers["content-length"], "1000");
      response.resume();
      await once(response, "end");
    }
    assert.equal(sockets, 1);
  });

  it("may come before the request has ended", async (context) => {
    const server = http.createServer((_request, response) => response.writeHead(413).end("too large"));
    const mesh = await behind(context, server);
    const request = http.request(`${mesh.outbound}/`, { method: "POST", headers: { Host: "chat" } });
    request.on("error", () => {});
    request.write("some");
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    assert.equal(response.statusCode, 413);
    response.resume();
    await once(response, "end");
    request.destroy();
  });

  it("pass with a head as large as a sidecar lets in", async (context) => {
    let count = 0;
    const server = http.createServer({ maxHeaderSize: 128 * 1024 }, (request, response) => {
      count = request.rawHeaders.length / 2;
      response.writeHead(
        200,
        Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`X-Answer-${i}`, "y".repeat(400)])),
      );
      response.end();
    });
    server.maxHeadersCount = 0;
    const mesh = await behind(context, server);
    const headers: Record<string, string> = { Host: "chat" };
    for (let i = 0; i < 120; i++) headers[`X-Header-Number-${i}`] = "x".repeat(480);
    const request = http.request(`${mesh.outbound}/`, { headers, maxHeaderSize: 128 * 1024 });
    request.end();
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    response.resume();
    assert.equal(response.statusCode, 200);
    assert.ok(count >= 121, `${count} fields`);
    assert.equal(response.headers["x-answer-99"]?.length, 400);
  });
});
