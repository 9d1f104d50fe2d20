/** Requests that are under way when the policy changes: those that it does not let in any more end, the others see nothing. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { describe, it, type TestContext } from "node:test";

import * as grpc from "@grpc/grpc-js";
import { WebSocket, WebSocketServer } from "ws";

import { type Condition, type InboundPolicy, NO_DOCUMENT, openPolicy } from "../src/model/inbound-policy.ts";
import { connectInterop } from "./interop/cases.ts";
import { startInteropServer } from "./interop/server.ts";
import { makeTestCa, TestCredentials } from "./support/identity.ts";
import { metricSum } from "./support/mesh.ts";
import { onPath, type Policed, policedSidecar, policyOf, rule } from "./support/policed.ts";
import { GRPC_HEADERS, startRawServer } from "./support/raw-grpc.ts";
import { rawConnect } from "./support/raw.ts";
import { CART, PRICE, secured } from "./support/secured.ts";
import { until } from "./support/until.ts";

const ca = await makeTestCa();
const price = await ca.credentials(PRICE);
const cart = await ca.credentials(CART);

/** Of what says so about itself. */
const marked: Condition = { on: "header", name: "x-cut", any: [{ kind: "exact", value: "yes" }], not: false };
const noMarked = policyOf("allow", [rule("deny", "marked", marked)]);
const nobody = policyOf("deny", []);
const MARK = { "x-cut": "yes" };

interface Held {
  readonly url: string;
  readonly request: http.IncomingMessage;
  readonly response: http.ServerResponse;
  /** How much of the request's body has come. */
  received: number;
  /** The request was given up. */
  aborted: boolean;
}

