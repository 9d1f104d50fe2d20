/** Tunnels with nghttpx, an implementation of RFC 8441 that is not ours, at either side of the mesh. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import net, { type AddressInfo } from "node:net";
import { describe, it, type TestContext } from "node:test";

import { WebSocket, WebSocketServer } from "ws";

import { startMesh } from "./support/mesh.ts";
import { needs } from "./support/peers.ts";
import { freePorts } from "./support/ports.ts";
import { registerUnmeshed } from "./support/unmeshed.ts";
import { until } from "./support/until.ts";

const MESSAGES = 500;

async function startEcho(context: TestContext): Promise<number> {
  const server = http.createServer((_request, response) => response.writeHead(404).end());
  const sockets = new WebSocketServer({ server });
  sockets.on("connection", (socket) => {
    socket.on("message", (data: Buffer, isBinary) => socket.send(data, { binary: isBinary }));
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

/** @param backend port and options of the only backend @returns the port, for HTTP/1 and for HTTP/2 with prior knowledge */
async function startNghttpx(context: TestContext, backend: string): Promise<number> {
  const [port] = (await freePorts(1)) as [number];
  const options = ["--conf=/dev/null", "--workers=1", "--single-process", "--no-ocsp", "--errorlog-file=/dev/null"];
  const child: ChildProcess = spawn(
    "nghttpx",
    [...options, `--frontend=127.0.0.1,${port};no-tls`, `--backend=127.0.0.1,${backend}`],
    { stdio: "ignore" },
  );
  context.after(() => child.kill("SIGKILL"));
  await until("nghttpx listens", () => accepts(port), 10_000);
  return port;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ port, host: "127.0.0.1" });
    socket.on("connect", () => resolve(true));
    socket.on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });
}

async function echoes(context: TestContext, port: number): Promise<void> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/echo`, { headers: { Host: "chat" } });
  context.after(() => socket.terminate());
  await once(socket, "open");
  let received = 0;
  socket.on("message", (data: Buffer) => {
    assert.equal(data.length, (received * 997) % 50_000);
    received++;
  });
  for (let i = 0; i < MESSAGES; i++) socket.send(Buffer.alloc((i * 997) % 50_000));
  await until("all have come back", () => received === MESSAGES, 20_000);
  socket.close(1000, "enough");
  const [code, reason] = (await once(socket, "close")) as [number, Buffer];
  assert.deepEqual([code, reason.toString()], [1000, "enough"]);
}

describe("WebSocket with nghttpx", () => {
  it("as a caller that asks by RFC 8441", needs("nghttpx"), async (context) => {
    const applicationPort = await startEcho(context);
    const mesh = await startMesh([{ service: "chat", workload: "chat-1", protocol: "http", applicationPort }]);
    context.after(() => mesh.close());
    const outbound = mesh.caller.addresses.outbound?.port ?? 0;
    await echoes(context, await startNghttpx(context, `${outbound};;proto=h2`));
  });

  it("as an application that is asked by RFC 8441", needs("nghttpx"), async (context) => {
    const port = await startNghttpx(context, String(await startEcho(context)));
    for (const meshed of [true, false]) {
      const mesh = await startMesh(
        meshed ? [{ service: "chat", workload: "chat-1", protocol: "http2", applicationPort: port }] : [],
      );
      context.after(() => mesh.close());
      if (!meshed) await registerUnmeshed(mesh, "chat", "http2", port);
      await echoes(context, mesh.caller.addresses.outbound?.port ?? 0);
    }
  });
});
