import assert from "node:assert/strict";
import { stripVTControlCharacters } from "node:util";
import { describe, it } from "node:test";

import { runCommandLine } from "../main.ts";
import { capturedIo, runCaptured } from "../testing/captured-io.ts";
import { FakeControl } from "../testing/fake-control.ts";

/** A control plane that is not ready, and cannot say anything about itself but its version. */
const STARTING = { "GET /api/v1/version": { body: { version: "0.0.0", xds: "127.0.0.1:1" } } };

describe("heddle check", () => {
  it("shows on a terminal what it waits for, and takes it away again", async (context) => {
    const control = await FakeControl.start(STARTING);
    context.after(() => control.close());
    const io = capturedIo({ HEDDLE_CONTROL: control.address }, true);
    assert.equal(await runCommandLine(["check", "--wait", "600ms"], io), 1);
    assert.match(stripVTControlCharacters(io.stderr.text), /^[-/|\\] control plane is ready: \/ready of its API/m);
    assert.ok(io.stderr.text.endsWith("\r\x1b[0J"));
    assert.ok(io.stdout.text.includes("\x1b[32m√\x1b[39m can query the control plane's API\n"));
    assert.ok(io.stdout.text.includes("\x1b[31m×\x1b[39m control plane is ready\n"));
  });

  it("is silent elsewhere, and has a line for each answer that is none", async (context) => {
    const control = await FakeControl.start(STARTING);
    context.after(() => control.close());
    const { code, stdout, stderr } = await runCaptured(["check", "--wait", "0s"], { HEDDLE_CONTROL: control.address });
    assert.deepEqual([code, stderr], [1, ""]);
    assert.match(stdout, /^× certificate config is valid\n {4}what answers at \S+ is not Heddle's control plane/m);
    assert.match(stdout, /^‼ control plane serves xDS\n {4}nothing accepts connections at 127\.0\.0\.1:1 from here/m);
  });

  it("looks at the machine without a control plane, and at nothing that is asked of one then", async () => {
    const { stdout, stderr } = await runCaptured(["check", "--pre", "-o", "json"], { HEDDLE_CONTROL: "127.0.0.1:1" });
    const { categories } = JSON.parse(stdout) as { categories: { categoryName: string; checks: object[] }[] };
    assert.deepEqual(
      categories.map(({ categoryName, checks }) => [categoryName, checks.length]),
      [["pre-heddle-setup", 4]],
    );
    assert.equal(stderr, "");
    const { code } = await runCaptured(["check", "--pre", "-n", "shop"]);
    assert.equal(code, 2);
  });
});
