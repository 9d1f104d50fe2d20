import assert from "node:assert/strict";
import { it } from "node:test";

import * as fc from "fast-check";

import { StreamTable } from "./stream-table.ts";

it("holds what a Map would hold, through any sequence of additions and deletions", () => {
  const action = fc.tuple(
    fc.boolean(),
    fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 2 ** 30 - 1 })),
  );
  fc.assert(
    fc.property(fc.array(action, { maxLength: 300 }), (actions) => {
      const table = new StreamTable<{ readonly id: number }>();
      const model = new Map<number, { readonly id: number }>();
      for (const [add, number] of actions) {
        const id = 2 * number + 1;
        if (add && !model.has(id)) {
          const stream = { id };
          table.add(stream);
          model.set(id, stream);
        } else if (!add) {
          table.delete(id);
          model.delete(id);
        }
        assert.equal(table.size, model.size);
        assert.equal(table.get(id), model.get(id));
      }
      for (const [id, stream] of model) assert.equal(table.get(id), stream);
      assert.deepEqual(new Set(table.all()), new Set(model.values()));
    }),
  );
});

it("keeps one long-lived stream apart from the many that pass", () => {
  const table = new StreamTable<{ readonly id: number }>();
  const long = { id: 1 };
  table.add(long);
  for (let id = 3; id < 10_001; id += 2) {
    table.add({ id });
    if (id > 10) table.delete(id - 8);
    assert.equal(table.get(1), long);
  }
  assert.deepEqual(
    table
      .all()
      .map((stream) => stream.id)
      .sort((a, b) => a - b),
    [1, 9993, 9995, 9997, 9999],
  );
});
