/** docs/defences.md against the code: each constant is where it says, with that value, and each test exists. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";

import { root } from "./support/up.ts";

const read = (path: string): string => readFileSync(join(root, path), "utf8");

describe("docs/defences.md", () => {
  const row = /^\| (.+?) +\| .+ \| `(\w+)( =|:) (.+?)` +\| `(.+?)` +\| `(.+?)` +\|$/gm;
  const rows = [...read("docs/defences.md").matchAll(row)];
  const lines = read("docs/defences.md").match(/^\|.*\.test\.ts` +\|$/gm) ?? [];

  it("has rows, and all of them can be read", () => {
    assert.ok(rows.length >= 30);
    assert.deepEqual(
      rows.map(([whole]) => whole),
      lines,
    );
  });

  for (const [, attack, name, sign, value, file, test] of rows) {
    it(`${attack}: ${name}`, () => {
      assert.ok(read(file as string).includes(`${name}${sign} ${value}`), `${name}${sign} ${value} is not in ${file}`);
      assert.ok(existsSync(join(root, test as string)), `there is no ${test}`);
    });
  }
});
