import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it, type TestContext } from "node:test";

import * as fc from "fast-check";

import { connectedPair } from "../../test/support/connections.ts";
import { until } from "../../test/support/until.ts";
import { type Connection, type ConnectionHandler, HIGH_WATER_BYTES } from "../net/connection.ts";
import { splice } from "./opaque.ts";

class Recorder implements ConnectionHandler {
  text = "";
  bytes = 0;
  ended = false;
  closed = false;
  error: NodeJS.ErrnoException | undefined = undefined;
  drained = 0;
  readonly #hash = createHash("sha256");

  constructor(connection: Connection) {
    connection.handler = this;
  }

  /** Of all bytes received; once. */
  digest(): string {
    return this.#hash.digest("hex");
  }

  onData(chunk: Buffer): void {
    this.#hash.update(chunk);
    this.bytes += chunk.length;
    if (this.bytes < 1_000) this.text += chunk.toString();
  }

  onEnd(): void {
    this.ended = true;
  }

  onDrain(): void {
    this.drained++;
  }

  onClose(error: Error | undefined): void {
    this.closed = true;
    this.error = error;
  }
}

/** Client and server with a splice between them. */
async function setUp(context: TestContext) {
  const [client, near] = await connectedPair(context);
  const [far, server] = await connectedPair(context);
  const closes: { toServer: number; toClient: number; error: NodeJS.ErrnoException | undefined }[] = [];
  splice(near, far, { onClose: (toServer, toClient, error) => closes.push({ toServer, toClient, error }) });
  const fromServer = new Recorder(client);
  const fromClient = new Recorder(server);
  return { client, near, far, server, closes, fromServer, fromClient };
}

describe("splice", () => {
  it("passes bytes both ways and half-closes one after the other", async (context) => {
    const { client, server, closes, fromServer, fromClient } = await setUp(context);
    client.resume();
    server.resume();
    client.write(Buffer.from("question"));
    client.end();
    await until("the server has seen the end", () => fromClient.ended);
    assert.equal(fromClient.text, "question");
    assert.equal(fromServer.ended, false);
    server.write(Buffer.from("answers"));
    server.end();
    await until("the client has seen the end", () => fromServer.ended);
    assert.equal(fromServer.text, "answers");
    await until("all is closed", () => closes.length === 1 && fromClient.closed && fromServer.closed);
    assert.deepEqual(closes, [{ toServer: 8, toClient: 7, error: undefined }]);
    assert.equal(fromServer.error, undefined);
    assert.equal(fromClient.error, undefined);
  });

  it("passes an RST on as an RST, either way", async (context) => {
    for (const fromClientSide of [true, false]) {
      const { client, server, closes, fromServer, fromClient } = await setUp(context);
      client.resume();
      server.resume();
      client.write(Buffer.from("x"));
      await until("it works", () => fromClient.text === "x");
      (fromClientSide ? client : server).reset();
      const other = fromClientSide ? fromClient : fromServer;
      await until("the other side knows", () => other.closed);
      assert.equal(other.error?.code, "ECONNRESET");
      await until("all is closed", () => closes.length === 1);
      assert.equal(closes[0]?.error?.code, "ECONNRESET");
    }
  });

  it("does not let a stream that one end has cut look whole", async (context) => {
    const { near, client, server, closes, fromClient } = await setUp(context);
    client.resume();
    server.resume();
    client.write(Buffer.from("half"));
    await until("it works", () => fromClient.text === "half");
    near.destroy();
    await until("the server knows", () => fromClient.closed);
    assert.equal(fromClient.error?.code, "ECONNRESET");
    assert.equal(fromClient.ended, false);
    await until("all is closed", () => closes.length === 1);
  });

  it("delivers what came before an RST, as it would arrive without us", async (context) => {
    const { far, client, server, fromServer } = await setUp(context);
    client.resume();
    // Both are there when we look: the bytes and the RST behind them.
    far.pause();
    server.write(Buffer.from("last words"));
    server.flush();
    server.reset();
    far.resume();
    await until("the client knows", () => fromServer.closed);
    assert.equal(fromServer.text, "last words");
    assert.equal(fromServer.error?.code, "ECONNRESET");
  });

  it("delivers every byte and each end, whatever the two sides do", async (context) => {
    const step = fc.record({
      side: fc.nat(1),
      does: fc.constantFrom("write", "write", "write", "write", "pause", "resume", "turn", "end"),
      size: fc.nat(200_000),
      byte: fc.nat(255),
    });
    const property = fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const { client, server, closes, fromServer, fromClient } = await setUp(context);
      const sides = [
        { connection: client, sent: createHash("sha256") },
        { connection: server, sent: createHash("sha256") },
      ] as const;
      client.resume();
      server.resume();
      for (const { side, does, size, byte } of steps) {
        const { connection, sent } = side === 0 ? sides[0] : sides[1];
        if (does === "turn") await new Promise((resolve) => setImmediate(resolve));
        else if (does !== "write") connection[does]();
        else if (!connection.ended) {
          const chunk = Buffer.alloc(size, byte);
          sent.update(chunk);
          connection.write(chunk);
        }
      }
      for (const { connection } of sides) {
        connection.resume();
        connection.end();
      }
      await until("all is closed", () => closes.length === 1 && fromClient.closed && fromServer.closed, 20_000);
      assert.deepEqual(closes, [{ toServer: client.bytesWritten, toClient: server.bytesWritten, error: undefined }]);
      assert.equal(fromClient.digest(), sides[0].sent.digest("hex"));
      assert.equal(fromServer.digest(), sides[1].sent.digest("hex"));
      assert.ok(fromClient.ended && fromServer.ended);
    });
    await fc.assert(property, { numRuns: 30 });
  });

  it("holds a fast sender to the pace of a slow reader", async (context) => {
    const { client, near, far, server, fromClient } = await setUp(context);
    const chunk = Buffer.alloc(64 * 1024, "x");
    let sent = 0;
    // The server does not read: the kernel's buffers fill up, then ours, then the client has to wait.
    for (let round = 0; round < 1_000 && !client.congested; round++) {
      for (let i = 0; i < 16 && client.write(chunk); i++) sent += chunk.length;
      await new Promise((resolve) => setImmediate(resolve));
      assert.ok(far.unsentBytes <= HIGH_WATER_BYTES + 2 * chunk.length, `${far.unsentBytes} bytes wait`);
    }
    await until("the client has to wait", () => client.congested);
    sent = client.bytesWritten;
    assert.equal(fromClient.bytes, 0);
    client.resume();
    server.resume();
    client.end();
    await until("all has arrived", () => fromClient.ended, 20_000);
    assert.equal(fromClient.bytes, sent);
    assert.equal(near.bytesRead, sent);
  });
});
