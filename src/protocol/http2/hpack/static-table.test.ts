import assert from "node:assert/strict";
import { it } from "node:test";

import { STATIC_COUNT, STATIC_FIELDS, STATIC_NAME_INDEX } from "./static-table.ts";

const field = (index: number): string[] => STATIC_FIELDS.slice(2 * index - 2, 2 * index);

it("the static table is the RFC's, by its corners", () => {
  assert.equal(STATIC_COUNT, 61);
  assert.deepEqual(field(1), [":authority", ""]);
  assert.deepEqual(field(8), [":status", "200"]);
  assert.deepEqual(field(14), [":status", "500"]);
  assert.deepEqual(field(16), ["accept-encoding", "gzip, deflate"]);
  assert.deepEqual(field(33), ["date", ""]);
  assert.deepEqual(field(61), ["www-authenticate", ""]);
});

it("a name is known by its first index", () => {
  assert.equal(STATIC_NAME_INDEX.get(":status"), 8);
  assert.equal(STATIC_NAME_INDEX.get(":path"), 4);
  assert.equal(STATIC_NAME_INDEX.get("set-cookie"), 55);
  assert.equal(STATIC_NAME_INDEX.get("x-other"), undefined);
});
