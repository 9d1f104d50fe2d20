import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { VirtualClock } from "../../net/virtual-clock.ts";
import { Failure } from "../errors.ts";
import type { Category, CheckResult } from "./check.ts";
import { RETRY_EVERY_MS, runChecks } from "./run-checks.ts";

/** What is wrong at a moment, by check. */
type Wrong = Readonly<Record<string, string>>;

const check = (description: string, more: object = {}): Category<Wrong>["checks"][number] => ({
  description,
  severity: "error",
  problems: (wrong) => (wrong[description] === undefined ? [] : [wrong[description]]),
  ...more,
});

const throwing = (error: Error): Category<Wrong>["checks"] => [
  check("a", {
    problems: () => {
      throw error;
    },
  }),
];

interface Ran {
  readonly results: readonly string[];
  readonly success: boolean;
  readonly looks: number;
  readonly elapsed: number;
}

/** @param wrong by the number of the look: the last one stays */
async function run(checks: Category<Wrong>["checks"], waitMs: number, ...wrong: Wrong[]): Promise<Ran> {
  const clock = new VirtualClock();
  const results: string[] = [];
  let looks = 0;
  const done = runChecks([{ name: "c", checks }], {
    look: () => wrong[Math.min(looks++, wrong.length - 1)] ?? {},
    clock,
    waitMs,
    onResult: ({ description, result, problems }: CheckResult) =>
      results.push([description, result, ...problems].join(" ")),
    onRetry: () => undefined,
  });
  const over = { yet: false };
  const end = (): void => void (over.yet = true);
  void done.then(end, end);
  const begun = clock.now();
  for (let i = 0; i < 1_000 && !over.yet; i++) {
    await new Promise(setImmediate);
    if (!over.yet) clock.advance(RETRY_EVERY_MS / 10);
  }
  return { results, success: await done, looks, elapsed: clock.now() - begun };
}

describe("runChecks", () => {
  it("asks all, and fails for errors only", async () => {
    const checks = [check("a"), check("b", { severity: "warning" }), check("c")];
    const warned = await run(checks, 0, { b: "odd" });
    assert.deepEqual([warned.results, warned.success], [["a success", "b warning odd", "c success"], true]);
    const failed = await run(checks, 0, { a: "bad" });
    assert.deepEqual([failed.results, failed.success], [["a error bad", "b success", "c success"], false]);
  });

  it("asks nothing more once something fails that all else needs", async () => {
    const { results, success } = await run([check("a", { fatal: true }), check("b")], 0, { a: "gone" });
    assert.deepEqual([results, success], [["a error gone"], false]);
  });

  it("looks again at what may come true, until it does", async () => {
    const { results, success, looks } = await run(
      [check("a", { retry: true }), check("b")],
      60_000,
      { a: "1", b: "1" },
      { a: "2" },
      {},
    );
    assert.deepEqual([results, success, looks], [["a success", "b success"], true, 3]);
  });

  it("waits for all together no longer than it is told, and not for what cannot come true", async () => {
    const checks = [check("a", { retry: true }), check("b", { retry: true }), check("c")];
    const { results, elapsed, looks } = await run(checks, 2_200, { a: "x", b: "y", c: "z" });
    assert.deepEqual(results, ["a error x", "b error y", "c error z"]);
    assert.ok(elapsed >= 2_200 && elapsed < 2_300, `${elapsed}`);
    assert.equal(looks, 6);
    const once = await run([check("c")], 60_000, { c: "z" });
    assert.deepEqual([once.looks, once.elapsed], [1, 0]);
  });

  it("takes a failure for what is wrong, and a defect for a defect", async () => {
    const failed = await run(throwing(new Failure("nobody there", "start it\nor not")), 0, {});
    assert.deepEqual(failed.results, ["a error nobody there start it or not"]);
    await assert.rejects(run(throwing(new TypeError("oops")), 0, {}), TypeError);
  });
});
