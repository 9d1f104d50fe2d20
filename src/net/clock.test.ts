import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { describe, it } from "node:test";

import { systemClock } from "./clock.ts";

describe("the machine's clock", () => {
  it("does not take a very long time for a very short one", async () => {
    let over = 0;
    const timers = [2 ** 31, 99_999_999 * 3_600_000, Number.POSITIVE_INFINITY].map((delayMs) =>
      systemClock.after(delayMs, () => over++),
    );
    const { promise, resolve } = Promise.withResolvers<void>();
    // Timers that are due together are called in the order in which they were set.
    systemClock.after(2, resolve);
    // Not kept alive by the clock.
    const alive = setInterval(() => {}, 1_000);
    await promise;
    await setImmediate();
    clearInterval(alive);
    for (const timer of timers) timer.cancel();
    assert.equal(over, 0);
  });
});
