import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { INTEGER_BYTES_MAX, MAX_INTEGER, readInteger, writeInteger } from "./integer.ts";

function write(prefixBits: number, flags: number, value: number): Buffer {
  const block = Buffer.alloc(16);
  return block.subarray(0, writeInteger(block, 0, prefixBits, flags, value));
}

function read(bytes: Uint8Array, prefixBits: number): { value: number; at: number } {
  const cursor = { bytes, at: 0, end: bytes.length };
  return { value: readInteger(cursor, prefixBits), at: cursor.at };
}

describe("HPACK integers", () => {
  it("match the examples of RFC 7541 C.1", () => {
    assert.equal(write(5, 0, 10).toString("hex"), "0a");
    assert.equal(write(5, 0, 1337).toString("hex"), "1f9a0a");
    assert.equal(write(8, 0, 42).toString("hex"), "2a");
  });

  it("come back as they were, whatever the prefix, and take no more octets than promised", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8 }),
        fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: MAX_INTEGER })),
        (prefixBits, value) => {
          const flags = prefixBits === 8 ? 0 : 1 << prefixBits;
          const bytes = write(prefixBits, flags, value);
          assert.ok(bytes.length <= INTEGER_BYTES_MAX);
          assert.deepEqual(read(bytes, prefixBits), { value, at: bytes.length });
          assert.equal((bytes[0] as number) & flags, flags);
        },
      ),
    );
  });

  it("are refused when they are cut off, too large or endless", () => {
    assert.equal(read(Buffer.from([]), 5).value, -1);
    assert.equal(read(Buffer.from([0x1f]), 5).value, -1);
    assert.equal(read(Buffer.from([0x1f, 0x80]), 5).value, -1);
    assert.equal(read(Buffer.from([0x1f, 0xff, 0xff, 0xff, 0xff, 0x0f]), 5).value, -1);
    assert.equal(read(Buffer.from([0x1f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), 5).value, -1);
  });
});
