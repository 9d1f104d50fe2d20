import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";

import { formatDiagnostic } from "../diagnostic.ts";
import { YAML_BYTES_MAX } from "../yaml-document.ts";
import { parseMeshBytes, readMeshFile } from "./read.ts";

const GOOD = "services: { price: { run: node price.ts } }\n";

async function messages(file: string): Promise<string[]> {
  return (await readMeshFile(file)).diagnostics.map(formatDiagnostic);
}

describe("readMeshFile", () => {
  let folder = "";
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "heddle-read-"));
  });
  after(() => rm(folder, { recursive: true }));

  it("reads a good file", async () => {
    const file = join(folder, "mesh.yaml");
    await writeFile(file, GOOD);
    assert.equal((await readMeshFile(file)).meshFile?.services[0]?.name, "price");
  });

  it("reads at most 1 MiB", async () => {
    const file = join(folder, "large.yaml");
    await writeFile(file, GOOD + "#".repeat(YAML_BYTES_MAX - GOOD.length));
    assert.ok((await readMeshFile(file)).meshFile);
    await writeFile(file, GOOD + "#".repeat(YAML_BYTES_MAX - GOOD.length + 1));
    const { meshFile, diagnostics } = await readMeshFile(file);
    assert.equal(meshFile, undefined);
    assert.match(diagnostics[0]?.message ?? "", /more than 1048576 bytes/);
  });

  it("says what is in the way of reading", async () => {
    assert.deepEqual(await messages(join(folder, "none.yaml")), [
      `${join(folder, "none.yaml")}:1:1: error: there is no such file`,
    ]);
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    assert.deepEqual(await messages(pipe), [`${pipe}:1:1: error: this is no ordinary file`]);
    assert.deepEqual(await messages(folder), [`${folder}:1:1: error: this is a folder (name the file in it)`]);
  });
});

describe("parseMeshBytes", () => {
  it("takes a byte order mark for what it is", () => {
    assert.deepEqual(parseMeshBytes(Buffer.from(`\uFEFF${GOOD}`), "m.yaml").diagnostics, []);
  });

  it("shows the first byte that is not UTF-8", () => {
    const cases: [Buffer, string][] = [
      [
        Buffer.from("name: caf\xe9 x\n", "latin1"),
        "m.yaml:1:10: error: the byte 0xe9 is not valid UTF-8 (save the file as UTF-8)",
      ],
      [
        Buffer.concat([Buffer.from("# äö\nx: "), Buffer.from([0xff])]),
        "m.yaml:2:4: error: the byte 0xff is not valid UTF-8 (save the file as UTF-8)",
      ],
      [Buffer.from("ä").subarray(0, 1), "m.yaml:1:1: error: the byte 0xc3 is not valid UTF-8 (save the file as UTF-8)"],
      [
        Buffer.from([0xff, 0xfe, 0x61, 0]),
        "m.yaml:1:1: error: the byte 0xff is not valid UTF-8 (save the file as UTF-8)",
      ],
    ];
    for (const [bytes, expected] of cases) {
      assert.deepEqual(parseMeshBytes(bytes, "m.yaml").diagnostics.map(formatDiagnostic), [expected]);
    }
  });
});
