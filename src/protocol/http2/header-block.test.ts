import assert from "node:assert/strict";
import { it } from "node:test";

import { BLOCK_FACTOR, CONTINUATIONS_MAX, HeaderBlock } from "./header-block.ts";

const piece = Buffer.from("abcd");

it("puts the pieces of a block together", () => {
  const block = new HeaderBlock(100);
  block.begin(7, true, -1, piece, 0, 2);
  assert.equal(block.open, true);
  assert.equal(block.add(piece, 2, 4), true);
  assert.equal(block.take().toString(), "abcd");
  assert.equal(block.open, false);
});

it("takes so many octets and no more", () => {
  const block = new HeaderBlock(8);
  block.begin(1, false, -1, Buffer.alloc(8 * BLOCK_FACTOR - 1), 0, 8 * BLOCK_FACTOR - 1);
  assert.equal(block.add(piece, 0, 1), true);
  assert.equal(block.add(piece, 0, 1), false);
});

it("takes so many frames and no more, however small", () => {
  const block = new HeaderBlock(1_000);
  block.begin(1, false, -1, piece, 0, 0);
  for (let i = 0; i < CONTINUATIONS_MAX; i++) assert.equal(block.add(piece, 0, 0), true);
  assert.equal(block.add(piece, 0, 0), false);
});
