/** Both codecs against Node's own HTTP/1 over real sockets, and against each other. */
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { describe, it, type TestContext } from "node:test";

import { connectedPair, dial, listen } from "../../../test/support/connections.ts";
import {
  RecordedResponse,
  RecordingHandler,
  RecordingOwner,
  requestHead,
  responseHead,
} from "../../../test/support/exchange-recorder.ts";
import { until } from "../../../test/support/until.ts";
import { HIGH_WATER_BYTES } from "../../net/connection.ts";
import type {
  BodyReceiver,
  ClientStream,
  HeaderList,
  RequestHead,
  ResetCause,
  ResponseHead,
  ResponseReceiver,
  ServerHandler,
  ServerStream,
} from "../exchange.ts";
import { Http1ClientConnection } from "./client.ts";
import { defaultHttp1Options } from "./options.ts";
import { Http1ServerConnection } from "./server.ts";

/** What a proxy is at its smallest: every exchange of a server connection goes to one client connection of its own. */
class Relay implements ServerHandler {
  readonly #context: TestContext;
  readonly #port: number;

  constructor(context: TestContext, port: number) {
    this.#context = context;
    this.#port = port;
  }

  onRequest(stream: ServerStream, head: RequestHead, end: boolean): void {
    const early: [Buffer, boolean][] = [];
    let upstream: ClientStream | undefined;
    let trailers: HeaderList | undefined;
    const send = (chunk: Buffer, last: boolean): void => {
      if (upstream === undefined) early.push([Buffer.from(chunk), last]);
      else if (!upstream.sendData(chunk, last)) stream.pause();
    };
    const receiver: BodyReceiver = {
      onData: send,
      onTrailers: (fields) => (upstream === undefined ? (trailers = fields) : upstream.sendTrailers(fields)),
      onReset: (cause) => upstream?.reset(cause),
      onWritable: () => upstream?.resume(),
    };
    stream.receiver = receiver;
    const back: ResponseReceiver = {
      onHead: (answer, last) => stream.sendHead(answer, last),
      onData: (chunk, last) => {
        if (!stream.sendData(chunk, last) && !last) upstream?.pause();
      },
      onTrailers: (fields) => stream.sendTrailers(fields),
      onReset: (cause) => stream.reset(cause),
      onWritable: () => stream.resume(),
    };
    void dial(this.#context, this.#port).then((connection) => {
      const client = new Http1ClientConnection(connection, new RecordingOwner(), defaultHttp1Options);
      upstream = client.open(head, end, back);
      connection.resume();
      for (const [chunk, last] of early) upstream.sendData(chunk, last);
      if (trailers !== undefined) upstream.sendTrailers(trailers);
    });
  }

  onFault(): { head: ResponseHead; body: string } {
    return { head: responseHead(400), body: "" };
  }

  onClose(): void {}
}

async function relayTo(context: TestContext, port: number): Promise<number> {
  return listen(context, (connection) => {
    void new Http1ServerConnection(connection, new Relay(context, port), defaultHttp1Options);
    connection.resume();
  });
}

async function nodeServer(context: TestContext, handler: http.RequestListener): Promise<number> {
  const server = http.createServer(handler);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  context.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return (server.address() as net.AddressInfo).port;
}

interface Answer {
  status: number | undefined;
  reason: string | undefined;
  headers: string[];
  body: string;
  trailers: string[];
  interim: number[];
}

/** One request by Node's client. */
function ask(
  port: number,
  options: http.RequestOptions,
  write: (request: http.ClientRequest) => void,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const interim: number[] = [];
    const request = http.request({ host: "127.0.0.1", port, ...options }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () =>
        resolve({
          status: response.statusCode,
          reason: response.statusMessage,
          headers: response.rawHeaders,
          body: Buffer.concat(chunks).toString(),
          trailers: response.rawTrailers,
          interim,
        }),
      );
    });
    request.on("information", ({ statusCode }) => interim.push(statusCode));
    request.on("continue", () => interim.push(100));
    request.on("error", reject);
    write(request);
  });
}

