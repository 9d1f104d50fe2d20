/** Both ends against Node's own HTTP/2 (nghttp2), over real sockets. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import http2 from "node:http2";
import type net from "node:net";
import { afterEach, describe, it } from "node:test";

import { closeAll, dial, listen, Recorder, requestHead, responseHead } from "../../../test/support/http2-peer.ts";
import { until } from "../../../test/support/until.ts";
import type { Connection } from "../../net/connection.ts";
import { type BodyReceiver, type RequestHead, ResetCause, type ServerStream } from "../exchange.ts";
import { Http2ClientConnection } from "./client.ts";
import { defaultHttp2ClientOptions, defaultHttp2Options } from "./options.ts";
import { Http2ServerConnection } from "./server.ts";

const LARGE = 64 * 1024 * 1024;
/** What a large body may add to what this process holds besides its heap, whichever way it goes. */
const MEMORY_BOUND = 48 * 1024 * 1024;

type Handle = (stream: ServerStream, head: RequestHead, end: boolean) => BodyReceiver;

const ignore: BodyReceiver = { onData() {}, onTrailers() {}, onReset() {}, onWritable() {} };

const peers: { destroy(): void }[] = [];
const servers: http2.Http2Server[] = [];

function cleanUp(): void {
  for (const peer of peers.splice(0)) peer.destroy();
  for (const server of servers.splice(0)) server.close();
  closeAll();
}

/** A server of ours, a client of Node's. */
async function nodeClient(handle: Handle): Promise<{ session: http2.ClientHttp2Session; ours: Http2ServerConnection }> {
  let ours: Http2ServerConnection | undefined;
  const port = await listen((connection) => {
    ours = new Http2ServerConnection(
      connection,
      {
        onRequest: (stream, head, end) => (stream.receiver = handle(stream, head, end)),
        onFault: (fault) => ({ head: responseHead(fault.status), body: fault.detail }),
        onClose() {},
      },
      defaultHttp2Options,
    );
    connection.resume();
  });
  const session = http2.connect(`http://127.0.0.1:${port}`);
  peers.push(session);
  session.on("error", () => {});
  await once(session, "connect");
  await until("our server is there", () => ours !== undefined);
  return { session, ours: ours as unknown as Http2ServerConnection };
}

