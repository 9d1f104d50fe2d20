/** Golden files: what the command line prints, as reviewed. `UPDATE_GOLDEN=1 node --test …` writes them anew. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const FOLDER = join(import.meta.dirname, "..", "golden");

/** @param name the file, under src/cli/golden */
export function matchesGolden(name: string, actual: string): void {
  const file = join(FOLDER, name);
  if (process.env["UPDATE_GOLDEN"] === "1") {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, actual);
    return;
  }
  assert.equal(actual, readFileSync(file, "utf8"), `differs from golden/${name}; UPDATE_GOLDEN=1 writes it anew`);
}