/** Tells the client what arrived, in a form that the test can compare. */
function echo(request: http.IncomingMessage, response: http.ServerResponse, send: (body: string) => void): void {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    response.sendDate = false;
    send(
      JSON.stringify({
        method: request.method,
        url: request.url,
        fields: request.rawHeaders.filter((_, i, all) => /^x-/i.test(all[i - (i % 2)] as string)),
        host: request.headers.host,
        body: Buffer.concat(chunks).toString(),
        trailers: request.rawTrailers,
      }),
    );
  });
}

interface FormOptions extends http.RequestOptions {
  headers?: http.OutgoingHttpHeaders;
}

type Form = readonly [what: string, options: FormOptions, write: (request: http.ClientRequest) => void];

const end = (request: http.ClientRequest): void => void request.end();
const forms: readonly Form[] = [
  ["GET", { path: "/a?b=c", headers: { "X-Case": "1", "x-case": "2" } }, end],
  ["HEAD", { method: "HEAD", path: "/" }, end],
  ["DELETE", { method: "DELETE", path: "/" }, end],
  ["OPTIONS *", { method: "OPTIONS", path: "*" }, end],
  ["POST without body", { method: "POST", path: "/" }, end],
  ["POST of known length", { method: "POST", path: "/" }, (request) => void request.end("x".repeat(100_000))],
  [
    "POST in chunks with trailers",
    { method: "POST", path: "/", headers: { Trailer: "X-T", "Transfer-Encoding": "chunked" } },
    (request) => {
      request.write("one");
      setTimeout(() => {
        request.write("two".repeat(30_000));
        request.addTrailers({ "X-T": "trailing" });
        request.end();
      }, 5);
    },
  ],
  [
    "POST with Expect",
    { method: "POST", path: "/", headers: { Expect: "100-continue", "Content-Length": "2" } },
    (request) => {
      request.on("continue", () => request.end("hi"));
      request.flushHeaders();
    },
  ],
];

/** How the server answers. */
const answers: readonly (readonly [string, (response: http.ServerResponse, body: string) => void])[] = [
  ["with a length", (response, body) => response.writeHead(201, "Made so", { "X-Y": "z" }).end(body)],
  [
    "in chunks with trailers",
    (response, body) => {
      response.writeHead(200, { Trailer: "X-T", "Transfer-Encoding": "chunked" });
      response.write(body.slice(0, 5));
      setTimeout(() => {
        response.addTrailers({ "X-T": "end" });
        response.end(body.slice(5));
      }, 5);
    },
  ],
  [
    "until close",
    (response, body) => {
      response.useChunkedEncodingByDefault = false;
      response.shouldKeepAlive = false;
      response.removeHeader("Transfer-Encoding");
      response.write(body);
      response.end();
    },
  ],
  ["with 204", (response) => response.writeHead(204).end()],
  ["with 304", (response) => response.writeHead(304, { ETag: '"x"' }).end()],
  [
    "after early hints",
    (response, body) => {
      response.writeEarlyHints({ link: "</x>; rel=preload" });
      response.end(body);
    },
  ],
];

/** Framing may change on the way; what the peers see must not. */
function comparable(answer: Answer): Answer {
  const headers: string[] = [];
  for (let i = 0; i < answer.headers.length; i += 2) {
    const name = answer.headers[i] as string;
    if (/^(connection|keep-alive|transfer-encoding|content-length)$/i.test(name)) continue;
    headers.push(name, answer.headers[i + 1] as string);
  }
  return { ...answer, headers };
}