/** A client of ours, a server of Node's. */
async function nodeServer(
  onStream: (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void,
  settings: http2.Settings = {},
): Promise<{ client: Http2ClientConnection; connection: Connection; sessions: http2.ServerHttp2Session[] }> {
  const server = http2.createServer({ settings });
  const sessions: http2.ServerHttp2Session[] = [];
  servers.push(server);
  server.on("session", (session) => {
    sessions.push(session);
    peers.push(session);
    session.on("error", () => {});
  });
  server.on("stream", (stream: http2.ServerHttp2Stream, headers) => {
    stream.on("error", () => {});
    onStream(stream, headers);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const connection = await dial((server.address() as net.AddressInfo).port);
  let available = 0;
  const owner = { onAvailable: () => available++, onClose() {} };
  const client = new Http2ClientConnection(connection, owner, defaultHttp2ClientOptions);
  connection.resume();
  await until("the settings are there", () => available > 0);
  return { client, connection, sessions };
}

async function bodyOf(stream: NodeJS.ReadableStream): Promise<string> {
  let text = "";
  for await (const chunk of stream) text += String(chunk);
  return text;
}

/** Octets in buffers, ours and Node's, garbage included. */
const foreign = (): number => process.memoryUsage().arrayBuffers;

describe("our server and Node's client", () => {
  afterEach(cleanUp);

  it("exchange a GET", async () => {
    const { session } = await nodeClient((stream, head) => {
      stream.sendHead(responseHead(200, ["x-path", head.path, "x-method", head.method]), false);
      stream.sendData(Buffer.from("hello"), true);
      return ignore;
    });
    const request = session.request({ ":path": "/a?b=c", "x-a": "1" });
    const [headers] = (await once(request, "response")) as [http2.IncomingHttpHeaders];
    assert.deepEqual([headers[":status"], headers["x-path"], headers["x-method"]], [200, "/a?b=c", "GET"]);
    assert.equal(await bodyOf(request), "hello");
  });

  it("stream a POST both ways with trailers and an interim answer", async () => {
    const { session } = await nodeClient((stream) => {
      stream.sendHead(responseHead(103, ["link", "</a>"]), false);
      stream.sendHead(responseHead(200), false);
      return {
        ...ignore,
        onData(chunk, end) {
          stream.sendData(Buffer.from(chunk.toString().toUpperCase()), false);
          if (end) stream.sendTrailers(["x-sum", "1"]);
        },
        onTrailers: (trailers) => stream.sendTrailers(["x-echo", ...trailers.slice(1)]),
      };
    });
    const request = session.request({ ":method": "POST", ":path": "/" }, { endStream: false, waitForTrailers: true });
    request.on("wantTrailers", () => request.sendTrailers({ "x-sent": "yes" }));
    const interim = once(request, "headers") as Promise<[http2.IncomingHttpHeaders]>;
    const trailers = once(request, "trailers") as Promise<[http2.IncomingHttpHeaders]>;
    request.write("one ");
    request.end("two");
    assert.equal((await interim)[0].link, "</a>");
    assert.equal(await bodyOf(request), "ONE TWO");
    assert.equal((await trailers)[0]["x-echo"], "yes");
  });

  it("reset streams both ways", async () => {
    const resets: string[] = [];
    const paths: string[] = [];
    const { session } = await nodeClient((stream, head) => {
      paths.push(head.path);
      if (head.path === "/ours") stream.reset(new ResetCause("refused", "no"));
      return { ...ignore, onReset: (cause) => void resets.push(cause.code) };
    });
    const ours = session.request({ ":path": "/ours" });
    ours.on("error", () => {});
    await new Promise((resolve) => ours.on("close", resolve));
    assert.equal(ours.rstCode, http2.constants.NGHTTP2_REFUSED_STREAM);
    const theirs = session.request({ ":path": "/theirs" });
    await until("the second request is there", () => paths.includes("/theirs"));
    theirs.close(http2.constants.NGHTTP2_CANCEL);
    await until("we are told", () => resets.length === 1);
    assert.deepEqual(resets, ["cancelled"]);
  });

  it("serve 100 requests at once, all right", async () => {
    const { session, ours } = await nodeClient((stream, head) => {
      setImmediate(() => {
        stream.sendHead(responseHead(200, ["x-path", head.path]), false);
        stream.sendData(Buffer.from(head.path.repeat(1_000)), true);
      });
      return ignore;
    });
    await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        assert.equal(await bodyOf(session.request({ ":path": `/${i}` })), `/${i}`.repeat(1_000));
      }),
    );
    assert.equal(ours.active, 0);
  });

  it("part with GOAWAY, after what was open", async () => {
    let answer: (() => void) | undefined;
    const { session, ours } = await nodeClient((stream) => {
      answer = () => stream.sendHead(responseHead(204), true);
      return ignore;
    });
    const request = session.request({ ":path": "/" });
    await until("the request is there", () => answer !== undefined);
    const goaway = once(session, "goaway");
    ours.shutdown();
    await goaway;
    answer?.();
    const [headers] = (await once(request, "response")) as [http2.IncomingHttpHeaders];
    assert.equal(headers[":status"], 204);
    await once(session, "close");
  });

  it("bear a head of many kilobytes", async () => {
    const { session } = await nodeClient((stream, head) => {
      stream.sendHead(responseHead(200, ["x-back", head.headers[head.headers.indexOf("x-large") + 1] ?? ""]), true);
      return ignore;
    });
    const value = "abc".repeat(10_000);
    const request = session.request({ ":path": "/", "x-large": value });
    const [headers] = (await once(request, "response")) as [http2.IncomingHttpHeaders];
    assert.equal(headers["x-back"], value);
    request.resume();
  });

  it("carry 64 MiB up and down through a slow reader in bounded memory", async () => {
    const { session } = await nodeClient((stream) => {
      stream.sendHead(responseHead(200), false);
      return {
        ...ignore,
        onData(chunk, end) {
          if (!stream.sendData(chunk, end)) stream.pause();
        },
        onWritable: () => stream.resume(),
      };
    });
    await carry(session.request({ ":method": "POST", ":path": "/" }));
  });
});

