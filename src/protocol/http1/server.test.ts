import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { type RecordedRequest, responseHead } from "../../../test/support/exchange-recorder.ts";
import { memoryServer as setUp } from "../../../test/support/memory-server.ts";
import { HIGH_WATER_BYTES } from "../../net/connection.ts";
import { ResetCause } from "../exchange.ts";
import { defaultHttp1Options } from "./options.ts";
import { DRAIN_BYTES_MAX, DRAIN_MS, LINGER_MS, PENDING_BYTES_MAX } from "./server.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const cancelled = new ResetCause("cancelled", "the test says so");
const ok = ({ stream }: RecordedRequest): void => stream.sendHead(responseHead(200), true);
const GET = "GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n";
const POST_5 = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n";
const POST_CHUNKED = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
const OK_EMPTY = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

describe("Http1ServerConnection: requests", () => {
  it("hands out a request without body and answers it", () => {
    const { peer, handler, server } = setUp();
    peer.feed(GET);
    const { head, end, stream } = handler.only;
    assert.deepEqual(head, {
      method: "GET",
      scheme: "http",
      authority: "h",
      path: "/a?b",
      headers: ["Host", "h"],
      version: "1.1",
      upgrade: "",
    });
    assert.equal(end, true);
    assert.equal(server.active, 1);
    stream.sendHead({ ...responseHead(200, ["X-Y", "z", "Content-Length", "2"]), reason: "Fine" }, false);
    stream.sendData(Buffer.from("hi"), true);
    assert.equal(server.active, 0);
    assert.equal(peer.text(), "HTTP/1.1 200 Fine\r\nX-Y: z\r\nContent-Length: 2\r\n\r\nhi");
    assert.equal(peer.ended, false);
  });

  it("streams a body of known length", () => {
    const { peer, handler } = setUp();
    peer.feed(`${POST_5}ab`);
    const { body, end } = handler.only;
    assert.equal(end, false);
    assert.equal(body.text, "ab");
    peer.feed("cde");
    assert.equal(body.text, "abcde");
    assert.equal(body.ended, true);
    assert.equal(body.late, 0);
  });

  it("streams a chunked body and keeps its trailers", () => {
    const { peer, handler } = setUp();
    peer.feed(`${POST_CHUNKED}3\r\nabc\r\n`);
    peer.feed("2;x=y\r\nde\r\n0\r\nT-One: 1\r\nContent-Length: 9\r\n\r\n");
    const { body } = handler.only;
    assert.equal(body.text, "abcde");
    assert.deepEqual(body.trailers, ["T-One", "1"]);
    assert.equal(body.late, 0);
  });

  it("answers in chunks, with trailers", () => {
    const { peer, handler } = setUp();
    peer.feed(GET);
    const { stream } = handler.only;
    stream.sendHead(responseHead(200), false);
    stream.sendData(Buffer.from("abc"), false);
    stream.sendData(Buffer.alloc(17, "x"), false);
    stream.sendTrailers(["grpc-status", "0", "Transfer-Encoding", "chunked"]);
    assert.equal(
      peer.text(),
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
        "3\r\nabc\r\n11\r\nxxxxxxxxxxxxxxxxx\r\n0\r\ngrpc-status: 0\r\n\r\n",
    );
  });

  it("writes chunks larger than a block whole", () => {
    const { peer, handler } = setUp();
    peer.feed(GET);
    const { stream } = handler.only;
    stream.sendHead(responseHead(200), false);
    stream.sendData(Buffer.alloc(100_000, "x"), true);
    const text = peer.text();
    assert.ok(text.includes("\r\n\r\n186a0\r\nxxx"));
    assert.ok(text.endsWith("xxx\r\n0\r\n\r\n"));
  });

  it("serves HTTP/1.0: body until close, and keep-alive by token", async () => {
    const first = setUp();
    first.peer.feed("GET / HTTP/1.0\r\n\r\n");
    assert.equal(first.handler.only.head.authority, "");
    assert.equal(first.handler.only.head.version, "1.0");
    first.handler.only.stream.sendHead(responseHead(200), false);
    first.handler.only.stream.sendData(Buffer.from("abc"), true);
    assert.equal(first.peer.text(), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc");
    assert.equal(first.peer.ended, true);

    const second = setUp();
    second.handler.answer = ok;
    second.peer.feed("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    second.peer.feed("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    assert.equal(
      second.peer.text(),
      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n".repeat(2),
    );
    assert.equal(second.peer.ended, false);
  });

  it("sends no interim head to an HTTP/1.0 client", () => {
    const { peer, handler } = setUp();
    peer.feed("GET / HTTP/1.0\r\n\r\n");
    handler.only.stream.sendHead(responseHead(103), false);
    handler.only.stream.sendHead(responseHead(204), true);
    assert.equal(peer.text(), "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
  });

  it("sends no body with HEAD, 204 and 304, and keeps what their head says", () => {
    const { peer, handler } = setUp();
    peer.feed("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
    handler.requests[0]?.stream.sendHead(responseHead(200, ["Content-Length", "10"]), true);
    peer.feed(GET);
    handler.requests[1]?.stream.sendHead(responseHead(304, ["Content-Length", "10"]), true);
    peer.feed(GET);
    handler.requests[2]?.stream.sendHead(responseHead(204, ["Content-Length", "10"]), false);
    handler.requests[2]?.stream.sendData(Buffer.from("not this"), true);
    assert.equal(
      peer.text(),
      "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" +
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n" +
        "HTTP/1.1 204 No Content\r\n\r\n",
    );
  });

  it("passes Expect on and the 100 back", () => {
    const { peer, handler } = setUp();
    peer.feed("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    const { head, stream, body } = handler.only;
    assert.ok(head.headers.includes("100-continue"));
    assert.equal(peer.text(), "");
    stream.sendHead(responseHead(100), false);
    assert.equal(peer.text(), "HTTP/1.1 100 Continue\r\n\r\n");
    peer.feed("hi");
    assert.equal(body.text, "hi");
    stream.sendHead(responseHead(200), true);
    assert.ok(peer.text().endsWith(OK_EMPTY));
    assert.equal(peer.ended, false);
  });

  it("closes when an expecting client is refused without a 100", () => {
    const { peer, handler } = setUp();
    peer.feed("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    handler.only.stream.sendHead(responseHead(413), true);
    assert.ok(peer.text().includes("Connection: close"));
    assert.equal(peer.ended, true);
    peer.feed(GET);
    assert.equal(handler.requests.length, 1);
  });

  it("skips one CRLF before a request line, even torn, and no more", () => {
    const { peer, handler } = setUp();
    handler.answer = ok;
    peer.feed(`\r\n${GET}\r`);
    peer.feed(`\n${GET}`);
    assert.equal(handler.requests.length, 2);
    peer.feed(`\r\n\r\n${GET}`);
    assert.equal(handler.requests.length, 2);
    assert.equal(handler.faults.length, 1);
  });

  it("hands CONNECT out as a head and takes nothing after it", () => {
    const { peer, handler } = setUp();
    peer.feed(`CONNECT a.test:443 HTTP/1.1\r\nHost: other\r\n\r\n${GET}`);
    const { head, stream } = handler.only;
    assert.equal(head.authority, "a.test:443");
    assert.equal(head.path, "");
    assert.deepEqual(head.headers, ["Host", "a.test:443"]);
    stream.sendHead(responseHead(501), true);
    assert.equal(handler.requests.length, 1);
    assert.equal(peer.ended, true);
  });
});

describe("Http1ServerConnection: one exchange after another", () => {
  it("answers 1,000 pipelined requests in order, whether answered at once or later", async () => {
    for (const later of [false, true]) {
      const { peer, handler } = setUp();
      let busy = 0;
      handler.answer = ({ stream, head }) => {
        assert.equal(++busy, 1, "the next request is not parsed before the answer to the one before");
        const answer = (): void => {
          busy--;
          stream.sendHead(responseHead(200, ["N", head.path]), true);
        };
        if (later) setImmediate(answer);
        else answer();
      };
      let input = "";
      let expected = "";
      for (let i = 0; i < 1_000; i++) {
        input += `GET /${i} HTTP/1.1\r\nHost: h\r\n\r\n`;
        expected += `HTTP/1.1 200 OK\r\nN: /${i}\r\nContent-Length: 0\r\n\r\n`;
      }
      for (let at = 0; at < input.length; at += 10_000) peer.feed(input.slice(at, at + 10_000));
      while (handler.requests.length < 1_000) await turn();
      await turn();
      assert.equal(peer.text(), expected);
      assert.equal(peer.paused, false);
    }
  });

  it("pauses the connection while a pipelined request waits", async () => {
    const { peer, handler } = setUp();
    peer.feed(GET + GET);
    assert.equal(handler.requests.length, 1);
    assert.equal(peer.paused, true);
    handler.requests[0]?.stream.sendHead(responseHead(200), true);
    assert.equal(handler.requests.length, 2);
    await turn();
    assert.equal(peer.paused, false);
  });

  it("bounds what waits, even when the connection is resumed by others", async () => {
    const { peer, handler, server } = setUp();
    peer.feed(GET);
    for (let i = 0; i < 2; i++) {
      peer.feed(Buffer.alloc(PENDING_BYTES_MAX / 2, "x"));
      peer.connection.resume();
      await turn();
    }
    assert.equal(handler.only.body.reset?.code, undefined);
    peer.feed("x");
    assert.equal(handler.only.body.reset?.code, "overflow");
    assert.equal(peer.wasReset, true);
    assert.equal(server.active, 0);
  });

  it("does not parse on while the client reads no answers, and goes on when it does", async () => {
    const { peer, handler, clock } = setUp();
    const large = Buffer.alloc(HIGH_WATER_BYTES, "x");
    handler.answer = ({ stream }) => {
      stream.sendHead(responseHead(200), false);
      stream.sendData(large, true);
    };
    peer.block();
    peer.feed(GET.repeat(5));
    assert.equal(handler.requests.length, 1);
    peer.unblock();
    await turn();
    assert.equal(handler.requests.length, 5);
    peer.block();
    peer.feed(GET.repeat(2));
    assert.equal(handler.requests.length, 6);
    clock.advance(defaultHttp1Options.idleTimeoutMs * 2 + LINGER_MS);
    await turn();
    assert.equal(peer.destroyed, true);
    assert.equal(handler.closed, 1);
  });

  it("a stale stream does nothing", () => {
    const { peer, handler } = setUp();
    peer.feed(GET);
    const stale = handler.requests[0]?.stream;
    stale?.sendHead(responseHead(200), true);
    peer.feed(POST_5);
    stale?.sendHead(responseHead(500), true);
    stale?.sendData(Buffer.from("x"), true);
    stale?.sendTrailers(["a", "b"]);
    stale?.pause();
    stale?.reset(cancelled);
    assert.equal(peer.text(), OK_EMPTY);
    assert.equal(peer.paused, false);
    assert.equal(peer.destroyed, false);
  });

  it("a paused body that ends leaves the connection reading", async () => {
    const { peer, handler } = setUp();
    handler.answer = ({ stream }) => stream.pause();
    peer.feed(POST_5);
    assert.equal(peer.paused, true);
    handler.only.stream.resume();
    await turn();
    handler.only.stream.pause();
    handler.only.stream.pause();
    peer.connection.resume();
    await turn();
    peer.feed("12345");
    await turn();
    assert.equal(handler.only.body.ended, true);
    assert.equal(peer.paused, false);
  });

  it("tells the sender to wait, and when to go on", () => {
    const { peer, handler } = setUp();
    peer.feed(GET);
    const { stream, body } = handler.only;
    peer.block();
    stream.sendHead(responseHead(200), false);
    assert.equal(stream.sendData(Buffer.alloc(1_000), false), true);
    assert.equal(stream.sendData(Buffer.alloc(HIGH_WATER_BYTES), false), false);
    assert.equal(body.writable, 0);
    peer.unblock();
    assert.equal(body.writable, 1);
  });
});

describe("Http1ServerConnection: early answers", () => {
  it("drains the rest of the request and goes on", () => {
    const { peer, handler } = setUp();
    handler.answer = ok;
    peer.feed(`${POST_5}12`);
    peer.feed(`345${GET}`);
    assert.equal(handler.requests.length, 2);
    assert.equal(handler.requests[0]?.body.text, "");
    assert.equal(peer.text(), OK_EMPTY.repeat(2));
  });

  it("drains a paused request", async () => {
    const { peer, handler } = setUp();
    handler.answer = (request) => {
      request.stream.pause();
      ok(request);
    };
    peer.feed(POST_CHUNKED);
    await turn();
    peer.feed("3\r\nabc\r\n0\r\n\r\n");
    peer.feed(GET);
    assert.equal(handler.requests.length, 2);
  });

  it("closes instead when too much is to come", () => {
    const { peer, handler } = setUp();
    handler.answer = ok;
    peer.feed(`POST / HTTP/1.1\r\nHost: h\r\nContent-Length: ${DRAIN_BYTES_MAX + 1}\r\n\r\n`);
    assert.equal(peer.ended, true);

    const chunked = setUp();
    chunked.handler.answer = ok;
    chunked.peer.feed(`${POST_CHUNKED}ffffff\r\n`);
    chunked.peer.feed(Buffer.alloc(DRAIN_BYTES_MAX - 10));
    assert.equal(chunked.peer.ended, false);
    chunked.peer.feed(Buffer.alloc(11));
    assert.equal(chunked.peer.ended, true);
  });

  it("closes instead when it takes too long", () => {
    const { peer, handler, clock } = setUp();
    handler.answer = ok;
    peer.feed(POST_5);
    clock.advance(DRAIN_MS - 1);
    assert.equal(peer.ended, false);
    clock.advance(1);
    assert.equal(peer.ended, true);
  });
});

describe("Http1ServerConnection: upgrade", () => {
  const CONNECT = "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n";
  const UPGRADE = "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

  it("turns both directions into bytes after a 101", async () => {
    const { peer, handler, server } = setUp();
    peer.feed(`${UPGRADE}early`);
    const { stream, head, body, end } = handler.only;
    assert.equal(head.upgrade, "websocket");
    assert.equal(end, false);
    assert.deepEqual(head.headers, ["Host", "h"]);
    assert.equal(body.text, "");
    stream.sendHead({ ...responseHead(101), upgrade: "websocket" }, false);
    assert.equal(body.text, "early");
    await turn();
    peer.feed(GET);
    assert.equal(body.text, `early${GET}`);
    stream.sendData(Buffer.from("back"), false);
    assert.equal(
      peer.text(),
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nback",
    );
    stream.sendData(Buffer.from("!"), true);
    assert.equal(peer.ended, true);
    peer.feed("last");
    peer.finish();
    assert.equal(body.text, `early${GET}last`);
    assert.equal(body.ended, true);
    assert.equal(server.active, 0);
    assert.equal(body.late, 0);
  });

  it("passes a half-close from the client on, and keeps sending", () => {
    const { peer, handler, server } = setUp();
    peer.feed(UPGRADE);
    const { stream, body } = handler.only;
    stream.sendHead({ ...responseHead(101), upgrade: "websocket" }, false);
    peer.finish();
    assert.equal(body.ended, true);
    assert.equal(server.active, 1);
    stream.sendData(Buffer.from("still here"), true);
    assert.equal(server.active, 0);
    assert.ok(peer.text().endsWith("still here"));
    assert.equal(body.reset, undefined);
  });

  it("goes on with HTTP when the upgrade is declined", () => {
    const { peer, handler } = setUp();
    handler.answer = ok;
    peer.feed(UPGRADE + GET);
    assert.equal(handler.requests.length, 2);
    assert.equal(handler.requests[0]?.body.ended, false);
    assert.equal(handler.requests[0]?.body.late, 0);
    assert.equal(peer.text(), OK_EMPTY.repeat(2));
  });

  it("refuses a grant that nobody asked for, and a 2xx that only looks like one", () => {
    for (const [ask, head] of [
      [GET, { ...responseHead(101), upgrade: "websocket" }],
      [GET, responseHead(101)],
      [GET, { ...responseHead(200), upgrade: "connect" }],
      [UPGRADE, { ...responseHead(200), upgrade: "websocket" }],
      [UPGRADE, responseHead(101)],
      [CONNECT, { ...responseHead(101), upgrade: "connect" }],
      [CONNECT, { ...responseHead(404), upgrade: "connect" }],
      [CONNECT, responseHead(200)],
    ] as const) {
      const { peer, handler } = setUp();
      peer.feed(ask);
      handler.only.stream.sendHead(head, false);
      assert.equal(handler.only.body.reset?.code, "internal");
      assert.equal(peer.wasReset, true);
      assert.equal(peer.text(), "");
    }
  });

  it("turns both directions into bytes after a 2xx to CONNECT, which tells no length", () => {
    for (const version of ["1.1", "1.0"]) {
      const { peer, handler } = setUp();
      peer.feed(CONNECT.replace("1.1", version) + GET);
      const { stream, head, body, end } = handler.only;
      assert.deepEqual([head.method, head.upgrade, head.path, end], ["CONNECT", "connect", "", false]);
      stream.sendHead({ ...responseHead(200, ["Content-Length", "5", "A", "b"]), upgrade: "connect" }, false);
      assert.equal(body.text, GET);
      assert.equal(peer.text(), "HTTP/1.1 200 OK\r\nA: b\r\n\r\n");
      peer.finish();
      assert.equal(body.ended, true);
      stream.sendData(Buffer.from("down"), true);
      assert.ok(peer.text().endsWith("\r\n\r\ndown"));
      assert.equal(handler.requests.length, 1);
    }
  });

  it("cuts a tunnel with RST when it is told to", () => {
    const { peer, handler, server } = setUp();
    peer.feed(UPGRADE);
    handler.only.stream.sendHead({ ...responseHead(101), upgrade: "websocket" }, false);
    server.shutdown();
    assert.equal(peer.ended, false, "it may go on until then");
    server.destroy();
    assert.equal(peer.wasReset, true);
  });

  it("a reset of the tunnel is an RST", () => {
    const { peer, handler } = setUp();
    peer.feed(UPGRADE);
    handler.only.stream.sendHead({ ...responseHead(101), upgrade: "websocket" }, false);
    handler.only.stream.reset(cancelled);
    assert.equal(peer.wasReset, true);
    assert.equal(handler.only.body.reset?.code, undefined);
  });

  it("does not see HTTP itself among the protocols", () => {
    const { peer, handler } = setUp();
    peer.feed("GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c, chess\r\n\r\n");
    assert.equal(handler.only.head.upgrade, "chess");
  });

  it("ignores h2c and upgrades with a body or of a HEAD", () => {
    const { peer, handler } = setUp();
    handler.answer = ok;
    peer.feed(
      "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n",
    );
    peer.feed("GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 1\r\n\r\n!");
    peer.feed("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n");
    peer.feed("HEAD / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert.deepEqual(
      handler.requests.map(({ head }) => head.upgrade),
      ["", "", "", ""],
    );
    assert.deepEqual(handler.requests[0]?.head.headers, ["Host", "h"]);
  });
});
