import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { VirtualClock } from "../../net/virtual-clock.ts";
import { settle } from "../testing/fake-host.ts";
import { IN_FLIGHT_MAX, Load } from "./load.ts";

describe("Load", () => {
  let clock: VirtualClock;
  beforeEach(() => {
    clock = new VirtualClock();
  });

  function load(send: () => Promise<boolean>, perSecond = 20, random = (): number => 0.5): Load {
    return new Load({ perSecond, clock, random, send });
  }

  it("keeps its rate however slow the answers are", async () => {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const slow = load(() => promise);
    slow.start();
    clock.advance(10_000);
    assert.deepEqual([slow.requests, slow.inFlight], [200, 200]);
    let stopped = false;
    void slow.stop().then(() => (stopped = true));
    await settle();
    assert.equal(stopped, false);
    resolve(true);
    await settle();
    assert.deepEqual([stopped, slow.failures, clock.pending], [true, 0, 0]);
  });

  it("varies the pauses around their mean", () => {
    const at: number[] = [];
    let turn = 0;
    const varied = load(
      () => {
        at.push(clock.now());
        return Promise.resolve(true);
      },
      20,
      () => (turn++ % 2 === 0 ? 0 : 0.99),
    );
    varied.start();
    clock.advance(1_000);
    assert.equal(at.length, 20);
    assert.ok((at[1] ?? 0) - (at[0] ?? 0) > 2 * (at[0] ?? 0) * 0.9);
  });

  it("counts answers that are no success, and those that never came", async () => {
    let turn = 0;
    const failing = load(() => (turn++ % 2 === 0 ? Promise.resolve(false) : Promise.reject(new Error("refused"))));
    failing.start();
    clock.advance(1_000);
    await failing.stop();
    assert.deepEqual([failing.requests, failing.failures], [20, 20]);
  });

  it("does not pile up without end", () => {
    let sent = 0;
    const stuck = load(() => {
      sent++;
      return new Promise(() => undefined);
    }, 1_000);
    stuck.start();
    clock.advance(2_000);
    assert.deepEqual([sent, stuck.inFlight, stuck.requests], [IN_FLIGHT_MAX, IN_FLIGHT_MAX, 2_000]);
    assert.equal(stuck.failures, 2_000 - IN_FLIGHT_MAX);
  });
});
