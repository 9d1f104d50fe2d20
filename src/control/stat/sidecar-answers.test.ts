import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { SidecarAnswers } from "./sidecar-answers.ts";

const price = { workload: "price-1", namespace: "default" };
const other = { workload: "price-1", namespace: "shop" };

describe("SidecarAnswers", () => {
  it("counts the rounds since the last answer", () => {
    const answers = new SidecarAnswers();
    assert.deepEqual(answers.of(price), { ready: null, unanswered: 0, failure: "" });
    answers.answered(price, true);
    answers.failed(price, "timeout");
    answers.failed(price, "unreachable");
    assert.deepEqual(answers.of(price), { ready: true, unanswered: 2, failure: "unreachable" });
    assert.deepEqual(answers.of(other), { ready: null, unanswered: 0, failure: "" });
    answers.answered(price, false);
    assert.deepEqual(answers.of(price), { ready: false, unanswered: 0, failure: "" });
  });

  it("forgets whom nobody asks any more", () => {
    const answers = new SidecarAnswers();
    answers.answered(price, true);
    answers.failed(other, "timeout");
    answers.keep([other]);
    assert.equal(answers.size, 1);
    assert.equal(answers.of(price).ready, null);
    assert.equal(answers.of(other).unanswered, 1);
  });
});