describe("between Node's client and Node's server", () => {
  for (const [how, respond] of answers) {
    for (const [what, options, write] of forms) {
      it(`${what}, answered ${how}, is the same as without us`, async (context) => {
        const port = await nodeServer(context, (request, response) =>
          echo(request, response, (body) => respond(response, body)),
        );
        const relay = await relayTo(context, port);
        const host = { ...options.headers, host: "h.test" };
        const direct = await ask(port, { ...options, agent: false, headers: host }, write);
        const relayed = await ask(relay, { ...options, agent: false, headers: host }, write);
        assert.deepEqual(comparable(relayed), comparable(direct));
      });
    }
  }

  it("keeps one connection for many requests", async (context) => {
    const port = await nodeServer(context, (request, response) =>
      echo(request, response, (body) => response.end(body)),
    );
    let accepted = 0;
    const relay = await listen(context, (connection) => {
      accepted++;
      void new Http1ServerConnection(connection, new Relay(context, port), defaultHttp1Options);
      connection.resume();
    });
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    context.after(() => agent.destroy());
    for (let i = 0; i < 20; i++) {
      const { body } = await ask(relay, { agent, method: "POST", path: `/${i}` }, (request) => request.end(`b${i}`));
      assert.equal(JSON.parse(body).url, `/${i}`);
      assert.equal(JSON.parse(body).body, `b${i}`);
    }
    assert.equal(accepted, 1);
  });

  it("echoes an upgraded connection both ways and closes it cleanly", async (context) => {
    const server = http.createServer();
    server.on("upgrade", (request: http.IncomingMessage, socket: net.Socket, first: Buffer) => {
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${request.headers.upgrade}\r\n\r\n`,
      );
      if (first.length > 0) socket.write(first);
      socket.pipe(socket);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    context.after(() => server.close());
    const relay = await relayTo(context, (server.address() as net.AddressInfo).port);
    const request = http.request({
      host: "127.0.0.1",
      port: relay,
      headers: { Connection: "Upgrade", Upgrade: "echo/1" },
    });
    request.end();
    const [response, socket] = (await once(request, "upgrade")) as [http.IncomingMessage, net.Socket];
    assert.equal(response.headers.upgrade, "echo/1");
    const sent = Buffer.alloc(2_000_000, "ping");
    let received = 0;
    socket.on("data", (chunk: Buffer) => (received += chunk.length));
    socket.end(sent);
    await once(socket, "end");
    assert.equal(received, sent.length);
  });

  it("lets the client see an answer that was cut", async (context) => {
    for (const headers of [{ "Content-Length": "10" }, { "Transfer-Encoding": "chunked" }, { Connection: "close" }]) {
      const port = await nodeServer(context, (_, response) => {
        response.writeHead(200, headers);
        response.write("half", () => response.socket?.resetAndDestroy());
      });
      const relay = await relayTo(context, port);
      await assert.rejects(ask(relay, { agent: false }, end), { code: "ECONNRESET" });
    }
  });
});

describe("a large body", () => {
  it("streams from client to server codec in bounded memory", async (context) => {
    const total = 64 * 1024 * 1024;
    for (const headers of [[], ["Content-Length", String(total)]]) {
      const [near, far] = await connectedPair(context);
      const handler = new RecordingHandler();
      void new Http1ServerConnection(far, handler, defaultHttp1Options);
      const client = new Http1ClientConnection(near, new RecordingOwner(), defaultHttp1Options);
      let received = 0;
      let sum = 0;
      let ended = false;
      handler.answer = ({ stream }) => {
        let reads = 0;
        stream.receiver = {
          onData: (chunk, last) => {
            received += chunk.length;
            sum = (sum + (chunk[0] ?? 0)) >>> 0;
            // The receiver is slow now and then.
            if (!last && ++reads % 64 === 0) {
              stream.pause();
              setImmediate(() => stream.resume());
            }
            if (last) {
              ended = true;
              stream.sendHead(responseHead(200), true);
            }
          },
          onTrailers: () => assert.fail("no trailers were sent"),
          onReset: (cause: ResetCause) => assert.fail(cause.detail),
          onWritable() {},
        };
      };
      far.resume();
      near.resume();

      const response = new RecordedResponse();
      const chunk = Buffer.alloc(48 * 1024, 7);
      let left = total;
      let unsentMax = 0;
      let opened: ClientStream | undefined;
      const send = (): void => {
        for (let go = true; go && left > 0;) {
          const part = chunk.subarray(0, Math.min(chunk.length, left));
          left -= part.length;
          go = opened?.sendData(part, left === 0) ?? false;
          unsentMax = Math.max(unsentMax, near.unsentBytes);
        }
      };
      response.onWritable = send;
      opened = client.open(requestHead("POST", "/", [...headers]), false, response);
      send();
      await until("the answer is there", () => response.ended || response.reset !== undefined, 60_000);
      assert.equal(response.head?.status, 200);
      assert.equal(received, total);
      assert.equal(ended, true);
      assert.ok(sum > 0);
      assert.ok(unsentMax > 0 && unsentMax < HIGH_WATER_BYTES + 2 * chunk.length, `${unsentMax} bytes were unsent`);
      assert.equal(client.available, 1);
    }
  });
});
