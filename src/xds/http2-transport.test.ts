import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Http2Server, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { afterEach, describe, it } from "node:test";

import { until } from "../../test/support/until.ts";
import { systemClock } from "../net/clock.ts";
import type { Connection } from "../net/connection.ts";
import { VirtualClock } from "../net/virtual-clock.ts";
import type { ClientStream } from "./client-transport.ts";
import { frameMessage, MESSAGE_BYTES_MAX } from "./grpc-frames.ts";
import { Http2Transport, type Secure } from "./http2-transport.ts";

/** What a stream was told. */
class Heard {
  opened = 0;
  readonly messages: string[] = [];
  readonly closed: string[] = [];

  onOpen(): void {
    this.opened++;
  }

  onMessage(message: Uint8Array): void {
    this.messages.push(Buffer.from(message).toString());
  }

  onClose(reason: string): void {
    this.closed.push(reason);
  }
}

describe("Http2Transport", () => {
  const servers: (Http2Server | Server)[] = [];
  const sessions: (ServerHttp2Session | Socket)[] = [];
  const streams: ClientStream[] = [];

  afterEach(() => {
    for (const stream of streams.splice(0)) stream.close();
    for (const session of sessions.splice(0)) session.destroy();
    for (const server of servers.splice(0)) server.close();
  });

  async function listen(server: Http2Server | Server): Promise<number> {
    servers.push(server);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return (server.address() as AddressInfo).port;
  }

  /** A server of one stream handler. */
  async function serve(
    handler: (stream: ServerHttp2Stream, headers: Record<string, unknown>) => void,
  ): Promise<number> {
    const server = createServer();
    server.on("session", (session) => sessions.push(session));
    server.on("stream", (stream, headers) => {
      stream.on("error", () => {});
      handler(stream as ServerHttp2Stream, headers);
    });
    return await listen(server);
  }

  function open(port: number, clock = systemClock): { heard: Heard; stream: ClientStream } {
    const heard = new Heard();
    const stream = new Http2Transport({ host: "127.0.0.1", port }, clock).open(heard);
    streams.push(stream);
    return { heard, stream };
  }

  const grpc = { ":status": 200, "content-type": "application/grpc+proto" };

  it("carries messages both ways", async () => {
    let headers: Record<string, unknown> = {};
    const received: Buffer[] = [];
    const port = await serve((stream, head) => {
      headers = head;
      stream.respond(grpc);
      stream.on("data", (chunk: Buffer) => {
        received.push(chunk);
        stream.write(frameMessage(Buffer.from("pong")));
        stream.write(frameMessage(Buffer.from("x".repeat(300_000))));
      });
    });
    const { heard, stream } = open(port);
    assert.equal(heard.opened, 0);
    await until("open", () => heard.opened === 1);
    stream.send(Buffer.from("ping"));
    await until("two messages", () => heard.messages.length === 2);
    assert.deepEqual(Buffer.concat(received), frameMessage(Buffer.from("ping")));
    assert.deepEqual(
      heard.messages.map(({ length }) => length),
      [4, 300_000],
    );
    assert.equal(headers[":method"], "POST");
    assert.equal(headers[":path"], "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources");
    assert.equal(headers["content-type"], "application/grpc");
    assert.equal(headers["te"], "trailers");
    assert.equal(headers[":authority"], `127.0.0.1:${port}`);
    stream.close();
    stream.close();
    await until("gone", () => sessions.every((session) => session.destroyed));
    assert.deepEqual(heard.closed, []);
  });

  const failures: [string, (stream: ServerHttp2Stream) => void, RegExp][] = [
    ["an HTTP error", (stream) => stream.respond({ ":status": 404 }, { endStream: true }), /^HTTP status 404$/],
    [
      "a gRPC error at once",
      (stream) => stream.respond({ ...grpc, "grpc-status": "12", "grpc-message": "no" }, { endStream: true }),
      /^gRPC status UNIMPLEMENTED: no$/,
    ],
    [
      "an answer that is not gRPC",
      (stream) => stream.respond({ ":status": 200, "content-type": "text/html" }),
      /not gRPC/,
    ],
    ["a stream without a status", (stream) => (stream.respond(grpc), stream.end()), /without a gRPC status/],
    ["a reset", (stream) => (stream.respond(grpc), stream.close(2)), /./],
    ["a lost connection", (stream) => stream.session?.destroy(), /./],
    [
      "a gRPC error in the end",
      (stream) => {
        stream.respond(grpc, { waitForTrailers: true });
        stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "8", "grpc-message": "too%20many" }));
        stream.end(frameMessage(Buffer.from("last")));
      },
      /^gRPC status RESOURCE_EXHAUSTED: too many$/,
    ],
    [
      "a message that is too large",
      (stream) => {
        stream.respond(grpc);
        const prefix = Buffer.alloc(5);
        prefix.writeUInt32BE(MESSAGE_BYTES_MAX + 1, 1);
        stream.write(prefix);
      },
      /at most 16777216/,
    ],
  ];

  for (const [what, handler, reason] of failures) {
    it(`says so when it meets ${what}`, async () => {
      const { heard } = open(await serve(handler));
      await until("the end", () => heard.closed.length > 0);
      assert.equal(heard.closed.length, 1);
      assert.match(heard.closed[0] ?? "", reason);
      await until("the connection is closed", () => sessions.every((session) => session.destroyed));
    });
  }

  it("says so when nobody listens", async () => {
    const port = await listen(createTcpServer());
    servers.pop()?.close();
    const { heard } = open(port);
    await until("the end", () => heard.closed.length === 1);
    assert.match(heard.closed[0] ?? "", /ECONNREFUSED/);
    assert.equal(heard.opened, 0);
  });

  it("finds out that the peer has vanished without a word", async () => {
    const clock = new VirtualClock();
    const port = await listen(createTcpServer((socket) => sessions.push(socket.on("error", () => {}))));
    const { heard } = open(port, clock);
    await until("open", () => heard.opened === 1);
    clock.advance(60_000);
    await until("the end", () => heard.closed.length === 1);
    assert.equal(clock.pending, 0);
  });

  it("can be given up while it connects", async () => {
    const port = await listen(createTcpServer((socket) => sessions.push(socket.on("error", () => {}))));
    const { heard, stream } = open(port);
    stream.close();
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual([heard.opened, heard.closed.length], [0, 0]);
  });

  /** What a test does in the place of TLS. */
  function held(port: number) {
    const heard = new Heard();
    const asked: { connection: Connection; done: (error: Error | undefined) => void }[] = [];
    let givenUp = 0;
    const secure: Secure = (connection, done) => {
      asked.push({ connection, done });
      return () => {
        givenUp++;
        connection.destroy();
      };
    };
    const stream = new Http2Transport({ host: "127.0.0.1", port }, systemClock, "a/b", secure).open(heard);
    streams.push(stream);
    return { heard, stream, asked, givenUp: () => givenUp };
  }

  describe("with something that secures its connections", () => {
    it("says nothing before it is done, and says then that it is secure", async () => {
      let scheme: unknown;
      const port = await serve((stream, head) => {
        scheme = head[":scheme"];
        stream.respond(grpc);
      });
      const { heard, asked } = held(port);
      await until("a connection is there", () => asked.length === 1);
      const [{ connection, done }] = asked as [(typeof asked)[0]];
      assert.equal(connection.bytesWritten, 0);
      assert.equal(heard.opened, 0);
      done(undefined);
      await until("it is open", () => heard.opened === 1);
      await until("the call came", () => scheme !== undefined);
      assert.equal(scheme, "https");
    });

    it("says why it was not", async () => {
      const port = await serve(() => {});
      const { heard, asked } = held(port);
      await until("a connection is there", () => asked.length === 1);
      asked[0]?.connection.destroy();
      asked[0]?.done(new Error("the wrong one"));
      assert.deepEqual([heard.opened, heard.closed], [0, ["the wrong one"]]);
    });

    it("gives it up when it is closed meanwhile", async () => {
      const port = await serve(() => {});
      const { heard, stream, asked, givenUp } = held(port);
      await until("a connection is there", () => asked.length === 1);
      stream.close();
      assert.equal(givenUp(), 1);
      assert.deepEqual([heard.opened, heard.closed], [0, []]);
    });
  });
});
