import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { VirtualClock } from "../../net/virtual-clock.ts";
import { FAST_MS, GROWTH_BYTES_MAX, ReceiveWindows, STREAM_WINDOW_BYTES_MAX } from "./receive-windows.ts";
import { Http2Stream, type StreamSession } from "./stream.ts";

const FIRST = 64 * 1024;

const session: StreamSession = {
  peerStreamWindow: FIRST,
  options: { streamWindowBytes: FIRST },
  scheduler: { send: () => true, sendTrailers() {} },
  localEnd() {},
  credit() {},
  failOwn() {},
  resetByUser() {},
};
const receiver = { onData() {}, onTrailers() {}, onReset() {}, onWritable() {} };
const newStream = (): Http2Stream => new Http2Stream(1, session, receiver);

/** The peer sends, the reader consumes. @returns the credit given */
function consume(windows: ReceiveWindows, stream: Http2Stream, octets: number): number {
  assert.ok(octets <= stream.receiveWindow, "the peer keeps to its window");
  stream.receiveWindow -= octets;
  stream.uncredited += octets;
  return windows.credit(stream);
}

describe("receive windows", () => {
  it("double while the reader keeps up, to the largest", () => {
    const windows = new ReceiveWindows(FIRST, new VirtualClock());
    const stream = newStream();
    const sizes = [];
    for (let i = 0; i < 8; i++) {
      consume(windows, stream, stream.windowBytes >> 1);
      sizes.push(stream.windowBytes / FIRST);
    }
    assert.deepEqual(sizes, [2, 4, 8, 16, 32, 64, 64, 64]);
    assert.equal(stream.windowBytes, STREAM_WINDOW_BYTES_MAX);
    assert.equal(stream.receiveWindow, stream.windowBytes);
  });

  it("give no credit before half is used up", () => {
    const windows = new ReceiveWindows(FIRST, new VirtualClock());
    const stream = newStream();
    assert.equal(consume(windows, stream, FIRST / 2 - 1), 0);
    assert.equal(consume(windows, stream, 1), FIRST / 2 + FIRST);
  });

  it("are halved when the reader has waited, down to the first size, and do not grow for a while", () => {
    const clock = new VirtualClock();
    const windows = new ReceiveWindows(FIRST, clock);
    const stream = newStream();
    for (let i = 0; i < 2; i++) consume(windows, stream, stream.windowBytes >> 1);
    assert.equal(stream.windowBytes, 4 * FIRST);
    const sizes = [];
    for (let i = 0; i < 3; i++) {
      stream.pause();
      stream.resume();
      consume(windows, stream, stream.windowBytes >> 1);
      sizes.push(stream.windowBytes / FIRST);
    }
    assert.deepEqual(sizes, [2, 1, 1]);
    assert.equal(windows.grownBytes, 0);
    clock.advance(FAST_MS - 1);
    consume(windows, stream, FIRST / 2);
    assert.equal(stream.windowBytes, FIRST);
    clock.advance(1);
    consume(windows, stream, FIRST / 2);
    assert.equal(stream.windowBytes, 2 * FIRST);
  });

  it("are halved when the stream has become slow, so that chatter does not keep what bulk needs", () => {
    const clock = new VirtualClock();
    const windows = new ReceiveWindows(FIRST, clock);
    const stream = newStream();
    consume(windows, stream, FIRST / 2);
    clock.advance(FAST_MS);
    consume(windows, stream, FIRST);
    assert.equal(stream.windowBytes, 4 * FIRST, "just fast enough");
    clock.advance(FAST_MS + 1);
    consume(windows, stream, 2 * FIRST);
    assert.equal(stream.windowBytes, 2 * FIRST);
  });

  it("share one growth, which those that end leave to others", () => {
    const windows = new ReceiveWindows(FIRST, new VirtualClock());
    const grow = (stream: Http2Stream): void => {
      for (let i = 0; i < 8; i++) consume(windows, stream, stream.windowBytes >> 1);
    };
    const streams = Array.from({ length: 8 }, newStream);
    streams.forEach(grow);
    assert.equal(windows.grownBytes, GROWTH_BYTES_MAX);
    const last = streams[7] as Http2Stream;
    assert.equal(last.windowBytes, FIRST, "nothing was left for it");
    windows.release(streams[0] as Http2Stream);
    grow(last);
    assert.equal(last.windowBytes, STREAM_WINDOW_BYTES_MAX);
  });

  it("never promise more than the bound, whatever happens, and never lose an octet", () => {
    const step = fc.record({
      stream: fc.nat(9),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
      wait: fc.boolean(),
      pauseMs: fc.nat(1_500),
      end: fc.nat(20),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const clock = new VirtualClock();
        const windows = new ReceiveWindows(FIRST, clock);
        const streams = Array.from({ length: 10 }, newStream);
        for (const { stream: which, share, wait, pauseMs, end } of steps) {
          const stream = streams[which] as Http2Stream;
          clock.advance(pauseMs);
          if (wait) stream.pause();
          stream.resume();
          consume(windows, stream, Math.floor(stream.receiveWindow * share));
          assert.equal(stream.receiveWindow + stream.uncredited, stream.windowBytes);
          assert.ok(stream.windowBytes >= FIRST && stream.windowBytes <= STREAM_WINDOW_BYTES_MAX);
          if (end === 0) {
            windows.release(stream);
            streams[which] = newStream();
          }
          const grown = streams.reduce((sum, each) => sum + each.windowBytes - FIRST, 0);
          assert.equal(windows.grownBytes, grown);
          assert.ok(grown <= GROWTH_BYTES_MAX);
        }
      }),
    );
  });
});
