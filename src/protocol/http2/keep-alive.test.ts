import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { VirtualClock } from "../../net/virtual-clock.ts";
import { KeepAlive } from "./keep-alive.ts";

function setUp(whileIdle: boolean) {
  const clock = new VirtualClock();
  const peer = { bytes: 0, open: false, pings: 0, expirations: 0 };
  const keepAlive = new KeepAlive(
    clock,
    { intervalMs: 10_000, timeoutMs: 3_000, whileIdle },
    {
      bytesRead: () => peer.bytes,
      busy: () => peer.open,
      ping: () => peer.pings++,
      expired: () => peer.expirations++,
    },
  );
  return { clock, peer, keepAlive };
}

describe("KeepAlive", () => {
  it("pings a silent peer and gives it up when nothing comes back", () => {
    const { clock, peer } = setUp(true);
    clock.advance(9_999);
    assert.equal(peer.pings, 0);
    clock.advance(1);
    assert.equal(peer.pings, 1);
    clock.advance(2_999);
    assert.equal(peer.expirations, 0);
    clock.advance(1);
    assert.equal(peer.expirations, 1);
    assert.equal(clock.pending, 0);
  });

  it("goes on after an answer, for ever", () => {
    const { clock, peer, keepAlive } = setUp(true);
    for (let i = 1; i <= 5; i++) {
      clock.advance(10_000);
      assert.equal(peer.pings, i);
      keepAlive.answered();
    }
    assert.equal(peer.expirations, 0);
    assert.equal(clock.pending, 1);
  });

  it("takes any octet for a sign of life", () => {
    const { clock, peer } = setUp(true);
    for (let i = 0; i < 5; i++) {
      peer.bytes++;
      clock.advance(10_000);
    }
    assert.equal(peer.pings, 0);
    clock.advance(10_000);
    assert.equal(peer.pings, 1);
    peer.bytes++;
    clock.advance(3_000);
    assert.equal(peer.expirations, 0);
  });

  it("rests while no exchange is open, unless it is told otherwise", () => {
    const { clock, peer, keepAlive } = setUp(false);
    clock.advance(60_000);
    assert.equal(peer.pings, 0);
    assert.equal(clock.pending, 0);
    peer.open = true;
    keepAlive.touch();
    keepAlive.touch();
    assert.equal(clock.pending, 1);
    clock.advance(10_000);
    assert.equal(peer.pings, 1);
    keepAlive.answered();
    peer.open = false;
    clock.advance(10_000);
    assert.equal(peer.pings, 1);
    assert.equal(clock.pending, 0);
  });

  it("leaves no timer when it is stopped", () => {
    const { clock, peer, keepAlive } = setUp(true);
    clock.advance(10_000);
    keepAlive.stop();
    keepAlive.answered();
    keepAlive.touch();
    assert.equal(clock.pending, 0);
    clock.advance(60_000);
    assert.deepEqual([peer.pings, peer.expirations], [1, 0]);
  });
});
