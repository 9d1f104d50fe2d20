/** Clients that owe a body, or do not take their answer, and stand still. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { responseHead } from "../../../test/support/exchange-recorder.ts";
import { type MemoryServer, memoryServer } from "../../../test/support/memory-server.ts";
import { LOOK_MS, OWED_BYTES_MIN, STANDSTILLS_MAX } from "../standstill.ts";

const POST = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/** Lets so many looks pass, and the client act before each. */
function looks(server: MemoryServer, count: number, act: () => void = () => {}): void {
  for (let i = 0; i < count; i++) {
    act();
    server.clock.advance(LOOK_MS);
  }
}

describe("a client of HTTP/1", () => {
  it("that sends its body in drips is told 408, and one a little faster is not", () => {
    for (const [octets, told] of [
      [OWED_BYTES_MIN - 1, true],
      [OWED_BYTES_MIN, false],
    ] as const) {
      const under = memoryServer();
      under.peer.feed(POST);
      looks(under, STANDSTILLS_MAX, () => under.peer.feed("x".repeat(octets)));
      assert.equal(under.peer.text(), "");
      looks(under, STANDSTILLS_MAX, () => under.peer.feed("x".repeat(octets)));
      assert.equal(under.peer.text().startsWith("HTTP/1.1 408 "), told, `${octets} octets`);
      assert.equal(under.handler.only.body.reset !== undefined, told);
    }
  });

  it("may be silent in a body of unknown length, and where we do not read", () => {
    const chunked = memoryServer();
    chunked.peer.feed("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
    looks(chunked, 3 * STANDSTILLS_MAX);
    assert.equal(chunked.peer.text(), "");
    const paused = memoryServer();
    paused.peer.feed(POST);
    paused.handler.only.stream.pause();
    looks(paused, 3 * STANDSTILLS_MAX);
    assert.equal(paused.peer.text(), "");
  });

  it("may be silent as long as it awaits a 100", () => {
    const under = memoryServer();
    under.peer.feed(POST.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n"));
    looks(under, 3 * STANDSTILLS_MAX);
    assert.equal(under.peer.text(), "");
    under.handler.only.stream.sendHead(responseHead(100), false);
    looks(under, 2 * STANDSTILLS_MAX);
    assert.match(under.peer.text(), /^HTTP\/1\.1 100 .*HTTP\/1\.1 408 /s);
  });

  it("that takes nothing of its answer is cut, and may wait for one as long as it likes", () => {
    const under = memoryServer();
    under.peer.feed(GET);
    looks(under, 3 * STANDSTILLS_MAX);
    const { stream } = under.handler.only;
    under.peer.block();
    stream.sendHead(responseHead(200), false);
    while (stream.sendData(Buffer.alloc(64 * 1024), false));
    looks(under, STANDSTILLS_MAX);
    assert.equal(under.peer.wasReset, false);
    looks(under, 1);
    assert.equal(under.peer.wasReset, true);
    assert.equal(under.handler.only.body.reset?.code, "overflow");
  });

  it("that takes nothing of the rest of a tunnel is cut once both ends have ended it, whichever was first", () => {
    for (const clientFirst of [true, false]) {
      const under = memoryServer();
      under.peer.feed("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: chess\r\n\r\n");
      const { stream } = under.handler.only;
      stream.sendHead({ ...responseHead(101), upgrade: "chess" }, false);
      under.peer.block();
      stream.sendData(Buffer.alloc(1_000), false);
      looks(under, 3 * STANDSTILLS_MAX);
      assert.equal(under.peer.destroyed, false, "a tunnel may stand still");
      if (clientFirst) under.peer.finish();
      stream.sendData(Buffer.alloc(0), true);
      if (!clientFirst) under.peer.finish();
      assert.equal(under.server.active, 0);
      under.clock.advance(LOOK_MS / 2);
      assert.equal(under.peer.destroyed, false, "it has time for the rest");
      looks(under, 1);
      assert.equal(under.peer.destroyed, true);
    }
  });
});
