import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";

import { findToken, TOKEN_FILES_MAX, tokenFolder, writeTokenFile } from "./token-file.ts";

const HERE = { host: "127.0.0.1", port: 4180 };
const TOKEN = "a".repeat(43);
const OTHER = "b".repeat(43);
/** Of nobody. */
const STRANGER = 65_534;

const asRoot = { skip: process.geteuid?.() === 0 ? false : "gives files to another user, which root alone may" };

let home = "";
let folder = "";
beforeEach(() => {
  home = fs.mkdtempSync(join(tmpdir(), "heddle-home-"));
  folder = tokenFolder({ HOME: home });
});
afterEach(() => fs.rmSync(home, { recursive: true }));

const mode = (path: string): string => (fs.statSync(path).mode & 0o777).toString(8);

function find(host: string, port = 4180, local = true): string {
  const found = findToken(folder, { host, port, local });
  return found.token ?? found.problem;
}

describe("the folder of API tokens", () => {
  it("is in HOME, or where the system says that the user is at home", () => {
    assert.equal(folder, join(home, ".heddle", "api"));
    const own = join(userInfo().homedir, ".heddle", "api");
    const temporary = join(home, `heddle-${process.geteuid?.()}`, "api");
    for (const wrong of [undefined, "", "relative", join(home, "nothing")]) {
      const found = tokenFolder({ ...(wrong === undefined ? {} : { HOME: wrong }), TMPDIR: home });
      assert.ok(found === own || found === temporary, found);
    }
  });

  it("is not in a home folder of somebody else, which sudo may leave in HOME", asRoot, () => {
    fs.chownSync(home, STRANGER, STRANGER);
    assert.ok(!tokenFolder({ HOME: home }).startsWith(home));
  });
});

