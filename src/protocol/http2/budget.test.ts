import assert from "node:assert/strict";
import { it } from "node:test";

import { VirtualClock } from "../../net/virtual-clock.ts";
import { Budget } from "./budget.ts";

it("a budget runs out, comes back with time, and never holds more than its capacity", () => {
  const clock = new VirtualClock();
  const budget = new Budget(3, 10, clock);
  assert.deepEqual([budget.spend(), budget.spend(), budget.spend(), budget.spend()], [true, true, true, false]);
  clock.advance(200);
  assert.deepEqual([budget.spend(), budget.spend()], [true, false]);
  clock.advance(60_000);
  assert.deepEqual([budget.spend(), budget.spend(), budget.spend(), budget.spend()], [true, true, true, false]);
});

it("what is given back can be spent again", () => {
  const budget = new Budget(1, 0, new VirtualClock());
  for (let i = 0; i < 100; i++) {
    assert.equal(budget.spend(), true);
    budget.giveBack();
  }
  budget.giveBack();
  assert.deepEqual([budget.spend(), budget.spend()], [true, false]);
});
