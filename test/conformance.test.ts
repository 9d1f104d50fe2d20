/** h2spec against real sidecars, as `npm run conformance` runs it. */
import assert from "node:assert/strict";
import { spawnSync, type SpawnSyncReturns } from "node:child_process";
import { join } from "node:path";
import { describe, it } from "node:test";

import { readVerdict, shortfall } from "../scripts/conformance/h2spec.ts";
import { needs } from "./support/peers.ts";
import { root } from "./support/up.ts";

const conformance = (args: readonly string[], env: NodeJS.ProcessEnv): SpawnSyncReturns<string> =>
  spawnSync(process.execPath, [join(root, "scripts/conformance.ts"), ...args], { encoding: "utf8", env });

describe("npm run conformance", () => {
  it("passes every case of h2spec's list, on both listeners", needs("go"), () => {
    const { status, stdout, stderr } = conformance([], process.env);
    assert.equal(status, 0, `${stdout}${stderr}`);
    for (const listener of ["inbound", "outbound"]) {
      for (const [part, cases] of Object.entries({ generic: 44, http2: 95, hpack: 7 })) {
        assert.match(stdout, new RegExp(`^${listener} +${part} +${cases} +${cases} +0 +0$`, "m"));
      }
    }
  });

  it("says that it has not run where there is no Go, and ends well", () => {
    const { status, stdout } = conformance([], { ...process.env, PATH: "" });
    assert.equal(status, 0);
    assert.match(stdout, /^NOT RUN: .* no Go toolchain/);
  });

  it("explains itself", () => {
    assert.match(conformance(["--help"], process.env).stdout, /^Usage: npm run conformance/);
  });
});

const output = (numbers: string): string => `1 ✔\n\nFailures: \n\n6. Frames × 1\nFinished in 0.1 seconds\n${numbers}\n`;

const verdict = (numbers: string): string => shortfall(readVerdict("hpack", output(numbers)));

describe("a verdict of h2spec", () => {
  it("is good only if every case ran and passed", () => {
    assert.equal(verdict("7 tests, 7 passed, 0 skipped, 0 failed"), "");
    assert.match(verdict("7 tests, 6 passed, 0 skipped, 1 failed"), /Failures:.*6\. Frames × 1$/s);
    assert.match(verdict("7 tests, 6 passed, 1 skipped, 0 failed"), /1 cases were skipped/);
    assert.match(verdict("6 tests, 6 passed, 0 skipped, 0 failed"), /6 cases ran, expected 7/);
  });

  it("is missed where h2spec has not come to its end", () => {
    assert.throws(() => readVerdict("hpack", "Error: connect: connection refused"), /came to no result/);
  });
});
