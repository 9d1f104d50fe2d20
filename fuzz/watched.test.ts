import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";

import { fuzzWatched } from "./watched.ts";

const STUCK_WORKER = new URL("testing/stuck-worker.ts", import.meta.url);

function unwatched(): void {}

describe("a watched thread", () => {
  it("answers with what it has tried", async () => {
    const { runs, kinds, failure } = await fuzzWatched({ target: "grpc-text", seed: 1, milliseconds: 50 }, unwatched);
    assert.ok(runs > 10 && kinds > 1);
    assert.equal(failure, undefined);
  });

  it("is given up when nothing comes back from it, and its input is known", async () => {
    const order = { target: "stuck", seed: 1, milliseconds: 50 };
    const { runs, failure } = await fuzzWatched(order, unwatched, STUCK_WORKER, 500);
    assert.equal(runs, 2);
    assert.equal(Buffer.from(failure?.input ?? []).toString(), "evil");
    assert.match(failure?.error ?? "", /nothing came back within 500 ms/);
  });

  it("is ended when it holds too much memory, and its input is known", async () => {
    const order = { target: "hungry", seed: 1, milliseconds: 50 };
    const { failure } = await fuzzWatched(order, unwatched, STUCK_WORKER, 60_000);
    assert.equal(Buffer.from(failure?.input ?? []).toString(), "evil");
    assert.match(failure?.error ?? "", /memory/);
  });
});

function run(...args: string[]): { status: number | null; text: string } {
  const main = fileURLToPath(new URL("main.ts", import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    encoding: "utf8",
    timeout: 30_000,
  });
  return { status, text: stdout + stderr };
}

describe("npm run fuzz", () => {
  it("says what it can do", () => {
    const { status, text } = run("--help");
    assert.equal(status, 0);
    assert.match(text, /--seconds N[^]*--only TARGET[^]*--seed S[^]*http1-server/);
  });

  it("says what is wrong with its flags", () => {
    assert.deepEqual(run("--only", "nonsense"), {
      status: 2,
      text: 'there is no target "nonsense"; --help lists them\n',
    });
    assert.deepEqual(run("--seconds", "x"), { status: 2, text: '--seconds takes a whole number, not "x"\n' });
    assert.equal(run("--nonsense").status, 2);
  });

  it("tries a target and says how much it has tried", () => {
    const { status, text } = run("--seconds", "1", "--only", "detect", "--seed", "7");
    assert.equal(status, 0);
    assert.match(text, /^seed 7, 1 s for each target\ndetect +\d+ inputs, \d+ kinds of outcome\n$/);
  });
});