/** An application that answers when, and with what, the test says. */
async function application(context: TestContext): Promise<{ port: number; calls: readonly Held[] }> {
  const calls: Held[] = [];
  const server = http.createServer((request, response) => {
    const held: Held = { url: request.url ?? "", request, response, received: 0, aborted: false };
    calls.push(held);
    request.on("data", (chunk: Buffer) => (held.received += chunk.length));
    response.on("close", () => (held.aborted = !response.writableFinished));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  context.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { port: (server.address() as AddressInfo).port, calls };
}

interface Caller {
  status: number;
  headers: http.IncomingHttpHeaders;
  text: string;
  readonly hash: ReturnType<typeof createHash>;
  bytes: number;
  /** "end", or why there was none; "" as long as it lasts. */
  over: string;
  readonly request: http.ClientRequest;
}

function ask(context: TestContext, port: number, path: string, options: http.RequestOptions = {}): Caller {
  const request = http.request({ host: "127.0.0.1", port, path, agent: false, ...options });
  const caller: Caller = {
    status: 0,
    headers: {},
    text: "",
    hash: createHash("sha1"),
    bytes: 0,
    over: "",
    request,
  };
  const failed = (error: NodeJS.ErrnoException): void => void (caller.over ||= error.code ?? error.message);
  request.on("error", failed);
  request.on("response", (response) => {
    caller.status = response.statusCode ?? 0;
    caller.headers = response.headers;
    response.on("data", (chunk: Buffer) => {
      caller.bytes += chunk.length;
      caller.hash.update(chunk);
      if (caller.text.length < 10_000) caller.text += chunk.toString("latin1");
    });
    response.on("end", () => (caller.over ||= "end"));
    response.on("error", failed);
  });
  if (options.method === undefined) request.end();
  context.after(() => request.destroy());
  return caller;
}

async function terminated(of: Policed, kind: "http" | "tcp" = "http"): Promise<number> {
  return metricSum(await of.metrics(), `inbound_${kind}_authz_terminate_total`);
}

describe("HTTP/1 answers under way", () => {
  it("are cut, on both sides, for those who are not allowed any more: server-sent events", async (context) => {
    const app = await application(context);
    const of = await secured(context, {
      protocol: "detect",
      applicationPort: app.port,
      caller: new TestCredentials(cart),
      service: new TestCredentials(price),
    });
    const host = { host: "price" };
    const kept = ask(context, of.outboundPort, "/kept", { headers: host });
    const cut = ask(context, of.outboundPort, "/cut", { headers: { ...host, ...MARK } });
    await until("both are there", () => app.calls.length === 2);
    const tell = (text: string): void => {
      for (const { response, aborted } of app.calls) if (!aborted) response.write(text);
    };
    for (const { response } of app.calls) response.writeHead(200, { "content-type": "text/event-stream" });
    tell("data: 1\n\n");
    await until("both hear", () => kept.text === "data: 1\n\n" && cut.text === "data: 1\n\n");
    of.setPolicy(noMarked);
    await until("one is cut", () => cut.over !== "" && app.calls.some(({ url, aborted }) => url === "/cut" && aborted));
    assert.notEqual(cut.over, "end");
    tell("data: 2\n\n");
    await until("the other hears on", () => kept.text === "data: 1\n\ndata: 2\n\n");
    assert.equal(kept.over, "");
    const labels = ['authz_name="marked"', 'client_id="cart.shop.serviceaccount.identity.linkerd.cluster.local"'];
    assert.equal(metricSum(await of.metrics("service"), "inbound_http_authz_terminate_total", ...labels), 1);
    const line = of.log.find(({ msg, message }) => String(msg ?? message).includes("cut by a change of the policy"));
    assert.match(JSON.stringify(line), /policies.yaml:3.*--method GET --path \/cut/);
    of.setPolicy(nobody);
    await until("all are cut", () => kept.over !== "" && app.calls.every(({ aborted }) => aborted));
  });

  it("that have not begun become 403, after interim heads, too; what is sent of the request is let go", async (context) => {
    const app = await application(context);
    const of = await policedSidecar(context, { applicationPort: app.port });
    const silent = ask(context, of.port, "/silent", { headers: MARK });
    const hinted = ask(context, of.port, "/hinted", { headers: MARK });
    const information = once(hinted.request, "information");
    const upload = ask(context, of.port, "/upload", { headers: MARK, method: "POST" });
    const kept = ask(context, of.port, "/kept", { method: "POST" });
    await until("some is there", () => app.calls.length === 2);
    const part = randomBytes(1 << 20);
    for (const { request } of [upload, kept]) request.write(part);
    await until("all are there", () => app.calls.filter(({ received }) => received === part.length).length === 2);
    app.calls.find(({ url }) => url === "/hinted")?.response.writeEarlyHints({ link: "</a>" });
    await information;
    of.set(noMarked);
    for (const one of [silent, hinted, upload]) {
      await until("it is answered", () => one.over !== "");
      assert.deepEqual([one.status, one.headers["heddle-error"]], [403, "HED1015 forbidden"]);
      assert.match(one.text, /an unknown caller at 127.0.0.1 is refused by AuthorizationPolicy shop\/marked/);
    }
    await until("the application hears of it", () => app.calls.filter(({ aborted }) => aborted).length === 3);
    kept.request.end(part);
    const last = app.calls.find(({ url }) => url === "/kept") ?? assert.fail();
    await until("the other upload goes on", () => last.received === 2 * part.length);
    last.response.end("thanks");
    await until("and is answered", () => kept.text === "thanks");
    assert.equal(await terminated(of), 3);
    assert.equal(metricSum(await of.metrics(), "inbound_http_errors_total", 'error="forbidden"'), 3);
  });

  it("are left as they are if they stay allowed, octet by octet, and if the new policy only marks them", async (context) => {
    const app = await application(context);
    const of = await policedSidecar(context, { applicationPort: app.port });
    const content = randomBytes(16 << 20);
    const callers = [ask(context, of.port, "/a"), ask(context, of.port, "/b", { headers: MARK })];
    await until("both are there", () => app.calls.length === 2);
    for (const { response } of app.calls) response.writeHead(200).write(content.subarray(0, 1 << 20));
    await until("it has begun", () => callers.every(({ bytes }) => bytes > 0));
    const trial = { ...rule("deny", "trial", marked), dryRun: true };
    const audits = [policyOf("audit", []), policyOf("allow", [trial]), policyOf("allow", [rule("audit", "note")])];
    const others = [
      openPolicy,
      policyOf("deny", [rule("allow", "all")]),
      { ...openPolicy, defaultPolicy: "audit" as const },
    ];
    for (const policy of [...audits, ...others]) of.set(policy);
    for (const { response } of app.calls) response.end(content.subarray(1 << 20));
    await until("they end", () => callers.every(({ over }) => over !== ""));
    const hash = createHash("sha1").update(content).digest("hex");
    assert.deepEqual(
      callers.map((caller) => [caller.over, caller.hash.digest("hex")]),
      [
        ["end", hash],
        ["end", hash],
      ],
    );
    assert.equal(await terminated(of), 0);
    assert.equal(
      metricSum(await of.metrics(), "inbound_http_authz_audit_total"),
      0,
      "what goes on is not judged aloud",
    );
  });

  it("of a caller that does not read are cut as well", async (context) => {
    const app = await application(context);
    const of = await policedSidecar(context, { applicationPort: app.port });
    const caller = await rawConnect(context, of.port);
    caller.socket.pause();
    caller.socket.write("GET /large HTTP/1.1\r\nHost: price\r\n\r\n");
    await until("it is there", () => app.calls.length === 1);
    const { response } = app.calls[0] ?? assert.fail();
    response.writeHead(200);
    const chunk = Buffer.alloc(1 << 20);
    await until("nothing more goes out", () => !response.write(chunk) && response.writableLength > 8 * chunk.length);
    of.set(nobody);
    await until("the application hears of it", () => app.calls[0]?.aborted === true);
    caller.socket.resume();
    await until("so does the caller", () => caller.closed === "ECONNRESET");
  });

  it("are cut each time, when the mind changes to and fro", async (context) => {
    const app = await application(context);
    const of = await policedSidecar(context, { applicationPort: app.port });
    for (let round = 1; round <= 10; round++) {
      const caller = ask(context, of.port, "/");
      await until("it is there", () => app.calls.length === round);
      if (round % 2 === 0) {
        app.calls.at(-1)?.response.writeHead(200).write("begun");
        await until("it has begun", () => caller.text === "begun");
      }
      of.set(nobody);
      of.set(openPolicy);
      of.set(nobody);
      await until("it is cut", () => caller.over !== "");
      assert.equal(caller.status, round % 2 === 0 ? 200 : 403);
      of.set(openPolicy);
    }
    assert.equal(await terminated(of), 10);
  });

  it("leave nothing behind on a connection that is used again", async (context) => {
    const app = await application(context);
    const of = await policedSidecar(context, { applicationPort: app.port });
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    context.after(() => agent.destroy());
    for (const path of ["/a", "/b"]) {
      const caller = ask(context, of.port, path, { agent });
      await until("it is there", () => app.calls.at(-1)?.url === path);
      app.calls.at(-1)?.response.end("done");
      await until("it is answered", () => caller.over === "end");
      of.set(policyOf("allow", [rule("deny", "this", onPath(path))]));
    }
    assert.equal(await terminated(of), 0);
    assert.equal(metricSum(await of.metrics(), "tcp_open_total", 'peer="src"'), 1);
  });
});

describe("gRPC streams under way", () => {
  it("end with PERMISSION_DENIED in trailers: through two sidecars, from the server and both ways", async (context) => {
    const server = await startInteropServer();
    context.after(() => server.close());
    const of = await secured(context, {
      protocol: "grpc",
      applicationPort: server.port,
      caller: new TestCredentials(cart),
      service: new TestCredentials(price),
    });
    const client = connectInterop(`127.0.0.1:${of.upstreamPort}`);
    context.after(() => client.close());
    const one = { responseParameters: [{ size: 3 }] };
    const begin = (headers: Record<string, string>, deadline?: number) => {
      const metadata = new grpc.Metadata();
      for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
      const call = client.fullDuplexCall(metadata, deadline === undefined ? {} : { deadline });
      const state = { call, answers: 0, status: undefined as grpc.StatusObject | undefined };
      call.on("data", () => state.answers++);
      call.on("error", () => {});
      call.on("status", (status: grpc.StatusObject) => (state.status = status));
      call.write(one);
      return state;
    };
    const kept = begin({});
    const timed = begin(MARK, Date.now() + 60_000);
    const cut = begin(MARK);
    const many = { responseParameters: Array.from({ length: 500 }, () => ({ size: 10, intervalUs: 2_000 })) };
    const stream = client.streamingOutputCall(many);
    let streamed = 0;
    const ending: grpc.StatusObject[] = [];
    stream.on("data", () => streamed++);
    stream.on("error", () => {});
    stream.on("status", (status: grpc.StatusObject) => ending.push(status));
    await until("all are under way", () => [kept, timed, cut].every(({ answers }) => answers === 1) && streamed > 0);
    assert.equal(server.streams.size, 3);
    of.setPolicy(noMarked);
    for (const state of [timed, cut]) {
      await until("it has ended", () => state.status !== undefined);
      assert.equal(state.status?.code, grpc.status.PERMISSION_DENIED);
      assert.match(
        state.status?.details ?? "",
        /^HED1015: .*cart\.shop is refused by AuthorizationPolicy shop\/marked/,
      );
    }
    await until("the server hears of it", () => server.streams.size === 1 && server.cancelledAt.length === 2);
    kept.call.write(one);
    await until("the other goes on", () => kept.answers === 2);
    assert.equal(ending.length, 0);
    of.setPolicy(policyOf("deny", [rule("allow", "duplex", onPath("/grpc.testing.TestService/FullDuplexCall"))]));
    await until("the server's has ended", () => ending.length === 1);
    assert.equal(ending[0]?.code, grpc.status.PERMISSION_DENIED);
    assert.ok(streamed < 500);
    kept.call.end();
    await until("it ends well", () => kept.status?.code === grpc.status.OK);
    assert.equal(metricSum(await of.metrics("service"), "inbound_http_authz_terminate_total"), 3);
  });

  it("are told apart on one connection: of a thousand half are cut, exactly", async (context) => {
    const server = await startRawServer();
    context.after(() => server.close());
    server.answer = ({ stream }) => {
      stream.respond({ ":status": 200, "content-type": "application/grpc" });
      stream.write("a");
    };
    const of = await policedSidecar(context, { applicationPort: server.port, protocol: "grpc" });
    const session = http2.connect(`http://127.0.0.1:${of.port}`);
    context.after(() => session.destroy());
    const answers = new Map<http2.ClientHttp2Stream, { text: string; status: unknown; closed: boolean }>();
    const begin = (mark: boolean): void => {
      const stream = session.request({ ":method": "POST", ":path": "/a.B/C", ...GRPC_HEADERS, ...(mark ? MARK : {}) });
      const state = { text: "", status: undefined as unknown, closed: false };
      answers.set(stream, state);
      stream.on("data", (chunk: Buffer) => (state.text += chunk.toString()));
      stream.on("trailers", (trailers) => (state.status = trailers["grpc-status"]));
      stream.on("error", () => {});
      stream.on("close", () => (state.closed = true));
    };
    for (let i = 0; i < 1_000; i++) begin(i % 2 === 0);
    const all = [...answers.values()];
    await until("all are there", () => server.calls.length === 1_000, 20_000);
    await until("all have begun", () => all.every(({ text }) => text === "a"), 20_000);
    of.set(noMarked);
    await until("half are over", () => all.filter(({ status }) => status !== undefined).length === 500, 20_000);
    assert.ok(all.every(({ status }, i) => status === (i % 2 === 0 ? "7" : undefined)));
    for (const { stream, headers } of server.calls) {
      if (headers["x-cut"] === undefined) stream.write("b");
      else await until("the server hears of it", () => stream.closed);
    }
    await until("the others go on", () => all.filter(({ text }) => text === "ab").length === 500, 20_000);
    assert.ok(all.every(({ text, closed }, i) => i % 2 === 0 || (text === "ab" && !closed)));
    assert.equal(await terminated(of), 500);
  });

  it("are reset where what was sent last waits for a caller that does not read", async (context) => {
    const server = await startRawServer();
    context.after(() => server.close());
    server.answer = ({ stream }) => {
      stream.respond({ ":status": 200, "content-type": "application/grpc" });
      stream.write(Buffer.alloc(4 << 20));
    };
    const of = await policedSidecar(context, { applicationPort: server.port, protocol: "grpc" });
    const session = http2.connect(`http://127.0.0.1:${of.port}`);
    context.after(() => session.destroy());
    const stream = session.request({ ":method": "POST", ":path": "/a.B/C", ...GRPC_HEADERS });
    stream.on("error", () => {});
    await once(stream, "response");
    await until("the window is full", () => (server.calls[0]?.stream.writableLength ?? 0) > 1 << 20);
    of.set(nobody);
    await until("it is reset", () => stream.closed);
    assert.equal(stream.rstCode, http2.constants.NGHTTP2_CANCEL);
    await until("the server hears of it", () => server.calls[0]?.stream.closed === true);
  });
});

describe("tunnels under way", () => {
  it("through two sidecars are cut, and so is what only asks for one", async (context) => {
    const server = http.createServer();
    const sockets = new WebSocketServer({ noServer: true });
    let asked = 0;
    server.on("upgrade", (request, socket, first) => {
      asked++;
      socket.on("error", () => {});
      if (request.url !== "/silent") sockets.handleUpgrade(request, socket, first, (one) => one.send("hello"));
      else context.after(() => socket.destroy());
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    context.after(() => {
      for (const client of sockets.clients) client.terminate();
      server.close();
    });
    const of = await secured(context, {
      protocol: "detect",
      applicationPort: (server.address() as AddressInfo).port,
      caller: new TestCredentials(cart),
      service: new TestCredentials(price),
    });
    const open = (path: string, headers: Record<string, string>): WebSocket => {
      const socket = new WebSocket(`ws://127.0.0.1:${of.upstreamPort}${path}`, { headers });
      socket.on("error", () => {});
      context.after(() => socket.terminate());
      return socket;
    };
    const cut = open("/cut", MARK);
    const kept = open("/kept", {});
    await Promise.all([once(cut, "message"), once(kept, "message")]);
    const silent = open("/silent", MARK);
    const refused = once(silent, "unexpected-response");
    await until("it asks", () => asked === 3);
    of.setPolicy(noMarked);
    await once(cut, "close");
    const [, answer] = (await refused) as [unknown, http.IncomingMessage];
    assert.deepEqual([answer.statusCode, answer.headers["heddle-error"]], [403, "HED1015 forbidden"]);
    await until("the program hears of it", () => sockets.clients.size === 1);
    for (const client of sockets.clients) client.send("still there");
    const [data] = (await once(kept, "message")) as [Buffer];
    assert.equal(data.toString(), "still there");
    const metrics = await of.metrics("service");
    assert.equal(metricSum(metrics, "inbound_tcp_authz_terminate_total"), 1);
    assert.equal(metricSum(metrics, "inbound_http_authz_terminate_total"), 1);
  });
});

describe("connections under way", () => {
  it("without TLS are closed when nothing else is taken, with what they carry", async (context) => {
    const app = await application(context);
    const of = await secured(context, {
      protocol: "detect",
      applicationPort: app.port,
      caller: new TestCredentials(cart),
      service: new TestCredentials(price),
    });
    const strict: InboundPolicy = {
      ...openPolicy,
      tls: { mode: "strict", origin: { ...NO_DOCUMENT, name: "strict" } },
    };
    const secure = ask(context, of.outboundPort, "/secure", { headers: { host: "price" } });
    const plain = ask(context, of.inboundPort, "/plain");
    const idle = await rawConnect(context, of.inboundPort);
    idle.socket.write("GET /idle HTTP/1.1\r\nHost: price\r\n\r\n");
    const session = http2.connect(`http://127.0.0.1:${of.inboundPort}`);
    context.after(() => session.destroy());
    await once(session, "connect");
    await until("all are there", () => app.calls.length === 3);
    app.calls.find(({ url }) => url === "/idle")?.response.end("done");
    for (const url of ["/secure", "/plain"])
      app.calls
        .find((one) => one.url === url)
        ?.response.writeHead(200)
        .write("1");
    await until("it has begun", () => plain.text === "1" && secure.text === "1" && idle.text.includes("done"));
    of.setPolicy(strict);
    await until("the one in plain is cut", () => plain.over !== "" && plain.over !== "end");
    await until("the idle one is closed", () => idle.ended);
    await until("the idle one of HTTP/2, too", () => session.destroyed);
    app.calls.find(({ url }) => url === "/secure")?.response.end("2");
    await until("the other lives", () => secure.over === "end");
    assert.equal(secure.text, "12");
  });
});
