import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Refusals, REFUSALS_MAX } from "./refusals.ts";
import { CLUSTER, ENDPOINTS } from "./resource-types.ts";

const AT = new Date(0);

function shown(refusals: Refusals): string[] {
  return refusals.all.map(({ type, name, message }) => `${type} ${name}: ${message}`);
}

describe("Refusals", () => {
  it("has of each resource what was said about it", () => {
    const refusals = new Refusals();
    const message = 'Cluster "a": no; really; Cluster "c": Cluster "x": what';
    refusals.refuse(CLUSTER, ["a", "b", "c"], message, AT);
    assert.deepEqual(shown(refusals), ["Cluster a: no; really", 'Cluster c: Cluster "x": what']);
  });

  it("has all resources of a response when the client names none, as other clients do", () => {
    const refusals = new Refusals();
    refusals.refuse(CLUSTER, ["a", "b"], "connect_timeout is missing", AT);
    assert.deepEqual(shown(refusals), [
      "Cluster a: connect_timeout is missing",
      "Cluster b: connect_timeout is missing",
    ]);
  });

  it("forgets what is accepted, of that type only", () => {
    const refusals = new Refusals();
    refusals.refuse(CLUSTER, ["a", "b"], "no", AT);
    refusals.refuse(ENDPOINTS, ["a", "b"], "no", AT);
    refusals.settle(CLUSTER, ["a", "unknown"]);
    assert.deepEqual(shown(refusals), ["Cluster b: no", "ClusterLoadAssignment a: no", "ClusterLoadAssignment b: no"]);
    refusals.settle(ENDPOINTS, undefined);
    assert.deepEqual(shown(refusals), ["Cluster b: no"]);
    refusals.refuse(CLUSTER, ["a", "b"], 'Cluster "a": no', AT);
    assert.deepEqual(shown(refusals), ["Cluster a: no"], "b was in the response and not complained of");
  });

  it("is bounded: of too many the newest stay", () => {
    const refusals = new Refusals();
    for (let i = 0; i <= REFUSALS_MAX; i++) refusals.refuse(CLUSTER, [`c${i}`], "x".repeat(5_000), AT);
    assert.equal(refusals.all.length, REFUSALS_MAX);
    assert.deepEqual([refusals.all[0]?.name, refusals.all.at(-1)?.name], ["c1", `c${REFUSALS_MAX}`]);
    assert.equal(refusals.all[0]?.message.length, 2_000);
  });
});
