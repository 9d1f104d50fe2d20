import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { RecordedResponse, RecordingOwner, requestHead } from "../../../test/support/exchange-recorder.ts";
import { MemoryConnection } from "../../../test/support/memory-connection.ts";
import { HIGH_WATER_BYTES } from "../../net/connection.ts";
import { type RequestHead, ResetCause } from "../exchange.ts";
import { Http1ClientConnection } from "./client.ts";
import { defaultHttp1Options } from "./options.ts";

function setUp() {
  const peer = new MemoryConnection();
  const owner = new RecordingOwner();
  const client = new Http1ClientConnection(peer.connection, owner, defaultHttp1Options);
  peer.connection.resume();
  const open = (head: RequestHead, end = true) => {
    const response = new RecordedResponse();
    return { response, stream: client.open(head, end, response) };
  };
  return { peer, owner, client, open };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const cancelled = new ResetCause("cancelled", "the test says so");
const GET = requestHead("GET", "/");
const CONNECT: RequestHead = { ...requestHead("CONNECT", ""), authority: "a.test:80", upgrade: "connect" };
const OK_2 = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

describe("Http1ClientConnection: requests", () => {
  it("writes a head with Host, and reads the answer", () => {
    const { peer, owner, client, open } = setUp();
    assert.equal(client.available, 1);
    const { response } = open(requestHead("GET", "/x", ["Accept", "*/*"]));
    assert.equal(client.available, 0);
    assert.equal(client.active, 1);
    assert.equal(peer.text(), "GET /x HTTP/1.1\r\nHost: example.test\r\nAccept: */*\r\n\r\n");
    peer.feed("HTTP/1.1 200 Very good\r\nX-Y: z\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nh");
    assert.deepEqual(response.head, {
      status: 200,
      reason: "Very good",
      headers: ["X-Y", "z", "Content-Length", "2"],
      upgrade: "",
    });
    assert.equal(client.reused, false);
    peer.feed("i");
    assert.equal(response.text, "hi");
    assert.equal(response.ended, true);
    assert.equal(client.available, 1);
    assert.equal(client.active, 0);
    assert.equal(client.reused, true);
    assert.equal(owner.available, 1);
  });

  it("puts Host where it stood, once, as the authority has it", () => {
    const { peer, open } = setUp();
    open(requestHead("GET", "/", ["A", "b", "host", "other", "Host", "third"]));
    assert.equal(peer.text(), "GET / HTTP/1.1\r\nA: b\r\nhost: example.test\r\n\r\n");
  });

  it("frames the body as the head and the method ask", () => {
    for (const [method, headers, end, expected] of [
      ["GET", [], true, ""],
      ["DELETE", [], true, ""],
      ["POST", [], true, "Content-Length: 0\r\n"],
      ["PUT", [], true, "Content-Length: 0\r\n"],
      ["PATCH", [], true, "Content-Length: 0\r\n"],
      ["POST", ["content-length", "0"], true, "content-length: 0\r\n"],
      ["GET", [], false, "Transfer-Encoding: chunked\r\n"],
      ["POST", ["Content-Length", "3"], false, "Content-Length: 3\r\n"],
      ["GET", ["te", "trailers"], true, "te: trailers\r\nConnection: TE\r\n"],
    ] as const) {
      const { peer, open } = setUp();
      open(requestHead(method, "/", [...headers]), end);
      assert.equal(peer.text(), `${method} / HTTP/1.1\r\nHost: example.test\r\n${expected}\r\n`);
    }
  });

  it("sends a body in chunks with trailers, and with a length", () => {
    const chunked = setUp();
    const first = chunked.open(requestHead("POST", "/"), false);
    first.stream.sendData(Buffer.from("abc"), false);
    first.stream.sendTrailers(["T", "1"]);
    assert.ok(chunked.peer.text().endsWith("\r\n\r\n3\r\nabc\r\n0\r\nT: 1\r\n\r\n"));

    const counted = setUp();
    const second = counted.open(requestHead("POST", "/", ["Content-Length", "3"]), false);
    second.stream.sendData(Buffer.from("a"), false);
    second.stream.sendData(Buffer.from("bc"), true);
    assert.ok(counted.peer.text().endsWith("\r\n\r\nabc"));
    counted.peer.feed(OK_2);
    assert.equal(counted.client.available, 1);
  });

  it("holds the request to its Content-Length", () => {
    for (const [chunk, end] of [
      ["1234", false],
      ["12", true],
    ] as const) {
      const { peer, client, open } = setUp();
      const { stream, response } = open(requestHead("POST", "/", ["Content-Length", "3"]), false);
      stream.sendData(Buffer.from(chunk), end);
      assert.equal(response.reset?.code, "internal");
      assert.equal(peer.wasReset, true);
      assert.equal(client.usable, false);
    }
  });

  it("refuses, later and without writing a byte, a head that is not safe", async () => {
    for (const head of [
      requestHead("GET /x HTTP/1.1\r\nA:", "/"),
      requestHead("CONNECT", "/"),
      { ...CONNECT, path: "/" },
      { ...CONNECT, upgrade: "" },
      { ...CONNECT, authority: "a.test" },
      { ...CONNECT, authority: "a.test:0" },
      requestHead("", "/"),
      requestHead("GET", "/a b"),
      requestHead("GET", "/a\r\nX: y"),
      requestHead("GET", "/\u0120HTTP/1.1"),
      requestHead("GET", "x"),
      requestHead("GET", ""),
      requestHead("GET", "*"),
      requestHead("GET", "/", ["A", "b\r\nC: d"]),
      requestHead("GET", "/", ["A", "b\0"]),
      requestHead("GET", "/", ["A\n", "b"]),
      requestHead("GET", "/", ["Transfer-Encoding ", "chunked"]),
      requestHead("GET", "/", ["content-length", "+1"]),
      requestHead("GET", "/", ["content-length", "1"]),
      { ...GET, authority: "h\r\nX: y" },
      { ...GET, authority: "h/x" },
      { ...GET, upgrade: "a\r\nX: y" },
      { ...GET, upgrade: "h2c" },
      { ...GET, upgrade: "x, HTTP/2.0" },
    ]) {
      const { peer, client, owner, open } = setUp();
      const { response, stream } = open(head);
      assert.equal(response.reset?.code, undefined, "no call from inside open");
      assert.equal(stream.sendData(Buffer.from("x"), true), true);
      await turn();
      assert.equal(response.reset?.code, "internal", JSON.stringify(head));
      assert.equal(peer.text(), "");
      assert.equal(client.available, 1);
      assert.equal(owner.available, 1, "its owner may use it again");
    }
  });

  it("refuses a second exchange beside the first without touching it", async () => {
    const { peer, open } = setUp();
    const first = open(GET);
    const second = open(GET);
    await turn();
    assert.equal(second.response.reset?.code, "internal");
    peer.feed(OK_2);
    assert.equal(first.response.ended, true);
  });

  it("tells the sender to wait, and when to go on", () => {
    const { peer, open } = setUp();
    const { stream, response } = open(requestHead("POST", "/"), false);
    peer.block();
    assert.equal(stream.sendData(Buffer.alloc(HIGH_WATER_BYTES), false), false);
    peer.unblock();
    assert.equal(response.writable, 1);
  });
});

describe("Http1ClientConnection: answers", () => {
  it("reads chunks and trailers", () => {
    const { peer, client, open } = setUp();
    const { response } = open(GET);
    peer.feed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n3\r\nabc\r\n0\r\nT: 1\r\n\r\n");
    assert.deepEqual(response.head?.headers, ["Trailer", "T"]);
    assert.equal(response.text, "abc");
    assert.deepEqual(response.trailers, ["T", "1"]);
    assert.equal(client.available, 1);
  });

  it("reads until close", async () => {
    const { peer, owner, client, open } = setUp();
    const { response } = open(GET);
    peer.feed("HTTP/1.1 200 OK\r\n\r\nabc");
    assert.equal(client.usable, false);
    peer.feed("def");
    peer.finish();
    assert.equal(response.text, "abcdef");
    assert.equal(response.ended, true);
    assert.equal(response.reset, undefined);
    await turn();
    assert.equal(owner.closed, 1);
    assert.equal(owner.available, 0);
  });

  it("takes a connection that is lost for a cut answer, not for its end", () => {
    const { peer, owner, open } = setUp();
    const { response } = open(GET);
    peer.feed("HTTP/1.1 200 OK\r\n\r\nabc");
    peer.lose("ECONNRESET");
    assert.equal(response.ended, false);
    assert.equal(response.reset?.code, "closed");
    assert.equal(owner.closed, 1);
  });

  it("expects no body after HEAD, 204 and 304", () => {
    for (const [method, head] of [
      ["HEAD", "200 OK\r\nContent-Length: 5"],
      ["HEAD", "200 OK\r\nTransfer-Encoding: chunked"],
      ["HEAD", "200 OK"],
      ["GET", "204 No Content\r\nContent-Length: 5"],
      ["GET", "304 Not Modified\r\nContent-Length: 5"],
      ["GET", "200 OK\r\nContent-Length: 0"],
    ] as const) {
      const { peer, client, open } = setUp();
      const { response } = open(requestHead(method, "/"));
      peer.feed(`HTTP/1.1 ${head}\r\n\r\n`);
      assert.equal(response.ended, true);
      assert.equal(client.available, 1);
      const next = open(GET);
      peer.feed(OK_2);
      assert.equal(next.response.text, "hi");
    }
  });

  it("passes interim heads on", () => {
    const { peer, client, open } = setUp();
    const { response } = open(requestHead("POST", "/", ["Expect", "100-continue"]), false);
    peer.feed("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
    assert.deepEqual(
      response.interim.map(({ status }) => status),
      [100, 103],
    );
    assert.equal(response.head?.status, undefined);
    assert.equal(client.available, 0);
    peer.feed("HTTP/1.1 204 No Content\r\n\r\n");
    assert.equal(response.head?.status, 204);
  });

  it("knows whether the connection is kept", async () => {
    for (const [answer, kept] of [
      ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true],
      ["HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", true],
      ["HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", false],
      ["HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false],
      ["HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", true],
    ] as const) {
      const { peer, client, owner, open } = setUp();
      const { response } = open(GET);
      peer.feed(answer);
      assert.equal(response.ended, true);
      assert.equal(client.available, kept ? 1 : 0);
      assert.equal(client.usable, kept);
      await turn();
      assert.equal(owner.closed, kept ? 0 : 1);
    }
  });

  it("stops sending and does not go on after an early answer", () => {
    const { peer, client, open } = setUp();
    const { response, stream } = open(requestHead("POST", "/"), false);
    peer.feed("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
    const before = peer.text().length;
    assert.equal(stream.sendData(Buffer.from("more"), true), true);
    assert.equal(response.ended, true);
    assert.equal(response.reset, undefined);
    assert.equal(peer.text().length, before);
    assert.equal(client.usable, false);
    assert.equal(peer.destroyed, true);
  });

  it("goes on when the request ends before the early answer does", () => {
    const { peer, client, open } = setUp();
    const { stream } = open(requestHead("POST", "/"), false);
    peer.feed("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh");
    stream.sendData(Buffer.from("more"), true);
    peer.feed("i");
    assert.equal(client.available, 1);
  });

  it("leaves the connection reading when a paused answer ends", async () => {
    const { peer, open } = setUp();
    const { response, stream } = open(GET);
    peer.feed("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh");
    stream.pause();
    assert.equal(peer.paused, true);
    stream.resume();
    await turn();
    stream.pause();
    peer.connection.resume();
    await turn();
    peer.feed("i");
    assert.equal(response.ended, true);
    stream.pause();
    assert.equal(peer.paused, false);
  });

  it("a stale stream does nothing", () => {
    const { peer, open } = setUp();
    const stale = open(requestHead("POST", "/", ["Content-Length", "0"])).stream;
    peer.feed(OK_2);
    const next = open(requestHead("POST", "/"), false);
    const before = peer.text();
    stale.sendData(Buffer.from("x"), true);
    stale.sendTrailers(["a", "b"]);
    stale.pause();
    stale.reset(cancelled);
    assert.equal(peer.text(), before);
    assert.equal(peer.paused, false);
    peer.feed(OK_2);
    assert.equal(next.response.ended, true);
  });

  it("can open the next exchange from within the end of the last", () => {
    const { peer, client, open } = setUp();
    const first = open(GET);
    const next: RecordedResponse[] = [];
    first.response.onData = () => next.push(open(GET).response);
    peer.feed(OK_2);
    assert.equal(client.active, 1);
    peer.feed(OK_2);
    assert.equal(next[0]?.text, "hi");
    assert.equal(client.available, 1);
  });
});

describe("Http1ClientConnection: upgrade", () => {
  const UPGRADE: RequestHead = { ...GET, upgrade: "websocket" };
  const SWITCHED = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

  it("turns both directions into bytes after a 101", async () => {
    const { peer, client, owner, open } = setUp();
    const { response, stream } = open(UPGRADE, false);
    assert.equal(
      peer.text(),
      "GET / HTTP/1.1\r\nHost: example.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    peer.feed(`${SWITCHED}first`);
    assert.equal(response.head?.upgrade, "websocket");
    assert.deepEqual(response.head?.headers, []);
    assert.equal(response.text, "first");
    stream.sendData(Buffer.from("up"), false);
    stream.sendData(Buffer.from("!"), true);
    assert.ok(peer.text().endsWith("\r\n\r\nup!"));
    assert.equal(peer.ended, true);
    peer.feed("HTTP/1.1 200");
    peer.finish();
    assert.equal(response.text, "firstHTTP/1.1 200");
    assert.equal(response.ended, true);
    assert.equal(client.active, 0);
    assert.equal(client.available, 0);
    peer.connection.destroy();
    await turn();
    assert.equal(owner.closed, 1);
    assert.equal(response.reset, undefined);
  });

  it("asks by CONNECT, and takes any 2xx for the grant, whatever it says of a length", async () => {
    for (const answer of [
      "HTTP/1.1 200 Connection established\r\nA: b\r\n\r\n",
      "HTTP/1.0 200 OK\r\nA: b\r\nContent-Length: 5\r\n\r\n",
      "HTTP/1.1 299 Fine\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n",
      "HTTP/1.1 204 No\r\nConnection: close\r\nA: b\r\n\r\n",
    ]) {
      const { peer, client, open } = setUp();
      const { response, stream } = open({ ...CONNECT, headers: ["Host", "other", "X", "y"] }, false);
      assert.equal(peer.text(), "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\nX: y\r\n\r\n");
      peer.feed(`${answer}first`);
      assert.deepEqual(response.head?.headers, ["A", "b"]);
      assert.equal(response.head?.upgrade, "connect");
      assert.equal(response.text, "first");
      stream.sendData(Buffer.from("up"), true);
      assert.equal(peer.ended, true);
      peer.finish();
      assert.equal(response.ended, true);
      assert.equal(client.available, 0);
    }
  });

  it("knows a CONNECT that is declined, and a 101 that does not belong to one", () => {
    const declined = setUp();
    const { response } = declined.open(CONNECT, false);
    declined.peer.feed("HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno");
    assert.deepEqual([response.head?.upgrade, response.text, response.ended], ["", "no", true]);
    assert.equal(declined.client.available, 1);
    const wrong = setUp();
    const { response: reset } = wrong.open(CONNECT, false);
    wrong.peer.feed(SWITCHED);
    assert.equal(reset.reset?.code, "protocol");
    const next = setUp();
    next.open(CONNECT, false);
    next.peer.feed("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n");
    const { response: ordinary } = next.open(GET);
    next.peer.feed(OK_2);
    assert.deepEqual([ordinary.head?.upgrade, ordinary.text], ["", "hi"]);
  });

  it("is an ordinary exchange when it is declined", () => {
    const { peer, client, open } = setUp();
    const { response } = open(UPGRADE, false);
    peer.feed(OK_2);
    assert.equal(response.text, "hi");
    assert.equal(client.available, 1);
  });

  it("a lost tunnel is a reset", () => {
    const { peer, open } = setUp();
    const { response } = open(UPGRADE, false);
    peer.feed(SWITCHED);
    peer.lose("ECONNRESET");
    assert.equal(response.reset?.code, "closed");
  });
});

describe("Http1ClientConnection: the end", () => {
  it("closed before an answer, within its head and within its body: closed", async () => {
    for (const answer of ["", "HTTP/1.1 20", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"]) {
      const { peer, client, owner, open } = setUp();
      const { response } = open(GET);
      if (answer !== "") peer.feed(answer);
      peer.finish();
      assert.equal(response.reset?.code, "closed");
      assert.equal(client.usable, false);
      await turn();
      assert.equal(owner.closed, 1);
      assert.equal(response.late, 0);
    }
  });

  it("closes when the server closes an idle connection", async () => {
    const { peer, client, owner } = setUp();
    peer.finish();
    assert.equal(client.usable, false);
    assert.equal(client.available, 0);
    await turn();
    assert.equal(owner.closed, 1);
  });

  it("a reset cuts the connection", async () => {
    const { peer, client, owner, open } = setUp();
    const { response, stream } = open(requestHead("POST", "/"), false);
    stream.reset(cancelled);
    stream.reset(cancelled);
    assert.equal(peer.wasReset, true);
    assert.equal(client.active, 0);
    assert.equal(client.usable, false);
    await turn();
    assert.equal(response.reset, undefined);
    assert.equal(owner.closed, 1);
  });

  it("shuts down at once when idle, after the answer when busy", () => {
    const idle = setUp();
    idle.client.shutdown();
    idle.client.shutdown();
    assert.equal(idle.peer.destroyed, true);

    const busy = setUp();
    const { response } = busy.open(GET);
    busy.client.shutdown();
    assert.equal(busy.client.usable, false);
    assert.equal(busy.peer.destroyed, false);
    busy.peer.feed(OK_2);
    assert.equal(response.ended, true);
    assert.equal(busy.peer.destroyed, true);
  });

  it("destroy resets what is open", async () => {
    const { client, owner, open } = setUp();
    const { response } = open(GET);
    client.destroy();
    client.destroy();
    assert.equal(response.reset?.code, "cancelled");
    await turn();
    assert.equal(owner.closed, 1);
    assert.equal(response.late, 0);
  });
});
