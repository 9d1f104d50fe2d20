import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { MemoryConnection } from "../../test/support/memory-connection.ts";
import { VirtualClock } from "../net/virtual-clock.ts";
import { classify, DETECT_BYTES_MAX, type Detection, detectProtocol, isGreeting } from "./detect.ts";

function setUp() {
  const peer = new MemoryConnection();
  const clock = new VirtualClock();
  const results: Detection[] = [];
  let lost = 0;
  detectProtocol(peer.connection, { timeoutMs: 1_000, clock, onClose: () => lost++ }, (result) => results.push(result));
  return { peer, clock, results, lost: () => lost };
}

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/** [bytes, protocol, how many of them are needed to tell] */
const cases: readonly (readonly [string, string, number])[] = [
  [PREFACE, "http2", 24],
  ["GET / HTTP/1.1\r\n", "http1", 5],
  ["POST /x HTTP/1.1\r\n", "http1", 6],
  ["OPTIONS * HTTP/1.1\r\n", "http1", 17],
  ["CONNECT a:1 HTTP/1.1\r\n", "http1", 19],
  ["GET http://h/ HTTP/1.1\r\n", "http1", 11],
  ["GET https://h/ HTTP/1.1\r\n", "http1", 12],
  ["PROPFIND /x HTTP/1.1\r\n", "http1", 19],
  ["M-SEARCH * HTTP/1.1\r\n", "http1", 18],
  ["PRIVATE / HTTP/1.1\r\n", "http1", 17],
  ["\x16\x03\x01\x00", "tls", 2],
  ["\x16\x04", "opaque", 2],
  ["\x00\x00", "opaque", 1],
  ["SSH-2.0-x\r\n", "opaque", 6],
  ["EHLO a.test\r\n", "opaque", 12],
  ["*1\r\n$4\r\nPING\r\n", "opaque", 1],
  ["PING\r\n", "opaque", 5],
  ["get key\r\n", "opaque", 8],
  ["CONNECT {}\r\n", "opaque", 11],
  ["GET key\r\n", "opaque", 8],
  ["PRI * HTTP/3", "opaque", 12],
  ["SELECT 1; HTTP\r\n", "opaque", 15],
  ["GET \r\n", "opaque", 5],
  [`FOO /${"a".repeat(DETECT_BYTES_MAX)}`, "opaque", DETECT_BYTES_MAX + 1],
  ["A".repeat(40), "opaque", 33],
];

describe("classify", () => {
  for (const [text, protocol, needed] of cases) {
    it(`tells ${protocol} from ${JSON.stringify(text.slice(0, 24))} as soon as it can`, () => {
      const bytes = Buffer.from(text, "latin1");
      assert.equal(classify(bytes), protocol);
      assert.equal(classify(bytes.subarray(0, needed)), protocol);
      for (let length = 0; length < needed; length++) assert.equal(classify(bytes.subarray(0, length)), undefined);
    });
  }
});

describe("isGreeting", () => {
  it("is what a server says first, unless it could be HTTP", () => {
    const greetings = [
      "220 mail ESMTP\r\n",
      "J\0\0\0\n8.0.36",
      "SSH-2.0-x\r\n",
      "+OK\r\n",
      "\0\0\0\x05\0\0\0\0\0",
      "HTTP/2",
    ];
    for (const text of greetings) assert.equal(isGreeting(Buffer.from(text, "latin1")), true, text);
    const settings = Buffer.from([0, 0, 12, 4, 0, 0, 0, 0, 0, 1]);
    for (let length = 0; length <= settings.length; length++) {
      assert.equal(isGreeting(settings.subarray(0, length)), false, `${length} bytes of SETTINGS`);
    }
    for (const text of ["H", "HTTP/1.", "HTTP/1.1 408 Request Timeout\r\n"]) {
      assert.equal(isGreeting(Buffer.from(text, "latin1")), false, text);
    }
  });
});

describe("detectProtocol", () => {
  it("decides at once when the server has spoken, and only once", () => {
    const peer = new MemoryConnection();
    const clock = new VirtualClock();
    const results: Detection[] = [];
    const options = { timeoutMs: 1_000, clock, onClose() {} };
    const serverSpoke = detectProtocol(peer.connection, options, (result) => results.push(result));
    serverSpoke();
    serverSpoke();
    assert.deepEqual(results, [{ protocol: "opaque", timedOut: false, first: Buffer.alloc(0), ended: false }]);
    assert.equal(clock.pending, 0);
  });

  it("hands the first bytes on as a copy, with the connection paused", () => {
    const { peer, results, clock } = setUp();
    peer.feed("GET / HTTP/1.1\r\n");
    assert.equal(results.length, 1);
    const [result] = results;
    assert.equal(result?.protocol, "http1");
    assert.equal(result?.timedOut, false);
    assert.equal(result?.ended, false);
    assert.equal(result?.first.toString(), "GET / HTTP/1.1\r\n");
    assert.equal(peer.paused, true);
    assert.equal(clock.pending, 0);
  });

  it("gathers torn bytes", () => {
    const { peer, results } = setUp();
    for (const byte of PREFACE.slice(0, -1)) peer.feed(byte);
    assert.equal(results.length, 0);
    peer.feed("\nSETTINGS");
    assert.equal(results[0]?.protocol, "http2");
    assert.equal(results[0]?.first.toString(), `${PREFACE}SETTINGS`);
  });

  it("counts silence, and a beginning that is not gone on with, as opaque when the time is up", () => {
    for (const begun of ["", "GET", "\x16", "PRI * HTTP/2.0\r\n"]) {
      const { peer, results, clock } = setUp();
      if (begun !== "") peer.feed(begun);
      clock.advance(999);
      assert.equal(results.length, 0);
      clock.advance(1);
      assert.equal(results[0]?.protocol, "opaque");
      assert.equal(results[0]?.timedOut, true);
      assert.equal(results[0]?.first.toString("latin1"), begun);
      assert.equal(peer.paused, true);
      assert.equal(results.length, 1);
    }
  });

  it("takes an undecided end for opaque, and says that it was the end", () => {
    const { peer, results, clock } = setUp();
    peer.feed("GE");
    peer.finish();
    assert.equal(results[0]?.protocol, "opaque");
    assert.equal(results[0]?.timedOut, false);
    assert.equal(results[0]?.ended, true);
    assert.equal(clock.pending, 0);
  });

  it("tells of a connection lost before a decision, once and without result", () => {
    const { peer, results, clock, lost } = setUp();
    peer.feed("GE");
    peer.lose("ECONNRESET");
    clock.advance(2_000);
    assert.equal(results.length, 0);
    assert.equal(lost(), 1);
    assert.equal(clock.pending, 0);
  });

  it("lets go of the connection: what comes later goes to the new handler", async () => {
    const peer = new MemoryConnection();
    let seen = "";
    detectProtocol(
      peer.connection,
      { timeoutMs: 1_000, clock: new VirtualClock(), onClose: () => assert.fail("not ours any more") },
      ({ first }) => {
        seen += first.toString();
        peer.connection.handler = {
          onData: (chunk) => (seen += chunk.toString()),
          onEnd() {},
          onDrain() {},
          onClose() {},
        };
        peer.connection.resume();
      },
    );
    peer.feed("GET /");
    peer.feed(" HTTP/1.1");
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(seen, "GET / HTTP/1.1");
    peer.lose("ECONNRESET");
  });
});