describe("an API token's file", () => {
  it("is for its owner alone, and is found by the address that was reached", () => {
    const { file } = writeTokenFile(folder, HERE, TOKEN);
    assert.deepEqual([mode(file), mode(folder), mode(join(home, ".heddle"))], ["600", "700", "700"]);
    assert.match(basename(file), /^127\.0\.0\.1-4180-[0-9a-f]{8}\.token$/);
    assert.deepEqual(fs.readdirSync(folder), [basename(file)]);
    for (const host of ["127.0.0.1", "::ffff:127.0.0.1"]) assert.equal(find(host), TOKEN);
    for (const [host, port] of [
      ["127.0.0.1", 4181],
      ["127.0.0.2", 4180],
      ["::1", 4180],
      ["10.0.0.1", 4180],
    ] as const) {
      assert.match(find(host, port), /^there is no file .*\.token$/, `${host} may be anybody's`);
    }
  });

  it("of a control plane on all addresses is found by each of this machine, and by no other", () => {
    writeTokenFile(folder, { host: "0.0.0.0", port: 4180 }, TOKEN);
    assert.deepEqual([find("127.0.0.1"), find("10.0.0.1")], [TOKEN, TOKEN]);
    assert.match(find("::1"), /no file/);
    assert.match(find("10.0.0.1", 4180, false), /no file/);
    writeTokenFile(folder, { host: "::", port: 4180 }, OTHER);
    assert.match(find("10.0.0.1", 4180, false), /no file/);
    assert.equal(find("::1"), OTHER);
  });

  it("that is newer wins: what overlaps is left by a control plane that was killed", () => {
    const any = writeTokenFile(folder, { host: "::", port: 4180 }, OTHER);
    const { file } = writeTokenFile(folder, HERE, TOKEN);
    fs.utimesSync(any.file, 1_000, 1_000);
    fs.utimesSync(file, 2_000, 2_000);
    assert.equal(find("127.0.0.1"), TOKEN);
    fs.utimesSync(any.file, 3_000, 3_000);
    assert.equal(find("127.0.0.1"), OTHER);
  });

  it("replaces one that was left, and one that was left half written", () => {
    const { file } = writeTokenFile(folder, HERE, OTHER);
    fs.writeFileSync(`${file}.new`, "tor", { mode: 0o644 });
    writeTokenFile(folder, HERE, TOKEN);
    assert.deepEqual([find("127.0.0.1"), mode(file)], [TOKEN, "600"]);
    assert.equal(fs.existsSync(`${file}.new`), false);
  });

  it("is removed, unless it is another's by now", () => {
    const first = writeTokenFile(folder, HERE, OTHER);
    const second = writeTokenFile(folder, HERE, TOKEN);
    first.remove();
    assert.equal(find("127.0.0.1"), TOKEN);
    second.remove();
    second.remove();
    assert.deepEqual(fs.readdirSync(folder), []);
  });

  it("is not kept for ever: of those that are left the oldest go", () => {
    for (let port = 1; port <= TOKEN_FILES_MAX + 2; port++) {
      const { file } = writeTokenFile(folder, { host: "127.0.0.1", port }, TOKEN);
      fs.utimesSync(file, 1_000 + port, 1_000 + port);
    }
    fs.writeFileSync(join(folder, "note.txt"), "");
    const { file } = writeTokenFile(folder, HERE, TOKEN);
    const left = fs.readdirSync(folder);
    assert.equal(left.length, TOKEN_FILES_MAX + 1);
    assert.ok(left.includes(basename(file)) && left.includes("note.txt"));
    assert.match(find("127.0.0.1", 3), /no file/);
    assert.equal(find("127.0.0.1", 4), TOKEN);
  });

  const spoilt: Readonly<Record<string, [spoil: (file: string) => void, says: RegExp]>> = {
    "others can read": [(file) => fs.chmodSync(file, 0o640), /can be read by others .*mode 0640.*chmod 600 /],
    "has no token": [(file) => fs.writeFileSync(file, "short"), /holds no token$/],
    "has too long a token": [(file) => fs.writeFileSync(file, "x".repeat(5_000)), /holds no token$/],
    "has bytes that no header may have": [(file) => fs.writeFileSync(file, `${TOKEN}\n${TOKEN}`), /holds no token$/],
    "is a folder": [(file) => (fs.rmSync(file), fs.mkdirSync(file)), /is no file$/],
    "leads elsewhere": [(file) => (fs.rmSync(file), fs.symlinkSync("/etc/passwd", file)), /ELOOP/],
    "lies in a folder that others write to": [() => fs.chmodSync(folder, 0o777), /api can be written to by others/],
    "lies below a folder that others write to": [
      () => fs.chmodSync(join(home, ".heddle"), 0o770),
      /\.heddle can be written to by others .*mode 0770.*chmod 700 /,
    ],
  };
  for (const [name, [spoil, says]] of Object.entries(spoilt)) {
    it(`is refused if it ${name}`, () => {
      const { file } = writeTokenFile(folder, HERE, TOKEN);
      spoil(file);
      assert.match(find("127.0.0.1"), says);
      assert.ok(!find("127.0.0.1").includes(TOKEN));
    });
  }

  it("is refused if it, or its folder, is another user's", asRoot, () => {
    const { file } = writeTokenFile(folder, HERE, TOKEN);
    fs.chownSync(file, STRANGER, STRANGER);
    assert.match(find("127.0.0.1"), /\.token belongs to another user \(65534\)$/);
    fs.chownSync(file, 0, 0);
    fs.chownSync(folder, STRANGER, STRANGER);
    assert.match(find("127.0.0.1"), /api belongs to another user/);
    assert.throws(() => writeTokenFile(folder, HERE, OTHER), /api belongs to another user/);
    assert.equal(fs.readFileSync(file, "utf8"), `${TOKEN}\n`);
  });

  it("is not written to a folder that others write to, or that is none", () => {
    writeTokenFile(folder, HERE, TOKEN).remove();
    fs.chmodSync(folder, 0o775);
    assert.throws(() => writeTokenFile(folder, HERE, TOKEN), /can be written to by others than its owner/);
    fs.rmSync(folder, { recursive: true });
    fs.symlinkSync(home, folder);
    assert.throws(() => writeTokenFile(folder, HERE, TOKEN), /api is no folder/);
  });
});
