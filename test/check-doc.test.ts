/** docs/check.md has a section for each check, and none besides; hints lead there. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";

import { MESH, PRE } from "../src/cli/check/categories.ts";
import { hintOf } from "../src/cli/check/check.ts";
import { root } from "./support/up.ts";

const text = readFileSync(join(root, "docs", "check.md"), "utf8");

describe("docs/check.md", () => {
  it("has the categories and checks in the order in which they are asked", () => {
    const headings = [...text.matchAll(/^##+ (.+)$/gm)].map(([, heading]) => heading);
    const expected = [...MESH, ...PRE].flatMap(({ name, checks }) => [name, ...checks.map((one) => one.description)]);
    assert.deepEqual(headings, expected);
  });

  it("says something about each", () => {
    for (const section of text.split(/^### /m).slice(1)) {
      assert.ok(section.split("\n").slice(1).join(" ").replace(/## .*/, "").trim().length > 40, section);
    }
  });

  it("is where the hints lead", () => {
    const hints = [...MESH, ...PRE].flatMap(({ checks }) => checks.map(hintOf));
    assert.equal(new Set(hints).size, hints.length);
    assert.ok(hints.includes("docs/check.md#can-query-the-control-planes-api"));
    assert.ok(hints.includes("docs/check.md#trust-anchors-are-valid-for-at-least-60-days"));
  });

  it("says the numbers that the code has", async () => {
    const { DAYS_LEFT_MIN } = await import("../src/cli/check/identity.ts");
    const { LIFE_LEFT_MIN } = await import("../src/cli/check/data-plane.ts");
    const { check } = await import("../src/cli/commands/check.ts");
    assert.ok(text.includes(`at least ${DAYS_LEFT_MIN} days`));
    assert.ok(text.includes(`less than ${LIFE_LEFT_MIN * 100} % left`));
    assert.ok(text.includes(`asked again for ${check.flags["wait"]?.default?.replace("s", " s")}`));
  });
});
