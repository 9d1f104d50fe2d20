import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { startProxyProcess } from "../../test/support/proxy-process.ts";
import { privateDirtyBytes } from "../../test/support/resident.ts";
import { until } from "../../test/support/until.ts";
import { VirtualClock } from "../net/virtual-clock.ts";
import { giveBackWhenIdle, LOOK_MS, LOOKS_MAX } from "./start-memory.ts";

/** Lets time pass look by look, since each look is answered in a later turn. */
async function pass(clock: VirtualClock, looks: number): Promise<void> {
  for (let i = 0; i < looks; i++) {
    clock.advance(LOOK_MS);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe("what starting took", () => {
  it("is given back once, as soon as nobody is connected", async () => {
    const clock = new VirtualClock();
    let open = 1;
    let given = 0;
    giveBackWhenIdle(
      clock,
      async () => open,
      () => given++,
    );
    await pass(clock, 3);
    assert.equal(given, 0);
    open = 0;
    await pass(clock, 1);
    assert.equal(given, 1);
    await pass(clock, LOOKS_MAX);
    assert.equal(given, 1);
    assert.equal(clock.pending, 0);
  });

  it("is kept if somebody is connected all the time", async () => {
    const clock = new VirtualClock();
    giveBackWhenIdle(
      clock,
      async () => 1,
      () => assert.fail("given back"),
    );
    await pass(clock, LOOKS_MAX);
    assert.equal(clock.pending, 0);
  });

  it("is at least 4 MB of a real sidecar", { skip: process.platform !== "linux" }, async (context) => {
    const sidecar = await startProxyProcess(context, ["--workload", "idle", "--outbound", "127.0.0.1:0"]);
    const pid = sidecar.process.pid ?? 0;
    const before = privateDirtyBytes(pid);
    await until("it is given back", () => privateDirtyBytes(pid) < before - 4e6, 30_000);
  });
});
