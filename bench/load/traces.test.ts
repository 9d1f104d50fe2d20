import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";

import { findTools } from "../tools.ts";
import { parseGcTrace } from "./gc-trace.ts";
import { parseStrace } from "./strace.ts";

describe("V8's account of its collections", () => {
  it("adds up to what a program allocates", () => {
    const words = 1_000;
    const count = 20_000;
    // Arrays of small integers: eight bytes each, or four where V8 compresses pointers.
    const script = `let keep; for (let i = 0; i < ${count}; i++) keep = new Array(${words}).fill(i % 7);`;
    const text = execFileSync(process.execPath, ["--trace-gc", "--trace-gc-nvp", "-e", script], { encoding: "utf8" });
    const { allocatedBytes, pauseMs, collections } = parseGcTrace(text);
    const least = 4 * words * count;
    assert.ok(collections > 2, `${collections} collections`);
    assert.ok(allocatedBytes > 0.7 * least && allocatedBytes < 3 * least, `${allocatedBytes} of ${least} bytes`);
    assert.ok(pauseMs > 0);
  });

  it("is nothing where nothing is said", () => {
    assert.deepEqual(parseGcTrace("something else\n"), { allocatedBytes: 0, pauseMs: 0, collections: 0 });
  });
});

const TABLE = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 61.53    0.000016           2         8           sendto
 38.46    0.000010           1        10         3 recvfrom
------ ----------- ----------- --------- --------- ----------------
100.00    0.000026           1        18         3 total
`;

const strace = (await findTools()).path("strace");

describe("the table of strace", () => {
  it("is counted by system call, with and without errors", () => {
    const { calls, byName } = parseStrace(TABLE);
    assert.equal(calls, 18);
    assert.deepEqual(
      [...byName],
      [
        ["sendto", 8],
        ["recvfrom", 10],
      ],
    );
  });

  it("is refused when it is something else", () => {
    assert.throws(() => parseStrace("strace: attach: Operation not permitted"), /something else/);
  });

  it("is what strace really prints", { skip: strace === undefined ? "strace is not here" : false }, (context) => {
    const folder = mkdtempSync(join(tmpdir(), "heddle-strace-"));
    context.after(() => rmSync(folder, { recursive: true }));
    const file = join(folder, "counts");
    try {
      execFileSync(strace ?? "", ["-c", "-f", "-o", file, "cat", "/dev/null"], { stdio: "pipe" });
    } catch (error) {
      return context.skip(`strace may not trace here: ${(error as Error).message}`);
    }
    const { calls, byName } = parseStrace(readFileSync(file, "utf8"));
    assert.equal(byName.get("execve"), 1);
    assert.ok(calls > 5);
  });
});
