import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { type RecordedRequest, responseHead } from "../../../test/support/exchange-recorder.ts";
import { memoryServer as setUp } from "../../../test/support/memory-server.ts";
import { ResetCause } from "../exchange.ts";
import { LINGER_BYTES_MAX, LINGER_MS } from "./server.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const cancelled = new ResetCause("cancelled", "the test says so");
const ok = ({ stream }: RecordedRequest): void => stream.sendHead(responseHead(200), true);
const GET = "GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n";
const POST_5 = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n";
const POST_CHUNKED = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
const OK_EMPTY = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

describe("Http1ServerConnection: spoilt exchanges", () => {
  it("holds the response to its Content-Length", () => {
    const excess = setUp();
    excess.peer.feed(GET);
    excess.handler.only.stream.sendHead(responseHead(200, ["Content-Length", "3"]), false);
    excess.handler.only.stream.sendData(Buffer.from("1234"), false);
    assert.equal(excess.peer.wasReset, true);
    assert.equal(excess.handler.only.body.reset?.code, "internal");

    const shortfall = setUp();
    shortfall.peer.feed(GET);
    shortfall.handler.only.stream.sendHead(responseHead(200, ["Content-Length", "3"]), false);
    shortfall.handler.only.stream.sendData(Buffer.from("12"), true);
    assert.equal(shortfall.peer.wasReset, true);

    const none = setUp();
    none.peer.feed(GET);
    none.handler.only.stream.sendHead(responseHead(200, ["Content-Length", "3"]), true);
    assert.equal(none.peer.wasReset, true);

    const trailers = setUp();
    trailers.peer.feed(GET);
    trailers.handler.only.stream.sendHead(responseHead(200, ["Content-Length", "3"]), false);
    trailers.handler.only.stream.sendTrailers(["a", "b"]);
    assert.equal(trailers.peer.wasReset, true);
  });

  it("never writes a head that could be read as two", () => {
    for (const headers of [
      ["x", "a\r\nSet-Cookie: b"],
      ["x", "a\0"],
      ["x\r\ny", "a"],
      ["x: y", "a"],
      ["", "a"],
      ["x", "\u010a"],
      ["\u0163ontent-length", "5"],
      ["content-length", "5, 5"],
      ["content-length", "0", "content-length", "0"],
    ]) {
      const { peer, handler } = setUp();
      peer.feed(GET);
      handler.only.stream.sendHead(responseHead(200, headers), true);
      assert.equal(peer.text(), "", JSON.stringify(headers));
      assert.equal(handler.only.body.reset?.code, "internal");
      assert.equal(peer.wasReset, true);
    }
  });

  it("never writes trailers that could be read as something else", () => {
    const { peer, handler } = setUp();
    peer.feed(GET);
    handler.only.stream.sendHead(responseHead(200), false);
    handler.only.stream.sendTrailers(["x", "a\nb"]);
    assert.equal(peer.wasReset, true);
    assert.ok(!peer.text().includes("0\r\n\r\n"));
  });

  it("leaves hop-by-hop fields out of what it writes", () => {
    const { peer, handler } = setUp();
    peer.feed(GET);
    handler.only.stream.sendHead(
      responseHead(200, ["Connection", "x", "Transfer-Encoding", "gzip", "Keep-Alive", "1", "Upgrade", "h2", "A", "b"]),
      true,
    );
    assert.equal(peer.text(), "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 0\r\n\r\n");
  });

  it("cuts the response when the handler resets", () => {
    const { peer, handler, server } = setUp();
    peer.feed(GET);
    handler.only.stream.sendHead(responseHead(200), false);
    handler.only.stream.sendData(Buffer.from("x"), false);
    handler.only.stream.reset(cancelled);
    handler.only.stream.reset(cancelled);
    assert.equal(peer.wasReset, true);
    assert.equal(server.active, 0);
    assert.ok(!peer.text().includes("0\r\n\r\n"));
    assert.equal(handler.only.body.reset?.code, undefined);
  });

  it("tells the receiver when the client goes away", async () => {
    const within = setUp();
    within.peer.feed(`${POST_5}12`);
    within.peer.finish();
    assert.equal(within.handler.only.body.reset?.code, "closed");
    await turn();
    assert.equal(within.handler.closed, 1);

    const lost = setUp();
    lost.peer.feed(GET);
    lost.peer.lose("ECONNRESET");
    assert.equal(lost.handler.only.body.reset?.code, "closed");
    assert.match(lost.handler.only.body.reset?.detail ?? "", /ECONNRESET/);
    assert.equal(lost.handler.closed, 1);
    assert.equal(lost.clock.pending, 0);
  });

  it("answers a malformed body with 400 while it can, and cuts the response when it cannot", () => {
    const first = setUp();
    first.peer.feed(`${POST_CHUNKED}zz\r\n`);
    assert.equal(first.handler.only.body.reset?.code, "protocol");
    assert.ok(first.peer.text().startsWith("HTTP/1.1 400 Bad Request\r\n"));
    assert.equal(first.peer.ended, true);

    const second = setUp();
    second.peer.feed(POST_CHUNKED);
    second.handler.only.stream.sendHead(responseHead(200), false);
    second.peer.feed("zz\r\n");
    assert.equal(second.handler.only.body.reset?.code, "protocol");
    assert.equal(second.peer.wasReset, true);
  });
});

