import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { type LabelSelector, selects } from "./kubernetes.ts";

type Expression = LabelSelector["matchExpressions"][number];

const labels = { app: "price", tier: "" };

function of(matchLabels: Record<string, string>): boolean {
  return selects({ matchLabels, matchExpressions: [] }, labels);
}

describe("selects", () => {
  it("wants every label, exactly", () => {
    assert.equal(of({}), true);
    assert.equal(of({ app: "price", tier: "" }), true);
    assert.equal(of({ app: "Price" }), false);
    assert.equal(of({ app: "price", other: "x" }), false);
    assert.equal(of({ constructor: "x" }), false);
  });

  it("wants every expression, as Kubernetes reads them", () => {
    const cases: readonly (readonly [Expression["operator"], string, readonly string[], boolean])[] = [
      ["In", "app", ["cart", "price"], true],
      ["In", "app", ["cart"], false],
      ["In", "none", ["", "undefined"], false],
      ["NotIn", "app", ["price"], false],
      ["NotIn", "app", ["cart"], true],
      ["NotIn", "none", ["x"], true],
      ["Exists", "tier", [], true],
      ["Exists", "toString", [], false],
      ["DoesNotExist", "tier", [], false],
      ["DoesNotExist", "none", [], true],
    ];
    for (const [operator, key, values, expected] of cases) {
      const found = selects({ matchLabels: {}, matchExpressions: [{ key, operator, values }] }, labels);
      assert.equal(found, expected, `${key} ${operator} ${values.join()}`);
    }
  });
});
