import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { webSocketFrame, WebSocketReader } from "./websocket-frames.ts";

const BINARY = 0x82;

describe("WebSocket frames", () => {
  it("come out as they went in, masked or not, however they are cut", () => {
    const payload = fc.uint8Array({ maxLength: 400 });
    const key = fc.option(fc.uint8Array({ minLength: 4, maxLength: 4 }), { nil: undefined });
    const frame = fc.record({ payload, key });
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 6 }), fc.integer({ min: 1, max: 50 }), (frames, size) => {
        const wire = Buffer.concat(
          frames.map((each) => webSocketFrame(BINARY, Buffer.from(each.payload), each.key && Buffer.from(each.key))),
        );
        const found: string[] = [];
        const reader = new WebSocketReader((first, bytes) => {
          assert.equal(first, BINARY);
          found.push(bytes.toString("hex"));
        });
        for (let from = 0; from < wire.length; from += size) reader.push(Buffer.from(wire.subarray(from, from + size)));
        assert.deepEqual(
          found,
          frames.map((each) => Buffer.from(each.payload).toString("hex")),
        );
      }),
    );
  });

  it("are no larger than 64 KiB", () => {
    assert.throws(() => webSocketFrame(BINARY, Buffer.alloc(65_536)), RangeError);
    assert.throws(() => new WebSocketReader(() => {}).push(Buffer.from([BINARY, 127])), /64 KiB/);
  });
});
