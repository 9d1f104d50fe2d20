import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { blocksNote, interleave, STEAL_MAX } from "./blocks.ts";

const subjects = [{ name: "a" }, { name: "b" }];
const quiet = (): void => {};

/** @param shares of stolen time, block by block; none after the last */
async function measure(blocks: number, shares: number[]): Promise<{ turns: string; note: string; kept: number }> {
  const left = [...shares];
  const turns: string[] = [];
  const measured = await interleave(
    subjects,
    blocks,
    ({ name }) => Promise.resolve(turns.push(name)),
    quiet,
    () => () => left.shift() ?? 0,
  );
  assert.equal(measured.bySubject.get("a")?.length, measured.kept);
  assert.equal(measured.bySubject.get("b")?.length, measured.kept);
  return { turns: turns.join(""), note: blocksNote(measured), kept: measured.kept };
}

describe("interleaving", () => {
  it("turns the order round from block to block", async () => {
    assert.equal((await measure(4, [])).turns, "abbaabba");
  });

  it("measures a block again in which too much was stolen", async () => {
    const { turns, note, kept } = await measure(6, [0, STEAL_MAX + 0.01, STEAL_MAX, 0]);
    assert.equal(turns, "abbabaabbaabba");
    assert.equal(kept, 6);
    assert.equal(note, "6 blocks; 1 more dropped for more than 2 % steal");
  });

  it("gives up when that goes on", async () => {
    const { note, kept } = await measure(
      4,
      Array.from({ length: 5 }, () => 1),
    );
    assert.equal(kept, 1);
    assert.equal(note, "1 block; 5 more dropped for more than 2 % steal; too few to trust the intervals");
  });
});
