import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";

import { formatDiagnostic } from "./diagnostic.ts";
import { listFiles, readResources, RESOURCE_BYTES_MAX, RESOURCE_FILES_MAX } from "./read-resources.ts";
import { YAML_BYTES_MAX } from "./yaml-document.ts";

function strict(name: string): string {
  return `apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: { name: ${name} }\nspec: { selector: { matchLabels: { app: ${name} } } }\n`;
}

describe("readResources", () => {
  let folder: string;
  beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), "heddle-resources-"))));
  afterEach(() => rm(folder, { recursive: true }));

  async function write(files: Readonly<Record<string, string | Buffer>>): Promise<void> {
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  }

  it("reads files, and of folders YAML and JSON in the order of names, each once", async () => {
    await mkdir(join(folder, "p/deeper"), { recursive: true });
    await write({
      "z.yaml": strict("z"),
      "p/b.yml": strict("b"),
      "p/a.json": `{"apiVersion":"security.istio.io/v1","kind":"PeerAuthentication","metadata":{"name":"a"}}`,
      "p/notes.md": "not a document",
      "p/deeper/c.yaml": "not: read",
    });
    const paths = [join(folder, "z.yaml"), join(folder, "p"), join(folder, "p/b.yml")];
    const { resources, diagnostics, files, documents } = await readResources(paths, "shop");
    assert.deepEqual(diagnostics, []);
    assert.deepEqual(
      resources.all.map(({ origin }) => [origin.namespace, origin.name, origin.file]),
      [
        ["shop", "z", join(folder, "z.yaml")],
        ["shop", "a", join(folder, "p/a.json")],
        ["shop", "b", join(folder, "p/b.yml")],
      ],
    );
    assert.equal(documents, 3);
    assert.deepEqual(
      files,
      ["z.yaml", "p/", "p/a.json", "p/b.yml"].map((name) => join(folder, name)),
    );
  });

  it("gives nothing at all if anything is wrong, and says everything", async () => {
    await write({
      "good.yaml": strict("a"),
      "bad.yaml": strict("A"),
      "latin.yaml": Buffer.from("a: \xe9", "latin1"),
      "again.yaml": strict("a"),
    });
    const paths = ["good.yaml", "bad.yaml", "nowhere", "latin.yaml", "again.yaml"].map((name) => join(folder, name));
    const { resources, documents, diagnostics } = await readResources(paths, "shop", (file) =>
      file.slice(folder.length + 1),
    );
    assert.equal(resources.all.length, 0);
    assert.equal(documents, 2);
    assert.deepEqual(diagnostics.map(formatDiagnostic), [
      "nowhere:1:1: error: there is no such file",
      'bad.yaml:3:19: error: metadata.name: expected a name: small letters, digits, "-" and ".", at most 253 characters; found "A"',
      "latin.yaml:1:4: error: the byte 0xe9 is not valid UTF-8 (save the file as UTF-8)",
      'again.yaml:1:1: error: PeerAuthentication "a" of the namespace "shop" is already written at good.yaml:1 (leave one of them out, or name it otherwise)',
      'again.yaml:1:1: warning: spec.selector: "a" at good.yaml:1 is about the same workloads, and the first one holds (write both into one document)',
    ]);
  });

  it("takes an empty folder and no paths for no documents", async () => {
    for (const paths of [[], [folder]]) {
      const { resources, diagnostics } = await readResources(paths);
      assert.deepEqual([resources.all, diagnostics], [[], []]);
    }
  });

  it("lists a bounded number of files", async () => {
    const names = Array.from({ length: RESOURCE_FILES_MAX }, (_, i) => `${String(i).padStart(4, "0")}.yaml`);
    await write(Object.fromEntries(names.map((name) => [name, ""])));
    assert.deepEqual((await listFiles([folder])).diagnostics, []);
    await write({ "more.yaml": "" });
    const { diagnostics, files } = await readResources([folder]);
    assert.deepEqual(
      diagnostics.map(({ message }) => message),
      ["more than 1000 files, which are not read"],
    );
    assert.deepEqual(files, [join(folder, "more.yaml")]);
  });

  it("reads a bounded number of bytes", async () => {
    const comment = `#${"x".repeat(YAML_BYTES_MAX - 2)}\n`;
    const count = RESOURCE_BYTES_MAX / YAML_BYTES_MAX;
    for (let i = 0; i < count; i++) await write({ [`${String(i).padStart(2, "0")}.yaml`]: comment });
    assert.deepEqual((await readResources([folder])).diagnostics, []);
    await write({ "99.yaml": "#" });
    assert.deepEqual((await readResources([folder])).diagnostics.map(formatDiagnostic), [
      `${folder}/99.yaml:1:1: error: with this file the documents have more than 16777216 bytes, which are not read`,
    ]);
  });
});
