import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import {
  acquireBlock,
  copyBytes,
  copyCapacity,
  extendCopy,
  FREE_BLOCKS_MAX,
  freeBlocks,
  LARGE_BLOCK_BYTES,
  releaseBlock,
  releaseCopy,
  SMALL_BLOCK_BYTES,
} from "./blocks.ts";

describe("blocks", () => {
  it("come in two sizes, and no larger", () => {
    assert.equal(acquireBlock(1).length, SMALL_BLOCK_BYTES);
    assert.equal(acquireBlock(SMALL_BLOCK_BYTES).length, SMALL_BLOCK_BYTES);
    assert.equal(acquireBlock(SMALL_BLOCK_BYTES + 1).length, LARGE_BLOCK_BYTES);
    assert.throws(() => acquireBlock(LARGE_BLOCK_BYTES + 1), RangeError);
  });

  it("are used again, and no more are kept than the pool's bound", () => {
    const blocks = Array.from({ length: FREE_BLOCKS_MAX + 10 }, () => acquireBlock(1));
    const already = freeBlocks();
    for (const block of blocks) releaseBlock(block);
    assert.ok(freeBlocks() - already <= FREE_BLOCKS_MAX);
    assert.ok(blocks.includes(acquireBlock(1)));
  });
});

describe("copies", () => {
  it("keep their bytes while they are held, whatever else is copied and given back", () => {
    const operations = fc.array(fc.record({ length: fc.nat(70_000), fill: fc.nat(255), release: fc.boolean() }), {
      maxLength: 60,
    });
    fc.assert(
      fc.property(operations, (list) => {
        const held: { copy: Buffer; length: number; fill: number }[] = [];
        for (const { length, fill, release } of list) {
          held.push({ copy: copyBytes(Buffer.alloc(length, fill)), length, fill });
          if (release) releaseCopy((held.shift() as { copy: Buffer }).copy);
        }
        for (const { copy, length, fill } of held) {
          assert.equal(copy.length, length);
          assert.ok(copy.every((byte) => byte === fill));
          releaseCopy(copy);
        }
      }),
      { numRuns: 30 },
    );
  });

  it("of a size that fits a block come from the pool and go back to it", () => {
    const copy = copyBytes(Buffer.alloc(LARGE_BLOCK_BYTES, 1));
    const already = freeBlocks();
    releaseCopy(copy);
    assert.equal(freeBlocks(), already + 1);
  });

  it("that were never in a block are left alone", () => {
    const already = freeBlocks();
    releaseCopy(copyBytes(Buffer.from("tiny")));
    releaseCopy(Buffer.alloc(SMALL_BLOCK_BYTES).subarray(1));
    assert.equal(freeBlocks(), already);
  });

  it("are filled up by small pieces, which come out as they went in", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 9_000 }), { minLength: 1, maxLength: 30 }), (pieces) => {
        const copies = [copyBytes(pieces[0] as Uint8Array)];
        for (const piece of pieces.slice(1)) {
          const longer = extendCopy(copies.at(-1) as Buffer, piece);
          if (longer === undefined) copies.push(copyBytes(piece));
          else copies[copies.length - 1] = longer;
        }
        assert.deepEqual(Buffer.concat(copies), Buffer.concat(pieces));
        for (const copy of copies) assert.ok(copyCapacity(copy) >= copy.length);
        for (const copy of copies) releaseCopy(copy);
      }),
    );
    let copy = copyBytes(Buffer.alloc(1));
    for (let i = 1; i < SMALL_BLOCK_BYTES; i++) copy = extendCopy(copy, Buffer.alloc(1)) as Buffer;
    assert.equal(copyCapacity(copy), SMALL_BLOCK_BYTES);
    assert.equal(extendCopy(copy, Buffer.alloc(1)), undefined);
    releaseCopy(copy);
  });
});
