import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { OWED_BYTES_MIN, Standstill, STANDSTILLS_MAX } from "./standstill.ts";

/** What each look answers. */
const looks = (...moved: number[]): boolean[] => {
  const standstill = new Standstill();
  return moved.map((each) => standstill.look(each));
};
const same = (count: number, moved: number): number[] => Array.from({ length: count }, () => moved);

describe("a standstill", () => {
  it("is given up after so many looks in a row, the first of which only sees where things stand", () => {
    assert.deepEqual(looks(...same(STANDSTILLS_MAX + 1, 7)), [...Array(STANDSTILLS_MAX).fill(false), true]);
  });

  it("is over once enough has moved, or nothing is owed", () => {
    const stands = same(STANDSTILLS_MAX, 7);
    assert.ok(!looks(...stands, 7 + OWED_BYTES_MIN, ...same(STANDSTILLS_MAX - 1, 7 + OWED_BYTES_MIN)).includes(true));
    assert.ok(!looks(...stands, -1, ...stands).includes(true));
    assert.ok(looks(...stands, 7 + OWED_BYTES_MIN - 1).includes(true), "a little is not enough");
    assert.ok(!looks(...same(100, -1)).includes(true));
  });
});
