import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { type Place, WaitList } from "./wait-list.ts";

describe("WaitList", () => {
  it("serves in order whatever leaves from anywhere", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("push" as const) }),
      fc.record({ kind: fc.constant("shift" as const) }),
      fc.record({ kind: fc.constant("leave" as const), which: fc.nat(200) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const list = new WaitList<number>();
        const places: Place<number>[] = [];
        let model: number[] = [];
        for (const next of steps) {
          if (next.kind === "push") {
            model.push(places.length);
            places.push(list.push(places.length));
          } else if (next.kind === "shift") {
            assert.equal(list.shift(), model.shift());
          } else if (places.length > 0) {
            const which = next.which % places.length;
            places[which]?.leave();
            model = model.filter((item) => item !== which);
          }
          assert.equal(list.length, model.length);
        }
        assert.deepEqual(list.takeAll(), model);
        assert.equal(list.length, 0);
      }),
    );
  });
});
