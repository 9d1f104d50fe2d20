import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { editDistance, suggest } from "./suggest.ts";

describe("editDistance", () => {
  it("counts insertions, deletions, replacements and swaps", () => {
    assert.equal(editDistance("stat", "stats"), 1);
    assert.equal(editDistance("satt", "stat"), 1);
    assert.equal(editDistance("", "stat"), 4);
    assert.equal(editDistance("kitten", "sitting"), 3);
  });

  it("is symmetric, and 0 only for equal words", () => {
    const word = fc.string({ maxLength: 12 });
    fc.assert(
      fc.property(word, word, (a, b) => {
        const distance = editDistance(a, b);
        assert.equal(distance, editDistance(b, a));
        assert.equal(distance === 0, a === b);
        assert.ok(distance <= Math.max(a.length, b.length));
      }),
    );
  });
});

describe("suggest", () => {
  const known = ["stat", "endpoints", "completion", "up"];
  it("finds the word that was meant", () => {
    assert.equal(suggest("sta", known), "stat");
    assert.equal(suggest("STAT", known), "stat");
    assert.equal(suggest("endpionts", known), "endpoints");
    assert.equal(suggest("comp", known), "completion");
  });

  it("stays silent about words that are not alike", () => {
    assert.equal(suggest("frobnicate", known), undefined);
    assert.equal(suggest("x", known), undefined);
  });
});
