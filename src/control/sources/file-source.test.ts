import assert from "node:assert/strict";
import { mkdir, mkdtemp, rename, rm, symlink, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";

import { until } from "../../../test/support/until.ts";
import { systemClock } from "../../net/clock.ts";
import { VirtualClock } from "../../net/virtual-clock.ts";
import { recordingLogger } from "../testing/logger.ts";
import { FileSource } from "./file-source.ts";
import { POLL_MS } from "./follow.ts";

const cleanups: (() => void | Promise<void>)[] = [];
let folder = "";
let file = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "heddle-file-"));
  file = join(folder, "mesh.yaml");
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
  await rm(folder, { recursive: true, force: true });
});

function text(...services: string[]): string {
  return `services:\n${services.map((name) => `  ${name}: { run: ${name} }\n`).join("")}`;
}

/** The names of the services in force. */
function names(source: FileSource): string {
  return source.meshFile?.services.map(({ name }) => name).join(" ") ?? "";
}

async function follow(path = file, clock = systemClock) {
  const { logger, lines } = recordingLogger();
  const seen = { changes: 0 };
  const source = new FileSource({ file: path, clock, logger, onChange: () => seen.changes++ });
  await source.start();
  cleanups.push(() => source.close());
  return { source, lines, seen };
}

describe("FileSource", () => {
  it("follows a file that is written again and again", async () => {
    await writeFile(file, text("a"));
    const { source, seen } = await follow();
    assert.equal(names(source), "a");
    assert.equal(source.status.state, "ok");
    assert.ok(Date.parse(source.status.loadedAt ?? "") > 0);
    await writeFile(file, text("a", "b"));
    await until("the change", () => names(source) === "a b");
    await writeFile(file, text("c"));
    await until("the next change", () => names(source) === "c");
    assert.ok(seen.changes >= 3);
  });

  it("survives editors that replace the file by renaming, many times", async () => {
    await writeFile(file, text("a"));
    const { source } = await follow();
    for (const name of ["b", "c", "d"]) {
      await writeFile(`${file}.tmp`, text(name));
      await rename(`${file}.tmp`, file);
      await until(name, () => names(source) === name);
    }
    await unlink(file);
    await until("it is missing", () => source.status.state === "bad");
    await writeFile(file, text("e"));
    await until("it is back", () => names(source) === "e");
  });

  it("keeps the last good state while the file is bad or missing, and says where it is bad", async () => {
    await writeFile(file, text("a"));
    const { source, lines, seen } = await follow();
    const { loadedAt } = source.status;
    await writeFile(file, "services:\n  a: { rum: x }\n");
    await until("it is bad", () => source.status.state === "bad");
    assert.equal(names(source), "a");
    assert.equal(source.status.loadedAt, loadedAt);
    assert.deepEqual(
      source.status.diagnostics.map(({ line, column, field }) => [line, column, field]),
      [
        [2, 3, "services.a.run"],
        [2, 8, "services.a.rum"],
      ],
    );
    assert.ok(lines.some((line) => line.includes(`ERROR ${file}:2:8: error: services.a.rum: unknown key "rum"`)));
    assert.ok(lines.some((line) => line.includes("the last good one stays in force")));
    assert.equal(seen.changes, 1);

    await unlink(file);
    await until("it is missing", () => source.status.diagnostics[0]?.message === "there is no such file");
    assert.equal(names(source), "a");

    await writeFile(file, text("b"));
    await until("it is good again", () => names(source) === "b");
    assert.deepEqual([source.status.state, source.status.diagnostics.length], ["ok", 0]);
  });

  it("begins without a file, or without its folder, and waits for it", async () => {
    const later = join(folder, "later", "mesh.yaml");
    const clock = new VirtualClock();
    const { source, lines } = await follow(later, clock);
    assert.equal(source.meshFile, undefined);
    assert.deepEqual([source.status.state, source.status.loadedAt], ["bad", null]);
    assert.ok(lines.some((line) => line.includes("not used until it is mended")));
    await mkdir(join(folder, "later"));
    await writeFile(later, text("a"));
    clock.advance(POLL_MS);
    await until("it is found", () => names(source) === "a");
  });

  it("sees what happens behind a symbolic link by looking each second", async () => {
    const real = join(folder, "elsewhere");
    await mkdir(real);
    await mkdir(join(folder, "linked"));
    await writeFile(join(real, "mesh.yaml"), text("a"));
    const link = join(folder, "linked", "mesh.yaml");
    await symlink(join(real, "mesh.yaml"), link);
    const clock = new VirtualClock();
    const { source } = await follow(link, clock);
    await writeFile(join(real, "mesh.yaml"), text("b"));
    clock.advance(POLL_MS);
    await until("the change", () => names(source) === "b");
  });

  it("does not report a file that was only touched by others in its folder", async () => {
    await writeFile(file, text("a"));
    const clock = new VirtualClock();
    const { source, seen } = await follow(file, clock);
    await writeFile(join(folder, "other"), "x");
    for (let i = 0; i < 5; i++) clock.advance(POLL_MS);
    await source.close();
    assert.equal(seen.changes, 1);
    assert.equal(clock.pending, 0);
  });
});
