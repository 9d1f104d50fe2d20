import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { suggest } from "./suggest.ts";

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
