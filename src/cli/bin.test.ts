import assert from "node:assert/strict";
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { until } from "../../test/support/until.ts";
import { isAlive } from "./testing/alive.ts";

const ROOT = join(import.meta.dirname, "..", "..");

/** Old only until it has become the new one: the new one does not load this. */
function pretend(version: string, more: string): string {
  return `Object.defineProperty(process.versions, "node", { value: ${JSON.stringify(version)} });\n${more}\n`;
}

/** A package with a `main.ts` of our own, on a Node that says it is old. */
describe("bin/heddle", () => {
  let folder: string;
  let heddle: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "heddle-bin-"));
    heddle = join(folder, "bin", "heddle");
    cpSync(join(ROOT, "bin"), join(folder, "bin"), { recursive: true });
    mkdirSync(join(folder, "src", "cli"), { recursive: true });
    cpSync(join(import.meta.dirname, "lifeline.ts"), join(folder, "src", "cli", "lifeline.ts"));
    writeFileSync(
      join(folder, "src", "cli", "main.ts"),
      `import { endWithParent } from "./lifeline.ts";
       export function runProcess() {
         endWithParent();
         const [what, code] = process.argv.slice(2);
         if (what === "exit") process.exitCode = Number(code);
         if (what === "wait") {
           process.on("SIGINT", () => { console.log("interrupted"); process.exit(7); });
           setInterval(() => {}, 1000);
         }
         console.log(JSON.stringify({ pid: process.pid, args: process.argv.slice(2), node: process.versions.node }));
       }`,
    );
    writeFileSync(join(folder, "old.cjs"), pretend("20.1.0", "process.execve = undefined;"));
    writeFileSync(join(folder, "execve.cjs"), pretend("24.1.0", ""));
    writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  });
  after(() => rmSync(folder, { recursive: true }));

  function install(): void {
    const bin = join(folder, "node_modules", "node", "bin");
    mkdirSync(bin, { recursive: true });
    rmSync(join(bin, "node"), { force: true });
    symlinkSync(process.execPath, join(bin, "node"));
  }

  function start(preload: string, ...args: string[]): ChildProcess & { output: () => string } {
    const child = spawn(process.execPath, ["-r", join(folder, preload), heddle, ...args]);
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    return Object.assign(child, { output: () => output });
  }

  it("parses on Node 12: no syntax that is younger", () => {
    const { stdout } = spawnSync("grep", ["-nE", String.raw`\?\.|\?\?|=>|^import |\bconst\b|\blet\b|await`, heddle], {
      encoding: "utf8",
    });
    assert.equal(stdout, "");
  });

  it("says what it found and what it needs when there is no newer Node", () => {
    rmSync(join(folder, "node_modules"), { recursive: true, force: true });
    const { status, stderr } = spawnSync(process.execPath, ["-r", join(folder, "old.cjs"), heddle], {
      encoding: "utf8",
    });
    assert.equal(status, 1);
    assert.match(stderr, /needs Node 26 or newer, but this is Node 20\.1\.0[^]*npm ci/);
    assert.equal(stderr.trim().split("\n").length, 2);
  });

  for (const preload of ["old.cjs", "execve.cjs"]) {
    it(`goes on with the Node of the package: ${preload}`, () => {
      install();
      const args = ["-r", join(folder, preload), heddle, "exit", "3", "a b", ""];
      const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
      assert.deepEqual([status, stderr], [3, ""]);
      const { args: seen, node } = JSON.parse(stdout) as { args: string[]; node: string };
      assert.deepEqual([seen, node], [["exit", "3", "a b", ""], process.versions.node]);
    });

    it(`passes signals on: ${preload}`, async () => {
      install();
      const child = start(preload, "wait");
      await until("it runs", () => child.output().includes("pid"), 10_000);
      child.kill("SIGINT");
      await until("it ended", () => child.exitCode !== null && child.output().includes("interrupted"), 10_000);
      assert.equal(child.exitCode, 7);
    });

    it(`ends as what it runs ends: ${preload}`, async () => {
      install();
      const child = start(preload, "wait");
      await until("it runs", () => child.output().includes("pid"), 10_000);
      process.kill((JSON.parse(child.output()) as { pid: number }).pid, "SIGKILL");
      await until("it ended", () => child.signalCode !== null, 10_000);
      assert.equal(child.signalCode, "SIGKILL");
    });

    it(`leaves nothing running when it is killed: ${preload}`, async () => {
      install();
      const child = start(preload, "wait");
      await until("it runs", () => child.output().includes("pid"), 10_000);
      const { pid } = JSON.parse(child.output()) as { pid: number };
      child.kill("SIGKILL");
      await until("the other is gone", () => !isAlive(pid), 10_000);
    });
  }

  it("runs from another folder, through a link, on a new Node", () => {
    const link = join(folder, "link");
    symlinkSync(heddle, link);
    const { status, stdout } = spawnSync(process.execPath, [link, "exit", "0"], { encoding: "utf8", cwd: "/" });
    assert.equal(status, 0);
    assert.deepEqual((JSON.parse(stdout) as { args: string[] }).args, ["exit", "0"]);
  });
});
