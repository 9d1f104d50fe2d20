/** The generators, each against a real server. */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import http from "node:http";
import http2 from "node:http2";
import { type AddressInfo, createServer, type Server } from "node:net";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { promisify } from "node:util";

import { WebSocket } from "ws";

import { rawConnect } from "../../test/support/raw.ts";
import { until } from "../../test/support/until.ts";
import { freePort } from "../ports.ts";
import { checkGrpc } from "./grpc-call.ts";
import { grpcStreamLoad } from "./grpc-stream.ts";
import { hold } from "./hold.ts";
import type { OpenLoopResult } from "./schedule.ts";
import { webSocketLoad } from "./websocket.ts";

const bench = join(import.meta.dirname, "..");
const run = promisify(execFile);

/** Starts one of the bench's own back ends. @returns its port */
async function backend(context: TestContext, file: string): Promise<number> {
  const port = await freePort();
  const child = spawn(process.execPath, [join(bench, "backends", file), String(port)], { stdio: "inherit" });
  context.after(() => child.kill());
  await until(`${file} listens`, async () => {
    try {
      await rawConnect(context, port);
      return true;
    } catch {
      return false;
    }
  });
  return port;
}

async function listening(context: TestContext, server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  context.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

describe("gRPC", () => {
  it("is echoed, unary and on streams", async (context) => {
    const port = await backend(context, "grpc-echo.ts");
    await checkGrpc(port);
    const { requests, failures, rate } = await grpcStreamLoad(port, 0.2);
    assert.ok(requests > 80, `${requests} messages`);
    assert.ok(rate > 0);
    assert.equal(failures, 0);
  });

  it("tells when a server answers without trailers", async (context) => {
    const server = http2.createServer((_, answer) => answer.end("no gRPC"));
    const port = await listening(context, server);
    await assert.rejects(checkGrpc(port), /grpc-status undefined/);
  });

  it("counts streams that do not end", async (context) => {
    const server = http2.createServer();
    server.on("stream", (stream: http2.ServerHttp2Stream) => stream.respond({ ":status": 200 }));
    const sessions: http2.ServerHttp2Session[] = [];
    server.on("session", (session) => sessions.push(session));
    const port = await listening(context, server);
    context.after(() => sessions.forEach((session) => session.destroy()));
    const { requests, failures } = await grpcStreamLoad(port, 0.05);
    assert.deepEqual([requests, failures], [0, 80]);
  });
});

describe("WebSocket", () => {
  it("is echoed to the generator", async (context) => {
    const port = await backend(context, "websocket-echo.ts");
    const { requests, failures } = await webSocketLoad(port, 0.2);
    assert.ok(requests > 32, `${requests} messages`);
    assert.equal(failures, 0);
  });

  it("is echoed to a client of somebody else", async (context) => {
    const port = await backend(context, "websocket-echo.ts");
    const socket = new WebSocket(`ws://127.0.0.1:${port}`);
    const echoed: string[] = [];
    const messages = ["", "short", "x".repeat(1_000)];
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    socket.on("error", reject);
    socket.on("close", (code) => resolve(code));
    socket.on("open", () => messages.forEach((message) => socket.send(message)));
    socket.on("message", (data: Buffer) => {
      echoed.push(data.toString());
      if (echoed.length === messages.length) socket.close(4_000);
    });
    assert.equal(await promise, 4_000);
    assert.deepEqual(echoed, messages);
  });

  it("tells when nobody upgrades", async (context) => {
    const server = http.createServer((_, answer) => answer.end());
    server.on("upgrade", (_, socket) => socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"));
    await assert.rejects(webSocketLoad(await listening(context, server), 0.1), /no upgrade but HTTP\/1.1 403/);
  });
});

/** One second of the open loop. */
async function generate(port: number, rate: number): Promise<OpenLoopResult> {
  const { stdout } = await run(process.execPath, [join(bench, "open-loop.ts"), String(port), String(rate), "1"]);
  return JSON.parse(stdout) as OpenLoopResult;
}

describe("the open loop", () => {
  it("sends what its plan says, and no more", async (context) => {
    let requests = 0;
    const server = http.createServer((_, answer) => {
      requests++;
      answer.end("fine");
    });
    const { latencies, lags, failures } = await generate(await listening(context, server), 200);
    // Three tenths of a second come before, uncounted.
    assert.equal(requests, 260);
    assert.deepEqual([latencies.length, lags.length, failures], [200, 200, 0]);
    assert.ok(latencies.every((latency) => latency > 0) && lags.every((lag) => lag >= 0));
  });

  it("charges a stall to all who were due in it", async (context) => {
    let requests = 0;
    const stallMs = 400;
    const server = http.createServer((_, answer) => {
      // Everything stands still from the 150th request on: nobody else is answered meanwhile.
      if (++requests === 150) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, stallMs);
      answer.end("fine");
    });
    const { latencies, failures } = await generate(await listening(context, server), 200);
    assert.equal(failures, 0);
    const met = latencies.filter((latency) => latency > (stallMs / 2) * 1_000).length;
    // 200 a second: forty are due in the first half of the stall, and wait for longer than its second half.
    assert.ok(met >= 30, `${met} late ones`);
  });

  it("counts refusals and lost connections", async (context) => {
    let requests = 0;
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", () => {
        requests++;
        if (requests > 200) socket.destroy();
        else socket.write("HTTP/1.1 503 Sorry\r\nContent-Length: 0\r\n\r\n");
      });
    });
    const { latencies, failures } = await generate(await listening(context, server), 200);
    assert.deepEqual([latencies.length, failures], [0, 260]);
  });
});

describe("holding connections", () => {
  it("opens them all, tells of lost ones and lets go", async (context) => {
    const sockets = new Set<{ destroy(): void }>();
    const server = http.createServer({ keepAliveTimeout: 60_000 }, (_, answer) => answer.end("fine"));
    server.on("connection", (socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
    });
    const held = await hold(await listening(context, server), 100, "http1");
    assert.equal(sockets.size, 100);
    held.check();
    for (const socket of [...sockets].slice(0, 3)) socket.destroy();
    await until("three are missed", () => {
      try {
        held.check();
        return false;
      } catch (error) {
        return (error as Error).message === "3 of 100 idle connections were closed";
      }
    });
    held.release();
    await until("all are closed", () => sockets.size === 0);
  });

  it("opens HTTP/2 ones, each with one answer", async (context) => {
    let streams = 0;
    const server = http2.createServer((_, answer) => {
      streams++;
      answer.end("fine");
    });
    const held = await hold(await listening(context, server), 70, "http2");
    assert.equal(streams, 70);
    held.check();
    held.release();
  });
});
