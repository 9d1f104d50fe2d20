import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { until } from "../../../test/support/until.ts";
import { isAlive } from "../testing/alive.ts";
import { describeExit, spawnerWith, type ProcessExit, type Program, type RunningProcess } from "./process.ts";
import { Watchdog } from "./watchdog.ts";

describe("spawned programs", () => {
  let watchdog: Watchdog;
  let lines: string[];
  let exit: ProcessExit | undefined;
  beforeEach(() => {
    watchdog = new Watchdog();
    lines = [];
    exit = undefined;
  });
  afterEach(() => watchdog.close());

  function start(command: readonly string[], directory = "/"): RunningProcess {
    const program: Program = { command, directory, env: { PATH: process.env["PATH"], WORD: "hello" }, stdio: "lines" };
    return spawnerWith(watchdog)(program, {
      onLine: (line) => lines.push(line),
      onExit: (ended) => {
        assert.equal(exit, undefined);
        exit = ended;
      },
    });
  }

  it("give the lines of both streams and their exit code", async () => {
    start(["/bin/sh", "-c", 'echo "$WORD"; echo error >&2; exit 3']);
    await until("it exits and its lines are read", () => exit !== undefined && lines.length === 2);
    assert.deepEqual([...lines].sort(), ["error", "hello"]);
    assert.deepEqual(exit, { code: 3, signal: null, startError: "" });
  });

  it("take signals as a group, with what they started", async () => {
    const running = start(["/bin/sh", "-c", "sleep 60 & echo $!; wait"]);
    await until("it has started another", () => lines.length === 1);
    const grandchild = Number(lines[0]);
    running.signal("SIGTERM");
    await until("both are gone", () => exit !== undefined && !isAlive(grandchild));
    assert.equal(exit?.signal, "SIGTERM");
    running.signal("SIGTERM");
  });

  it("leave nothing behind when they end by themselves", async () => {
    start(["/bin/sh", "-c", "trap '' TERM; sleep 60 >/dev/null & echo $!"]);
    await until("it ended", () => exit !== undefined && lines.length === 1);
    await until("what it left behind is gone", () => !isAlive(Number(lines[0])));
  });

  it("say why they cannot be started", async () => {
    for (const [command, directory, reason] of [
      [["no-such-program"], "/", /no program "no-such-program"/],
      [["/bin/sh"], "/no/such/folder", /no folder \/no\/such\/folder/],
      [["/etc/passwd"], "/", /may not be executed/],
    ] as const) {
      exit = undefined;
      start(command, directory);
      await until("it failed", () => exit !== undefined);
      assert.match(describeExit(exit as unknown as ProcessExit), reason);
    }
  });
});

describe("describeExit", () => {
  it("tells the ways to end apart", () => {
    assert.equal(describeExit({ code: 1, signal: null, startError: "" }), "exited with code 1");
    assert.equal(describeExit({ code: null, signal: "SIGSEGV", startError: "" }), "was ended by SIGSEGV");
  });
});
