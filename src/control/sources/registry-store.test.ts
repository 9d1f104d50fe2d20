import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";

import { until } from "../../../test/support/until.ts";
import { VirtualClock } from "../../net/virtual-clock.ts";
import { recordingLogger } from "../testing/logger.ts";
import type { Registration } from "./registration.ts";
import { RegistryStore, STATE_BYTES_MAX, WRITE_DELAY_MS, WRITE_RETRY_MS } from "./registry-store.ts";
import { registration } from "../testing/registration.ts";

let parent = "";
let folder = "";
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "heddle-store-"));
  folder = join(parent, "deep", "state");
});
afterEach(() => rm(parent, { recursive: true, force: true }));

function setUp(registrations: Registration[] = []) {
  const clock = new VirtualClock();
  const { logger, lines } = recordingLogger();
  return {
    clock,
    lines,
    registrations,
    store: new RegistryStore({ folder, clock, logger, registrations: () => registrations }),
  };
}

const written = async (): Promise<number> =>
  (JSON.parse(await readFile(join(folder, "workloads.json"), "utf8")) as { workloads: unknown[] }).workloads.length;

describe("RegistryStore", () => {
  it("gives back what it wrote, in files for this user only", async () => {
    const first = setUp([registration("a", { admin: "127.0.0.1:1", labels: { x: "y" } }), registration("b")]);
    assert.deepEqual(await first.store.load(), []);
    first.store.changed();
    await first.store.close();
    assert.deepEqual(await readdir(folder), ["workloads.json"]);
    assert.equal((await stat(folder)).mode & 0o777, 0o700);
    assert.equal((await stat(join(folder, "workloads.json"))).mode & 0o777, 0o600);
    assert.deepEqual(await setUp().store.load(), first.registrations);
    assert.equal(first.clock.pending, 0);
  });

  it("gathers changes and writes soon", async () => {
    const { clock, store, registrations } = setUp();
    await store.load();
    registrations.push(registration("a"));
    store.changed();
    registrations.push(registration("b"));
    store.changed();
    assert.equal(clock.pending, 1);
    clock.advance(WRITE_DELAY_MS);
    await until("it is written", () =>
      written().then(
        (count) => count === 2,
        () => false,
      ),
    );
    await store.close();
    // Nothing has changed since, so nothing is written.
    await rm(join(folder, "workloads.json"));
    await store.close();
    assert.deepEqual(await readdir(folder), []);
  });

  it("moves a file aside that it does not understand", async () => {
    const good = JSON.stringify({ version: 1, workloads: [{ ...registration("a"), weight: 0 }] });
    for (const [text, reason] of [
      ["", /JSON/],
      ["{", /JSON/],
      ["null", /expected version 1/],
      ['{"version":2}', /expected version 1/],
      ['{"version":1,"workloads":{}}', /expected a list/],
      ['{"version":1,"workloads":[null]}', /workloads\[0\]/],
      [good, /workloads\[0\]\.weight: expected a whole number/],
    ] as const) {
      await mkdir(folder, { recursive: true });
      await writeFile(join(folder, "workloads.json"), text);
      const { store, lines } = setUp();
      assert.deepEqual(await store.load(), []);
      assert.deepEqual(await readdir(folder), ["workloads.json.corrupt"]);
      assert.equal(await readFile(join(folder, "workloads.json.corrupt"), "utf8"), text);
      assert.match(lines[0] ?? "", reason);
      assert.match(lines[0] ?? "", /WARN .*moved aside/);
    }
  });

  it("moves a file aside that is too large, without reading it", async () => {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "workloads.json"), "");
    await truncate(join(folder, "workloads.json"), STATE_BYTES_MAX + 1);
    const { store, lines } = setUp();
    assert.deepEqual(await store.load(), []);
    assert.match(lines[0] ?? "", /it has 268435457 bytes/);
  });

  it("warns when it cannot write, and tries again", async () => {
    const { clock, lines, store } = setUp([registration("a")]);
    await store.load();
    await rm(folder, { recursive: true });
    store.changed();
    clock.advance(WRITE_DELAY_MS);
    await until("a warning", () => lines.length > 0);
    assert.match(lines[0] ?? "", /cannot be written/);
    await until("the next try is set", () => clock.pending === 1);
    await mkdir(folder);
    clock.advance(WRITE_RETRY_MS);
    await until("it is written", () =>
      written().then(
        (count) => count === 1,
        () => false,
      ),
    );
    await store.close();
  });

  it("overcomes what a crash left behind", async () => {
    const { store } = setUp([registration("a")]);
    await store.load();
    await writeFile(join(folder, "workloads.json.new"), "torn");
    await chmod(join(folder, "workloads.json.new"), 0o400);
    store.changed();
    await store.close();
    assert.equal(await written(), 1);
    assert.deepEqual(await readdir(folder), ["workloads.json"]);
  });

  it("rejects a folder that is none", async () => {
    await writeFile(join(parent, "deep"), "a file");
    await assert.rejects(setUp().store.load(), { code: "ENOTDIR" });
  });
});
