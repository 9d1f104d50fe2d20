import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { FakeHost, settle, type FakeProcess } from "../testing/fake-host.ts";
import { HEALTHY_AFTER_MS, RESTART_DELAY_MAX_MS, RestartDelay } from "./restart.ts";
import { Supervised } from "./supervised.ts";

const program = { command: ["serve"], directory: "/", env: {}, stdio: "lines" } as const;

describe("RestartDelay", () => {
  it("doubles from 100 ms to 10 s, and starts again after a healthy run", () => {
    const delay = new RestartDelay();
    const delays = Array.from({ length: 9 }, () => delay.afterRun(0));
    assert.deepEqual(delays, [100, 200, 400, 800, 1_600, 3_200, 6_400, RESTART_DELAY_MAX_MS, RESTART_DELAY_MAX_MS]);
    assert.equal(delay.afterRun(HEALTHY_AFTER_MS - 1), RESTART_DELAY_MAX_MS);
    assert.equal(delay.afterRun(HEALTHY_AFTER_MS), 100);
    assert.equal(delay.afterRun(0), 200);
  });
});

describe("Supervised", () => {
  let host: FakeHost;
  let exits: number;
  beforeEach(() => {
    host = new FakeHost();
    exits = 0;
  });

  function supervised(restart = true): Supervised {
    return new Supervised({
      name: "price-1",
      program,
      spawner: host.spawner,
      clock: host.clock,
      restart,
      onLine: (line) => host.log.line("price-1", line),
      onNotice: (line) => host.log.notice("price-1", line),
      onStart: () => undefined,
      onExit: () => exits++,
    });
  }

  function last(): FakeProcess {
    const process = host.processes.at(-1);
    assert.ok(process);
    return process;
  }

  it("starts again what ended, later each time, and says so", () => {
    const process = supervised();
    process.start();
    last().exit({ code: 3 });
    host.clock.advance(99);
    assert.equal(host.processes.length, 1);
    host.clock.advance(1);
    assert.equal(host.processes.length, 2);
    last().exit({ signal: "SIGKILL" });
    host.clock.advance(199);
    assert.equal(host.processes.length, 2);
    host.clock.advance(1);
    assert.equal(host.processes.length, 3);
    last().exit({ startError: "there is no program" });
    assert.deepEqual(host.lines, [
      "price-1 exited with code 3; it is started again in 100 ms",
      "price-1 was ended by SIGKILL; it is started again in 200 ms",
      "price-1 could not be started: there is no program; it is started again in 400 ms",
    ]);
    assert.equal(exits, 3);
  });

  it("asks a process to end, and kills it only after the grace", async () => {
    const process = supervised();
    process.start();
    const stopped = process.stop(3_000);
    host.clock.advance(2_999);
    assert.deepEqual(last().signals, ["SIGTERM"]);
    host.clock.advance(1);
    assert.deepEqual(last().signals, ["SIGTERM", "SIGKILL"]);
    await stopped;
    assert.equal(host.clock.pending, 0);
    assert.equal(host.processes.length, 1);
  });

  it("leaves no timer when a process ends in time", async () => {
    const process = supervised();
    process.start();
    const stopped = process.stop(3_000);
    last().exit({ code: 0 });
    await stopped;
    await settle();
    assert.equal(host.clock.pending, 0);
    assert.deepEqual(host.lines, []);
  });

  it("does not start again what was stopped while it waited", async () => {
    const process = supervised();
    process.start();
    last().exit({ code: 1 });
    await process.stop(3_000);
    host.clock.advance(60_000);
    process.start();
    assert.equal(host.processes.length, 1);
  });

  it("leaves a program alone that is not to be restarted", () => {
    supervised(false).start();
    last().exit({ code: 1 });
    host.clock.advance(60_000);
    assert.equal(host.processes.length, 1);
    assert.deepEqual(host.lines, []);
  });
});