describe("Http1ServerConnection: time and the end", () => {
  it("limits the time for a head from its first byte", () => {
    const { peer, handler, clock } = setUp();
    clock.advance(30_000);
    peer.feed("GET / HT");
    clock.advance(9_999);
    peer.feed("TP/1.1\r\n");
    assert.equal(peer.text(), "");
    clock.advance(1);
    assert.equal(handler.faults[0]?.status, 408);
    assert.ok(peer.text().startsWith("HTTP/1.1 408 "));
    assert.ok(peer.text().includes("Connection: close\r\n\r\nhead_timeout\n"));
    assert.equal(peer.ended, true);
  });

  it("stops that clock when the head is there", async () => {
    const { peer, handler, clock } = setUp();
    peer.feed(GET.slice(0, 10));
    peer.feed(GET.slice(10));
    clock.advance(30_000);
    assert.equal(handler.faults.length, 0);
    handler.only.stream.sendHead(responseHead(200), true);
    assert.equal(peer.text(), OK_EMPTY);
  });

  it("closes an idle connection, counted from its last answer", async () => {
    const { peer, handler, clock } = setUp();
    handler.answer = ok;
    clock.advance(50_000);
    peer.feed(GET);
    clock.advance(59_999);
    assert.equal(peer.ended, false);
    clock.advance(1);
    assert.equal(peer.ended, true);
    assert.equal(handler.faults.length, 0);
    clock.advance(LINGER_MS);
    await turn();
    assert.equal(handler.closed, 1);
    assert.equal(clock.pending, 0);
  });

  it("leaves a busy connection alone however long it takes", () => {
    const { peer, handler, clock } = setUp();
    peer.feed(GET);
    clock.advance(600_000);
    assert.equal(peer.ended, false);
    handler.only.stream.sendHead(responseHead(200), true);
    assert.equal(peer.text(), OK_EMPTY);
  });

  it("closes at once when idle on shutdown", async () => {
    const { peer, server, handler } = setUp();
    server.shutdown();
    server.shutdown();
    assert.equal(peer.ended, true);
    peer.finish();
    await turn();
    assert.equal(handler.closed, 1);
  });

  it("finishes the request in hand on shutdown, says so, and closes", () => {
    const { peer, server, handler } = setUp();
    peer.feed(GET + GET);
    server.shutdown();
    assert.equal(peer.ended, false);
    handler.only.stream.sendHead(responseHead(200), true);
    assert.equal(peer.text(), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert.equal(peer.ended, true);
    assert.equal(handler.requests.length, 1);
  });

  it("finishes a response that has begun before the shutdown, and closes", () => {
    const { peer, server, handler } = setUp();
    peer.feed(GET);
    handler.only.stream.sendHead(responseHead(200), false);
    server.shutdown();
    handler.only.stream.sendData(Buffer.from("x"), true);
    assert.ok(peer.text().endsWith("1\r\nx\r\n0\r\n\r\n"));
    assert.equal(peer.ended, true);
  });

  it("serves a request whose head was arriving at the shutdown", () => {
    const { peer, server, handler } = setUp();
    handler.answer = ok;
    peer.feed(GET.slice(0, 5));
    server.shutdown();
    peer.feed(GET.slice(5));
    assert.ok(peer.text().includes("Connection: close"));
    assert.equal(peer.ended, true);
  });

  it("destroy resets what is open", async () => {
    const { peer, server, handler, clock } = setUp();
    peer.feed(GET);
    server.destroy();
    server.destroy();
    assert.equal(handler.only.body.reset?.code, "cancelled");
    await turn();
    assert.equal(handler.closed, 1);
    assert.equal(clock.pending, 0);
    assert.equal(handler.only.body.late, 0);
  });

  it("gives a request up when its client leaves before the answer", async () => {
    const { peer, handler } = setUp();
    peer.feed(GET);
    peer.finish();
    assert.equal(handler.only.body.reset?.code, "closed");
    await turn();
    assert.equal(peer.text(), "");
    assert.equal(peer.destroyed, true);
    assert.equal(handler.closed, 1);
  });

  it("lets a slow client have its last answer, but not for ever", async () => {
    const { peer, handler, clock } = setUp();
    peer.block();
    peer.feed("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    handler.only.stream.sendHead(responseHead(200), false);
    handler.only.stream.sendData(Buffer.alloc(100_000), true);
    clock.advance(LINGER_MS * 30);
    assert.equal(peer.destroyed, false);
    clock.advance(LINGER_MS * 31);
    assert.equal(peer.destroyed, true);
  });

  it("reads on for a while after its last answer, within a bound", () => {
    const { peer, handler } = setUp();
    peer.feed("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    handler.only.stream.sendHead(responseHead(200), true);
    assert.equal(peer.ended, true);
    peer.feed(Buffer.alloc(LINGER_BYTES_MAX));
    assert.equal(peer.destroyed, false);
    peer.feed("x");
    assert.equal(peer.destroyed, true);
  });
});
