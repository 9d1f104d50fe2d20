import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { closest, editDistance } from "./closest.ts";

describe("editDistance", () => {
  it("counts insertions, deletions, replacements and swaps", () => {
    assert.equal(editDistance("", "abc"), 3);
    assert.equal(editDistance("port", "ports"), 1);
    assert.equal(editDistance("prot", "port"), 1);
    assert.equal(editDistance("kitten", "sitting"), 3);
  });

  it("is symmetric, zero only for equal words, and never more than the longer word", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (a, b) => {
        const distance = editDistance(a, b);
        assert.equal(distance, editDistance(b, a));
        assert.equal(distance === 0, a === b);
        assert.ok(distance <= Math.max(a.length, b.length));
      }),
    );
  });
});

describe("closest", () => {
  it("finds the near word and ignores case", () => {
    assert.equal(closest("Upstream", ["ports", "upstreams"]), "upstreams");
    assert.equal(closest("evn", ["env", "run"]), "env");
  });

  it("finds nothing when nothing is near or the word is absurdly long", () => {
    assert.equal(closest("banana", ["env", "run"]), undefined);
    assert.equal(closest("x".repeat(65), ["x".repeat(64)]), undefined);
    assert.equal(closest("a", []), undefined);
  });
});