/** Sends a large body and compares what comes back, while watching memory. */
async function carry(request: http2.ClientHttp2Stream): Promise<void> {
  const before = foreign();
  const chunk = Buffer.alloc(64 * 1024, "heddle ");
  const [sent, received] = [createHash("sha1"), createHash("sha1")];
  let most = 0;
  const sending = (async () => {
    for (let bytes = 0; bytes < LARGE; bytes += chunk.length) {
      sent.update(chunk);
      if (!request.write(chunk)) await once(request, "drain");
    }
    request.end();
  })();
  let bytes = 0;
  for await (const part of request) {
    received.update(part as Buffer);
    bytes += (part as Buffer).length;
    most = Math.max(most, foreign());
    if (bytes % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await sending;
  assert.equal(bytes, LARGE);
  assert.equal(received.digest("hex"), sent.digest("hex"));
  assert.ok(most - before < MEMORY_BOUND, `${most - before} octets more`);
}

describe("our client and Node's server", () => {
  afterEach(cleanUp);

  it("exchange a GET", async () => {
    const { client } = await nodeServer((stream, headers) => {
      stream.respond({ ":status": 200, "x-path": headers[":path"], "x-host": headers[":authority"] });
      stream.end("hello");
    });
    const receiver = new Recorder();
    client.open(requestHead({ path: "/a", headers: ["Host", "a.example"] }), true, receiver);
    await until("it has ended", () => receiver.ended);
    assert.equal(receiver.content.toString(), "hello");
    assert.deepEqual(receiver.heads[0]?.headers.slice(0, 4), ["x-path", "/a", "x-host", "a.example"]);
    assert.equal(client.reused, true);
  });

  it("stream a POST both ways with trailers and an interim answer", async () => {
    const sentTrailers: http2.IncomingHttpHeaders[] = [];
    const { client } = await nodeServer((stream) => {
      stream.additionalHeaders({ ":status": 103, link: "</a>" });
      stream.respond({ ":status": 200 }, { waitForTrailers: true });
      stream.on("trailers", (headers) => sentTrailers.push(headers));
      stream.on("data", (chunk: Buffer) => stream.write(chunk.toString().toUpperCase()));
      stream.on("end", () => stream.end());
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "1" }));
    });
    const receiver = new Recorder();
    const stream = client.open(requestHead({ method: "POST" }), false, receiver);
    stream.sendData(Buffer.from("one "), false);
    stream.sendData(Buffer.from("two"), false);
    stream.sendTrailers(["x-sent", "yes"]);
    await until("it has ended", () => receiver.ended);
    assert.deepEqual(
      receiver.heads.map((head) => head.status),
      [103, 200],
    );
    assert.equal(receiver.content.toString(), "ONE TWO");
    assert.deepEqual(receiver.trailers, ["x-sum", "1"]);
    assert.equal(sentTrailers[0]?.["x-sent"], "yes");
  });

  it("reset streams both ways", async () => {
    const codes: number[] = [];
    const { client } = await nodeServer((stream, headers) => {
      stream.on("close", () => codes.push(stream.rstCode));
      if (headers[":path"] === "/theirs") stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
    });
    const theirs = new Recorder();
    client.open(requestHead({ path: "/theirs" }), true, theirs);
    await until("we are told", () => theirs.resets.length === 1);
    assert.equal(theirs.resets[0]?.code, "refused");
    const ours = client.open(requestHead({ method: "POST" }), false, new Recorder());
    ours.sendData(Buffer.from("x"), false);
    ours.reset(new ResetCause("cancelled", ""));
    await until("they are told", () => codes.length === 2);
    assert.equal(codes[1], http2.constants.NGHTTP2_CANCEL);
    assert.equal(client.active, 0);
  });

  it("exchange 100 requests at once, all right", async () => {
    const { client } = await nodeServer((stream, headers) => {
      stream.respond({ ":status": 200 });
      stream.end(String(headers[":path"]).repeat(1_000));
    });
    const receivers = Array.from({ length: 100 }, (_, i) => {
      const receiver = new Recorder();
      client.open(requestHead({ path: `/${i}` }), true, receiver);
      return receiver;
    });
    await until("all have ended", () => receivers.every((receiver) => receiver.ended));
    receivers.forEach((receiver, i) => assert.equal(receiver.content.toString(), `/${i}`.repeat(1_000)));
  });

  it("heed the server's number of streams, and its GOAWAY", async () => {
    const streams: http2.ServerHttp2Stream[] = [];
    const { client, sessions } = await nodeServer((stream) => streams.push(stream), { maxConcurrentStreams: 2 });
    assert.equal(client.available, 2);
    const receiver = new Recorder();
    client.open(requestHead(), true, receiver);
    await until("it is there", () => streams.length === 1);
    sessions[0]?.close();
    await until("GOAWAY is known", () => !client.usable);
    streams[0]?.respond({ ":status": 204 }, { endStream: true });
    await until("it has ended", () => receiver.ended);
    await until("the session is closed", () => sessions[0]?.destroyed === true);
  });

  it("carry 64 MiB up and down through a slow reader in bounded memory", async () => {
    const { client } = await nodeServer((stream) => {
      stream.respond({ ":status": 200 });
      stream.pipe(stream);
    });
    const before = foreign();
    const chunk = Buffer.alloc(64 * 1024, "heddle ");
    let [sent, received, most] = [0, 0, 0];
    let ended = false;
    const send = (): void => {
      while (sent < LARGE) {
        sent += chunk.length;
        if (!stream.sendData(chunk, sent === LARGE)) return;
      }
    };
    const stream = client.open(requestHead({ method: "POST" }), false, {
      ...ignore,
      onHead() {},
      onData(part, end) {
        received += part.length;
        most = Math.max(most, foreign());
        ended = end;
        if (received % 32 === 0) {
          stream.pause();
          setImmediate(() => stream.resume());
        }
      },
      onWritable: send,
    });
    send();
    await until("all has come back", () => ended, 30_000);
    assert.equal(received, LARGE);
    assert.ok(most - before < MEMORY_BOUND, `${most - before} octets more`);
  });
});
