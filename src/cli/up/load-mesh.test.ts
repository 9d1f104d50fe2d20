import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { until } from "../../../test/support/until.ts";
import { loadMesh } from "./load-mesh.ts";
import { watchFile } from "./watch-file.ts";

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "heddle-test-"));
  file = join(folder, "mesh.yaml");
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("loadMesh", () => {
  it("gives the mesh, or every problem as file:line:column", async () => {
    writeFileSync(file, "services:\n  price:\n    run: node price.ts\n");
    const good = await loadMesh(file);
    assert.deepEqual([good.mesh?.services.length, good.lines], [1, []]);
    writeFileSync(file, "services:\n  price:\n    port: eighty\n    colour: red\n");
    const bad = await loadMesh(file);
    assert.equal(bad.mesh, undefined);
    assert.ok(bad.lines.length >= 2);
    assert.ok(
      bad.lines.every((line) => /^.*mesh\.yaml:\d+:\d+: error: /.test(line)),
      bad.lines.join("\n"),
    );
  });

  it("keeps the keyboard's name free", async () => {
    writeFileSync(file, "services:\n  price:\n    run: node price.ts\n    instances: [{ name: keyboard }]\n");
    const { mesh, lines } = await loadMesh(file);
    assert.equal(mesh, undefined);
    assert.match(lines[0] ?? "", /"keyboard" is that of the sidecar/);
  });
});

describe("watchFile", () => {
  it("tells of a write, and of another file put in its place, once each", async () => {
    writeFileSync(file, "1");
    let changes = 0;
    const unwatch = watchFile(file, () => changes++);
    try {
      writeFileSync(file, "2");
      writeFileSync(file, "3");
      await until("the write is told", () => changes === 1);
      writeFileSync(`${file}.new`, "4");
      renameSync(`${file}.new`, file);
      await until("the replacement is told", () => changes === 2);
      writeFileSync(join(folder, "other"), "5");
    } finally {
      unwatch();
    }
    assert.equal(changes, 2);
  });
});
