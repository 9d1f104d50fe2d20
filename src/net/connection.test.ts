import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it, type TestContext } from "node:test";

import { until } from "../../test/support/until.ts";
import { freeBlocks } from "./blocks.ts";
import { acceptConnection, connect, type Connection, type ConnectionHandler, HIGH_WATER_BYTES } from "./connection.ts";

interface Recorded extends ConnectionHandler {
  text: string;
  bytes: number;
  events: string[];
}

function recorder(): Recorded {
  return {
    text: "",
    bytes: 0,
    events: [],
    onData(chunk) {
      this.bytes += chunk.length;
      if (this.bytes < 1_000_000) this.text += chunk.toString("latin1");
    },
    onEnd() {
      this.events.push("end");
    },
    onDrain() {
      this.events.push("drain");
    },
    onClose(error) {
      this.events.push(error === undefined ? "close" : `close ${(error as NodeJS.ErrnoException).code}`);
    },
  };
}

const servers: net.Server[] = [];

async function listen(onConnection: (connection: Connection) => void): Promise<number> {
  const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) =>
    onConnection(acceptConnection(socket)),
  );
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as net.AddressInfo).port;
}

function dial(port: number): Promise<Connection> {
  return new Promise((resolve, reject) => {
    connect({ address: "127.0.0.1", port, timeoutMs: 1_000 }, (error, connection) =>
      connection === undefined ? reject(error) : resolve(connection),
    );
  });
}

function dialPath(path: string, timeoutMs = 1_000): Promise<Connection> {
  return new Promise((resolve, reject) => {
    connect({ address: "", port: 0, path, timeoutMs }, (error, connection) =>
      connection === undefined ? reject(error) : resolve(connection),
    );
  });
}

async function socketPath(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "heddle-connection-"));
  context.after(() => rm(folder, { recursive: true }));
  return join(folder, "it.sock");
}

async function pair(): Promise<{ a: Connection; b: Connection; fromA: Recorded; fromB: Recorded }> {
  let accepted: Connection | undefined;
  const port = await listen((connection) => (accepted = connection));
  const a = await dial(port);
  await until("the other side has seen it", () => accepted !== undefined);
  const b = accepted as unknown as Connection;
  const fromA = recorder();
  const fromB = recorder();
  b.handler = fromA;
  a.handler = fromB;
  return { a, b, fromA, fromB };
}

