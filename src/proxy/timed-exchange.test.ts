import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { RecordedResponse, requestHead } from "../../test/support/exchange-recorder.ts";
import { ResetCause } from "../protocol/exchange.ts";
import { type Failure, failureOf, failures } from "./failure.ts";
import { FakeWorld, settled } from "./testing/fake-world.ts";
import { CALLER_AHEAD_MS, TimedExchange, TIMER_MS_MAX } from "./timed-exchange.ts";

function rig(
  upgrade = "",
  timeoutMs = 500,
  failure: Failure = failures.timeout,
): { world: FakeWorld; stream: TimedExchange; response: RecordedResponse } {
  const world = new FakeWorld();
  world.update(1);
  const response = new RecordedResponse();
  const head = { ...requestHead("POST", "/"), upgrade };
  const stream = new TimedExchange(world.clock, timeoutMs, failure, world.backend, head, false, response);
  world.accept();
  return { world, stream, response };
}

/** What is counted when the caller gives up after so many of 500 milliseconds. */
function outcomesOfCancelling(failure: Failure, afterMs: number): Record<string, number> {
  const { world, stream } = rig("", 500, failure);
  world.clock.advance(afterMs);
  stream.reset(new ResetCause("cancelled", "the caller gave up"));
  return world.outcomes;
}

describe("TimedExchange", () => {
  it("ends the exchange on both sides when the time is up, before or within the answer", () => {
    for (const begun of [false, true]) {
      const { world, response, stream } = rig();
      if (begun) world.last.answer(200, false);
      world.clock.advance(499);
      assert.equal(response.reset, undefined);
      world.clock.advance(1);
      assert.ok(response.reset !== undefined && failureOf(response.reset).code === "HED1008");
      assert.equal(world.last.given?.code, "timeout");
      assert.deepEqual(world.outcomes, { timeout: 1 });
      assert.equal(stream.sendData(Buffer.from("late"), true), true);
      stream.reset(new ResetCause("cancelled", ""));
      assert.equal(world.last.sent, "");
      assert.equal(world.backend.inFlight, 0);
    }
  });

  it("is never early, and waits for longer than a timer can", () => {
    for (const timeoutMs of [0, 0.25, 1.5, 100.1, TIMER_MS_MAX + 1, 3 * TIMER_MS_MAX]) {
      const { world, response } = rig("", timeoutMs);
      world.clock.advance(Math.max(0, timeoutMs - 0.01));
      assert.equal(response.reset === undefined, timeoutMs > 0, `${timeoutMs} ms, early`);
      world.clock.advance(1.01);
      assert.equal(response.reset?.code, "timeout", `${timeoutMs} ms, late`);
    }
  });

  it("takes a caller who gives up as its deadline passes to do so because of it", () => {
    assert.deepEqual(outcomesOfCancelling(failures.deadline, 500 - CALLER_AHEAD_MS), { deadline: 1 });
    assert.deepEqual(outcomesOfCancelling(failures.deadline, 499 - CALLER_AHEAD_MS), { cancelled: 1 });
    assert.deepEqual(
      outcomesOfCancelling(failures.timeout, 499),
      { cancelled: 1 },
      "of a route's limit the caller knows nothing",
    );
  });

  it("leaves no timer behind, however the exchange ends", async () => {
    const endings: ((r: ReturnType<typeof rig>) => void)[] = [
      ({ world }) => world.last.answer(204, true),
      ({ world }) => (world.last.answer(200, false), world.last.data("x", true)),
      ({ world }) => (world.last.answer(200, false), world.last.endWithTrailers(["a", "b"])),
      ({ world }) => world.last.lose("protocol"),
      ({ stream }) => stream.reset(new ResetCause("cancelled", "")),
    ];
    for (const end of endings) {
      const r = rig();
      r.stream.sendData(Buffer.from("x"), true);
      end(r);
      r.world.backend.close();
      await settled();
      assert.equal(r.world.clock.pending, 0);
      assert.equal(r.response.late, 0);
    }
  });

  it("does not limit what an upgrade has led to, and lets each direction end on its own", () => {
    for (const [status, asked] of [
      [101, "websocket"],
      [200, "connect"],
    ] as const) {
      const { world, stream, response } = rig(asked);
      world.last.answer(status, false, [], asked);
      world.clock.advance(60_000);
      world.last.data("bye", true);
      assert.equal(response.text, "bye");
      stream.sendData(Buffer.from("still here"), false);
      stream.sendData(Buffer.from("!"), true);
      assert.equal(world.last.sent, "still here!");
      assert.equal(world.backend.inFlight, 0);
    }
  });

  it("passes a cut tunnel on", () => {
    const { world, response } = rig("websocket");
    world.last.answer(101, false, [], "websocket");
    world.last.data("", true);
    world.last.lose("closed");
    assert.equal(response.reset?.code, "closed");
  });

  it("lets interim answers, pauses and readiness through", () => {
    const { world, stream, response } = rig();
    world.last.answer(103, false);
    assert.equal(response.interim.length, 1);
    stream.pause();
    assert.ok(world.last.paused);
    stream.resume();
    assert.ok(!world.last.paused);
    world.last.receiver.onWritable();
    assert.equal(response.writable, 1);
  });
});
