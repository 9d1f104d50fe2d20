/** The part of fuzzing that fits into every test run: the whole corpus, and some mutations from a fixed seed. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { readCorpus } from "./corpus.ts";
import { mutate } from "./mutate.ts";
import { seeded } from "./random.ts";
import { fuzz } from "./run.ts";
import type { Target } from "./target.ts";
import { targets } from "./targets.ts";

const SEED = 20_261_121;
/** The same inputs every time, unless the machine is so busy that the time is up before. */
const LIMITS = { runs: 3_000, milliseconds: 1_000 };

describe("fuzzing", () => {
  for (const target of targets) {
    it(`finds nothing wrong with ${target.name}`, async () => {
      const corpus = readCorpus(target.name).map(({ input }) => input);
      const { failure, runs, kinds } = await fuzz(target, corpus, SEED, LIMITS);
      if (failure !== undefined) {
        assert.fail(`${JSON.stringify(failure.input.toString("latin1"))}: ${failure.error.stack}`);
      }
      assert.ok(runs > corpus.length && kinds > 5, `${runs} inputs led to ${kinds} kinds of outcome`);
    });
  }
});

const unwatched = (): void => {};

/** Fails on every input with both letters. */
const broken: Target = {
  name: "broken",
  tokens: ["a", "b"],
  bytesMax: 50,
  run(input) {
    if (input.includes("a") && input.includes("b")) throw new Error("both");
    return "fine";
  },
};

describe("the fuzzer", () => {
  const corpus = [Buffer.from("xxxxxxxxxxxx"), Buffer.from("yyyy")];
  const forever = { runs: 20_000, milliseconds: 20_000 };

  it("finds a defect, makes its input as small as can be, and finds it again by the same seed", async () => {
    const first = await fuzz(broken, corpus, 7, forever);
    assert.equal(first.failure?.error.message, "both");
    assert.equal(first.failure.input.length, 2);
    const second = await fuzz(broken, corpus, 7, forever);
    assert.deepEqual([second.runs, second.failure?.input], [first.runs, first.failure.input]);
  });

  it("stops when its time or its number of runs is up, but tries all of the corpus", async () => {
    const fine: Target = { ...broken, run: (input) => `${input.length}` };
    assert.equal((await fuzz(fine, corpus, 1, { runs: 100, milliseconds: 60_000 })).runs, 100);
    assert.equal((await fuzz(fine, corpus, 1, { runs: 100, milliseconds: 0 })).runs, corpus.length);
  });

  it("calls an input that takes long a defect", async () => {
    let time = 0;
    const slow: Target = {
      ...broken,
      run() {
        time += 2_001;
        return "done";
      },
    };
    const { failure } = await fuzz(slow, [Buffer.alloc(0)], 1, { runs: 1, milliseconds: 0 }, unwatched, () => time);
    assert.match(failure?.error.message ?? "", /^2001 ms for 0 bytes$/);
  });

  it("mutates within the bound and differently every time", () => {
    const random = seeded(3);
    const made = Array.from({ length: 500 }, () => mutate(random, corpus, broken.tokens, 20));
    assert.ok(made.every((input) => input.length <= 20));
    assert.ok(new Set(made.map(String)).size > 300);
  });
});
