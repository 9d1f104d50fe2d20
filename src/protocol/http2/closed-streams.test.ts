import assert from "node:assert/strict";
import { it } from "node:test";

import { CLOSED_STREAMS_MAX, ClosedStreams } from "./closed-streams.ts";

it("remembers how the last streams ended, and says when it has forgotten some", () => {
  const closed = new ClosedStreams();
  closed.add(1, true);
  closed.add(3, false);
  assert.deepEqual(
    [closed.endOf(1), closed.endOf(3), closed.endOf(5)],
    ["ended by the peer", "reset by us", "unknown"],
  );
  assert.equal(closed.incomplete, false);
  for (let i = 0; i < CLOSED_STREAMS_MAX; i++) closed.add(5 + 2 * i, true);
  assert.deepEqual([closed.endOf(1), closed.endOf(3)], ["unknown", "unknown"]);
  assert.equal(closed.endOf(5), "ended by the peer");
  assert.equal(closed.incomplete, true);
});
