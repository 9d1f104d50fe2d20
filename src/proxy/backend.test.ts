import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { RecordedResponse, requestHead } from "../../test/support/exchange-recorder.ts";
import { ResetCause } from "../protocol/exchange.ts";
import { REST_MIN_MS } from "./endpoint.ts";
import { failureOf } from "./failure.ts";
import { FakeWorld, settled } from "./testing/fake-world.ts";

function call(world: FakeWorld): RecordedResponse {
  const response = new RecordedResponse();
  world.backend.open(requestHead("GET", "/"), true, response);
  return response;
}

function kind(response: RecordedResponse): string | undefined {
  return response.reset === undefined ? undefined : failureOf(response.reset).kind;
}

describe("Backend: without an endpoint", () => {
  it("keeps requests waiting, in order, and serves them when the first endpoint comes", () => {
    const world = new FakeWorld();
    const first = call(world);
    const second = call(world);
    world.clock.advance(2_999);
    assert.equal(world.backend.queued, 2);
    world.update(1);
    world.accept();
    world.streams[0]?.answer(200, true);
    world.streams[1]?.answer(201, true);
    assert.deepEqual([first.head?.status, second.head?.status], [200, 201]);
  });

  it("fails those that wait after the time, and the next at once, until an answer comes", async () => {
    const world = new FakeWorld();
    const first = call(world);
    world.clock.advance(1_000);
    const second = call(world);
    world.clock.advance(2_000);
    assert.deepEqual([kind(first), kind(second)], ["failfast", "failfast"]);
    const atOnce = call(world);
    assert.equal(kind(atOnce), undefined, "not from inside open");
    await settled();
    assert.equal(kind(atOnce), "failfast");
    world.update(1);
    call(world);
    world.accept();
    world.last.answer(200, true);
    world.update();
    const patient = call(world);
    await settled();
    assert.equal(kind(patient), undefined);
    assert.equal(world.backend.queued, 1);
  });

  it("does not take a slow answer for a lack of endpoints", async () => {
    const world = new FakeWorld();
    call(world);
    world.update(1);
    world.accept();
    world.clock.advance(10_000);
    world.update();
    const response = call(world);
    await settled();
    assert.equal(kind(response), undefined, "it waits as any other");
    world.clock.advance(3_000);
    assert.equal(kind(response), "failfast");
  });

  it("says of the last endpoint why it did not take the request", async () => {
    const world = new FakeWorld();
    world.update(1);
    const response = call(world);
    world.attempts[0]?.refuse();
    world.clock.advance(REST_MIN_MS - 1);
    assert.equal(world.backend.queued, 1);
    world.clock.advance(1);
    assert.equal(world.attempts.length, 1, "the waiting request is the probe");
    world.accept();
    world.last.answer(200, true);
    assert.equal(response.head?.status, 200);
  });

  it("never lets more wait than there is room for", async () => {
    const world = new FakeWorld({ policy: { queueCapacity: 2 } });
    const responses = [call(world), call(world), call(world)];
    await settled();
    assert.deepEqual(responses.map(kind), [undefined, undefined, "loadshed"]);
    assert.equal(world.backend.inFlight, 2);
  });

  it("never has more in flight than it may", async () => {
    const world = new FakeWorld({ policy: { maxInFlight: 2 } });
    world.update(1);
    const responses = [call(world), call(world), call(world)];
    await settled();
    assert.deepEqual(responses.map(kind), [undefined, undefined, "loadshed"]);
    world.accept();
    world.streams[0]?.answer(200, true);
    const next = call(world);
    await settled();
    assert.equal(kind(next), undefined);
  });

  it("lets thousands leave in any order at once", () => {
    const count = 50_000;
    const world = new FakeWorld({ policy: { queueCapacity: count } });
    const streams = Array.from({ length: count }, () =>
      world.backend.open(requestHead("GET", "/"), true, new RecordedResponse()),
    );
    const startedAt = performance.now();
    for (let i = count - 1; i >= 0; i--) streams[(i * 7919) % count]?.reset(new ResetCause("cancelled", ""));
    assert.equal(world.backend.queued, 0);
    // Looking for each in the whole queue takes seconds.
    assert.ok(performance.now() - startedAt < 1_000);
  });
});

describe("Backend: a list of endpoints that changes", () => {
  it("keeps what stays, with its connections", async () => {
    const world = new FakeWorld();
    world.update(1);
    call(world);
    world.accept();
    world.last.answer(200, true);
    await settled();
    world.update(1, 2);
    world.update(1);
    call(world);
    assert.equal(world.streams.length, 2, "on the connection that was there");
    assert.equal(world.made.length, 2);
  });

  it("does not take another workload at the same address for the old one", () => {
    const world = new FakeWorld();
    world.update({ port: 1, workload: "old" });
    const begun = call(world);
    world.accept();
    world.update({ port: 1, workload: "new" });
    const next = call(world);
    assert.equal(world.attempts.length, 1, "a connection of its own");
    world.accept();
    world.streams[0]?.answer(200, true);
    world.streams[1]?.answer(201, true);
    assert.deepEqual([begun.head?.status, next.head?.status], [200, 201]);
    assert.deepEqual(
      world.made.map(({ closed }) => closed),
      [true, false],
    );
  });

  it("lets what is in flight finish when its endpoint goes, and closes the connection then", async () => {
    const world = new FakeWorld();
    world.update(1);
    const response = call(world);
    world.accept();
    world.update({ port: 1, health: "draining" });
    assert.equal(world.backend.endpoints, 0);
    world.last.answer(200, false);
    world.last.data("whole", true);
    await settled();
    assert.equal(response.text, "whole");
    assert.equal(world.clients[0]?.usable, false);
    assert.equal(world.made[0]?.inFlight, 0);
  });

  it("closes with an answer for all who wait, whatever they wait for", async () => {
    const world = new FakeWorld();
    const queued = call(world);
    world.backend.close();
    assert.equal(kind(queued), "failfast");

    const other = new FakeWorld();
    other.update(1);
    const connecting = call(other);
    other.backend.close();
    other.backend.close();
    await settled();
    assert.equal(kind(connecting), "failfast");
    assert.equal(other.attempts.length, 0);
    const late = call(other);
    await settled();
    assert.equal(kind(late), "failfast");
    assert.equal(other.backend.inFlight, 0);
    assert.equal(other.clock.pending, 0);
  });

  it("cuts what is in flight when it is destroyed", async () => {
    const world = new FakeWorld();
    world.update(1);
    const response = call(world);
    world.accept();
    world.backend.destroy();
    await settled();
    assert.equal(response.reset?.code, "closed");
    assert.equal(world.backend.inFlight, 0);
    assert.equal(world.clock.pending, 0);
  });
});

describe("Backend: one endpoint and never another", () => {
  it("fails at once, so that the caller's sidecar can go elsewhere, and is never rested", async () => {
    const world = new FakeWorld({ single: true });
    world.update(1);
    const response = call(world);
    world.attempts[0]?.refuse();
    assert.equal(kind(response), "connect");
    assert.equal(world.backend.readyEndpoints, 1);
    assert.equal(world.clock.pending, 0);
  });

  it("fails only the request whose own connection could not be made", () => {
    const world = new FakeWorld({ single: true });
    world.update(1);
    const first = call(world);
    const second = call(world);
    world.attempts[0]?.refuse();
    world.accept();
    world.last.answer(200, true);
    assert.equal(kind(first), "connect");
    assert.equal(second.head?.status, 200);
  });
});
