import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { mulberry32 } from "../stats.ts";
import { type Sample, soakRow } from "./soak.ts";

const MB = 1e6;

/** A sample every two seconds. @param dirty megabytes at a minute */
function samples(minutes: number, dirty: (at: number) => number): Sample[] {
  return Array.from({ length: 30 * minutes }, (_, index) => {
    const at = (index + 1) / 30;
    return { at, memories: [{ pss: 0, privateDirty: dirty(at) * MB, rss: 2 * dirty(at) * MB }] };
  });
}

function verdict(minutes: number, dirty: (at: number) => number): string | undefined {
  return soakRow("it", 0, samples(minutes, dirty), minutes).bars?.[0]?.verdict;
}

describe("memory in a soak", () => {
  it("is flat that goes up and down, however it began", () => {
    const random = mulberry32(1);
    assert.equal(
      verdict(10, (at) => Math.min(100, 40 + 30 * at) + 8 * random()),
      "holds",
    );
  });

  it("is not flat that rises by a tenth in ten minutes", () => {
    const random = mulberry32(2);
    assert.equal(
      verdict(10, (at) => 100 + at + 2 * random()),
      "missed",
    );
  });

  it("is undecided after a few minutes", () => {
    assert.equal(
      verdict(2, () => 100),
      "undecided",
    );
  });

  it("is told as slope and growth of the part that counts", () => {
    const { values } = soakRow(
      "it",
      0,
      samples(10, (at) => 100 + at),
      10,
    );
    assert.equal(Math.round(values["slope"] ?? 0), 60);
    assert.equal(values["growth"]?.toFixed(1), "7.1");
    assert.equal(values["max"], 110);
    assert.equal(values["rssMax"], 220);
  });
});
