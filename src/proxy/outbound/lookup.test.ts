import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { RecordedResponse, requestHead } from "../../../test/support/exchange-recorder.ts";
import { type ClientStream, ResetCause } from "../../protocol/exchange.ts";
import { failureOf } from "../failure.ts";
import { HELD_BYTES_MAX } from "../held-request.ts";
import { FakeWorld, settled } from "../testing/fake-world.ts";
import { lookUp } from "./lookup.ts";
import type { KnownService, Resolution } from "./services.ts";

const FOUND = {} as KnownService;

interface Rig {
  readonly world: FakeWorld;
  readonly lookup: ClientStream;
  readonly response: RecordedResponse;
  readonly resolve: (resolution: Resolution) => Promise<void>;
  readonly givenUp: () => number;
}

function rig(): Rig {
  const world = new FakeWorld();
  world.update(1);
  const response = new RecordedResponse();
  let done: ((resolution: Resolution) => void) | undefined;
  let givenUp = 0;
  const lookup = lookUp(
    (callback) => {
      done = callback;
      return () => givenUp++;
    },
    () => world.backend.open(requestHead("POST", "/"), false, response),
    "price",
    response,
  );
  const resolve = async (resolution: Resolution): Promise<void> => {
    done?.(resolution);
    await settled();
  };
  return { world, lookup, response, resolve, givenUp: () => givenUp };
}

describe("a request whose service is looked up", () => {
  it("holds what is sent meanwhile and sends it on in order, with end or trailers", async () => {
    for (const end of ["data", "trailers"]) {
      const { world, lookup, resolve } = rig();
      lookup.sendData(Buffer.from("a"), false);
      const reused = Buffer.from("b");
      lookup.sendData(reused, end === "data");
      reused.fill("x");
      if (end === "trailers") lookup.sendTrailers(["t", "1"]);
      await resolve(FOUND);
      world.accept();
      assert.equal(world.last.sent, "ab");
      assert.ok(world.last.requestEnded);
      assert.deepEqual(world.last.trailers, end === "trailers" ? ["t", "1"] : undefined);
    }
  });

  it("goes on with the body that is still arriving", async () => {
    const { world, lookup, resolve } = rig();
    lookup.sendData(Buffer.from("a"), false);
    await resolve(FOUND);
    lookup.sendData(Buffer.from("b"), false);
    world.accept();
    lookup.sendData(Buffer.from("c"), true);
    assert.equal(world.last.sent, "abc");
  });

  it("tells the sender to wait at its bound, and to go on when the bytes have left", async () => {
    const { world, lookup, response, resolve } = rig();
    assert.equal(lookup.sendData(Buffer.alloc(HELD_BYTES_MAX - 1), false), true);
    assert.equal(lookup.sendData(Buffer.alloc(1), false), false);
    await resolve(FOUND);
    assert.equal(response.writable, 0, "there is no connection yet");
    world.accept();
    await settled();
    assert.equal(response.writable, 1);
  });

  it("says which name it was, or that nobody answered", async () => {
    for (const [resolution, code] of [
      ["absent", "HED1001"],
      ["timeout", "HED1002"],
    ] as const) {
      const { lookup, response, resolve } = rig();
      await resolve(resolution);
      assert.ok(response.reset !== undefined && failureOf(response.reset).code === code);
      assert.match(response.reset.detail, /"price"/);
      assert.equal(lookup.sendData(Buffer.from("late"), true), true);
      lookup.reset(new ResetCause("cancelled", ""));
      assert.equal(response.late, 0);
    }
  });

  it("is given up without a trace, also while the answer is on its way to it", async () => {
    for (const late of [false, true]) {
      const { world, lookup, response, resolve, givenUp } = rig();
      const resolved = late ? resolve(FOUND) : undefined;
      lookup.reset(new ResetCause("cancelled", ""));
      await (resolved ?? resolve(FOUND));
      assert.equal(givenUp(), 1);
      assert.equal(world.streams.length + world.attempts.length, 0);
      assert.equal(response.reset, undefined);
    }
  });

  it("passes a reset on once the request is under way, and a pause from before", async () => {
    const { world, lookup, resolve } = rig();
    lookup.pause();
    await resolve(FOUND);
    world.accept();
    assert.ok(world.last.paused);
    lookup.resume();
    assert.ok(!world.last.paused);
    lookup.reset(new ResetCause("cancelled", ""));
    assert.equal(world.last.given?.code, "cancelled");
    assert.equal(world.backend.inFlight, 0);
  });

  it("never answers from inside, even if the name is known at once", async () => {
    const response = new RecordedResponse();
    const lookup = lookUp(
      (done) => (done("absent"), () => {}),
      () => assert.fail(),
      "x",
      response,
    );
    const resets = (): string[] => (response.reset === undefined ? [] : [response.reset.code]);
    assert.deepEqual(resets(), []);
    lookup.sendData(Buffer.from("x"), false);
    await settled();
    assert.deepEqual(resets(), ["refused"]);
  });
});
