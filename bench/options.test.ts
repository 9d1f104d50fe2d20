import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { parseOptions, WORKS } from "./options.ts";
import { estimate, MEASUREMENTS } from "./works.ts";

function options(...words: string[]): Exclude<ReturnType<typeof parseOptions>, "help"> {
  const parsed = parseOptions(words);
  assert.notEqual(parsed, "help");
  return parsed as Exclude<typeof parsed, "help">;
}

describe("the flags of the bench", () => {
  it("choose works, in the order in which they are run", () => {
    assert.deepEqual(options("--only", "idle,http1").works, ["http1", "idle"]);
    assert.deepEqual(options("--only", "soak").works, ["soak"]);
    assert.deepEqual(options("--only", "all,soak").works, WORKS);
  });

  it("choose all but the soak by themselves", () => {
    assert.deepEqual(
      options().works,
      WORKS.filter((work) => work !== "soak"),
    );
  });

  it("are refused by name", () => {
    assert.throws(() => parseOptions(["--only", "http3"]), /--only: expected all or some of http1.*found "http3"/);
    assert.throws(() => parseOptions(["--blocks", "0"]), /--blocks: expected a whole number, 1 to 200, found "0"/);
    assert.throws(() => parseOptions(["--minutes", "x"]), /--minutes/);
    assert.throws(() => parseOptions(["-o", "xml"]), /-o: expected table or json/);
  });
});

describe("the time that a run takes", () => {
  it("is about twenty minutes by default, and a few for a look", () => {
    assert.ok(estimate(options()) <= 22 * 60, `${estimate(options())} s`);
    assert.ok(estimate(options("--quick")) <= 10 * 60, `${estimate(options("--quick"))} s`);
  });

  it("grows with what is asked for", () => {
    for (const work of WORKS) assert.ok(MEASUREMENTS[work].seconds(options("--only", work)) > 0);
    assert.ok(estimate(options("--blocks", "20")) > estimate(options()));
    assert.ok(estimate(options("--only", "soak", "--minutes", "60")) >= 3_600);
  });
});