describe("Connection", () => {
  after(() => servers.forEach((server) => server.close()));

  it("reads nothing before resume, everything after it", async () => {
    const { a, b, fromA } = await pair();
    a.write(Buffer.from("hello"));
    a.flush();
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(fromA.text, "");
    b.resume();
    await until("the other side has seen it", () => fromA.text === "hello");
    assert.equal(b.bytesRead, 5);
    assert.equal(a.bytesWritten, 5);
    a.destroy();
    b.destroy();
  });

  it("knows its peer, also after the end if it was asked before", async () => {
    const { a, b, fromA } = await pair();
    assert.equal(a.remoteAddress, "127.0.0.1");
    const { remotePort } = b;
    assert.ok(remotePort > 0 && remotePort !== a.remotePort);
    b.resume();
    b.destroy();
    a.destroy();
    await until("it is closed", () => fromA.events.includes("close"));
    assert.deepEqual([b.remoteAddress, b.remotePort], ["127.0.0.1", remotePort]);
  });

  it("sends all writes of one turn together and in order, whatever their size", async () => {
    const { a, b, fromA } = await pair();
    b.resume();
    const large = Buffer.alloc(100_000, "L");
    a.writeLatin1("one");
    const { block, offset } = a.reserve(3);
    block.write("two", offset, "latin1");
    a.commit(3);
    a.write(large);
    a.write(Buffer.from("end"));
    await until("the other side has seen it", () => fromA.bytes === 100_009);
    assert.equal(fromA.text, `onetwo${large.toString()}end`);
    a.destroy();
    b.destroy();
  });

  it("half-closes: data still comes back after our FIN", async () => {
    const { a, b, fromA, fromB } = await pair();
    a.resume();
    b.resume();
    a.write(Buffer.from("question"));
    a.end();
    await until("the other side has seen it", () => fromA.events.includes("end"));
    b.write(Buffer.from("answer"));
    b.end();
    await until("the other side has seen it", () => fromB.events.includes("close") && fromA.events.includes("close"));
    assert.equal(fromB.text, "answer");
    assert.deepEqual(fromB.events, ["end", "close"]);
  });

  it("tells a writer to wait at the high-water mark, and to go on once the reader has caught up", async () => {
    const { a, b, fromA, fromB } = await pair();
    const chunk = Buffer.alloc(64 * 1024, 1);
    let sent = 0;
    while (a.write(chunk)) sent += chunk.length;
    sent += chunk.length;
    assert.ok(a.unsentBytes >= HIGH_WATER_BYTES, "the mark was reached");
    assert.ok(
      a.unsentBytes < HIGH_WATER_BYTES + 2 * chunk.length,
      "and not passed by more than what was being written",
    );
    b.resume();
    await until("the other side has seen it", () => fromB.events.includes("drain"));
    await until("the other side has seen it", () => fromA.bytes === sent);
    a.destroy();
    b.destroy();
  });

  it("pause holds the peer back", async () => {
    const { a, b, fromA } = await pair();
    b.resume();
    a.write(Buffer.from("x"));
    await until("the other side has seen it", () => fromA.text === "x");
    b.pause();
    a.write(Buffer.from("y"));
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(fromA.text, "x");
    b.resume();
    await until("the other side has seen it", () => fromA.text === "xy");
    a.destroy();
    b.destroy();
  });

  it("reports a reset by the peer once, with its code", async () => {
    const { a, b, fromB } = await pair();
    a.resume();
    b.reset();
    await until("the other side has seen it", () => fromB.events.length > 0);
    assert.deepEqual(fromB.events, ["close ECONNRESET"]);
    assert.equal(a.write(Buffer.from("into the void")), true);
  });

  it("closes when it is reset, also right behind its FIN, with and without bytes unsent", async () => {
    for (const unsent of [0, 1_000, 8_000_000]) {
      for (const wait of [false, true]) {
        for (const side of ["dialled", "accepted"]) {
          const { a, b, fromA, fromB } = await pair();
          const [near, events] = side === "dialled" ? [a, fromB.events] : [b, fromA.events];
          near.resume();
          near.write(Buffer.alloc(unsent));
          near.end();
          if (wait) await new Promise((resolve) => setTimeout(resolve, 5));
          near.reset();
          near.reset();
          await until(`${side} is closed with ${unsent} bytes unsent`, () => events.includes("close"));
          assert.deepEqual(events, ["close"]);
        }
      }
    }
  });

  it("resets even while its FIN waits behind bytes that the peer does not take", async () => {
    const { a, b, fromA, fromB } = await pair();
    a.resume();
    a.write(Buffer.alloc(32 * 1024 * 1024));
    a.end();
    await new Promise((resolve) => setImmediate(resolve));
    a.reset();
    await until("it is closed", () => fromB.events.length > 0);
    b.resume();
    await until("the other side sees no whole stream", () => fromA.events.includes("close ECONNRESET"));
    assert.equal(fromA.events.includes("end"), false);
  });

  it("resets right behind its own FIN", async () => {
    const { a, b, fromA, fromB } = await pair();
    a.resume();
    b.resume();
    a.write(Buffer.from("x"));
    a.end();
    a.reset();
    await until("it is closed", () => fromB.events.length > 0 && fromA.events.includes("end"));
    b.write(Buffer.from("y"));
    await until("the other side finds nobody", () => fromA.events.length === 2);
    assert.match(fromA.events[1] ?? "", /^close E/);
  });

  it("connect fails with the cause, once, and can be given up", async () => {
    const port = await listen(() => {});
    servers.pop()?.close();
    await assert.rejects(dial(port), { code: "ECONNREFUSED" });
    let called = false;
    const giveUp = connect({ address: "127.0.0.1", port, timeoutMs: 100 }, () => (called = true));
    giveUp();
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(called, false);
  });

  it("connects to a Unix socket, where a reset is an end", async (context) => {
    const path = await socketPath(context);
    let accepted: net.Socket | undefined;
    const server = net.createServer((socket) => (accepted = socket)).listen(path);
    context.after(() => server.close());
    await once(server, "listening");
    const connection = await dialPath(path);
    const events: string[] = [];
    await until("it is accepted", () => accepted !== undefined);
    accepted?.on("data", (chunk) => events.push(String(chunk))).on("end", () => events.push("end"));
    connection.write(Buffer.from("before"));
    connection.flush();
    connection.reset();
    await until("the other side has seen it", () => events.includes("end"));
    assert.deepEqual(events, ["before", "end"]);
    await assert.rejects(dialPath(`${path}.other`), { code: "ENOENT" });
  });

  it("waits for a Unix socket whose queue is full, as long as it may", async (context) => {
    const path = await socketPath(context);
    // A listener that accepts nobody: the kernel's queue is all there is.
    const source = `require("net").createServer().listen({ path: ${JSON.stringify(path)}, backlog: 1 },
      () => console.log("listening"));`;
    const child = spawn(process.execPath, ["-e", source], { stdio: ["ignore", "pipe", "inherit"] });
    context.after(() => child.kill("SIGKILL"));
    await once(child.stdout, "data");
    child.kill("SIGSTOP");
    const queued: Connection[] = [];
    context.after(() => queued.forEach((connection) => connection.destroy()));
    await assert.rejects(
      async () => {
        for (let i = 0; i < 10; i++) queued.push(await dialPath(path, 100));
      },
      { code: "ETIMEDOUT", message: `connect ETIMEDOUT ${path} after 100 ms` },
    );
    const waiting = dialPath(path, 10_000);
    child.kill("SIGCONT");
    queued.push(await waiting);
  });

  it("gives its block back when it closes with bytes unsent", async () => {
    const { a, b, fromB } = await pair();
    a.resume();
    const before = freeBlocks();
    a.write(Buffer.from("never sent"));
    a.destroy();
    await until("the other side has seen it", () => fromB.events.length === 1);
    assert.ok(freeBlocks() >= before, "the pool did not shrink");
    b.destroy();
  });
});
