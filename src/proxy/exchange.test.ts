import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { requestHead } from "../../test/support/exchange-recorder.ts";
import { ResetCause } from "../protocol/exchange.ts";
import { Exchange, forward, type Hop } from "./exchange.ts";
import { failureCause, failures } from "./failure.ts";
import { FakeServerStream } from "./testing/fake-server-stream.ts";
import { FakeWorld } from "./testing/fake-world.ts";

interface Rig {
  readonly world: FakeWorld;
  readonly server: FakeServerStream;
  readonly told: string[];
}

function rig(upgrade = "", end = false, words = false): Rig {
  const world = new FakeWorld();
  world.update(1);
  const server = new FakeServerStream();
  const told: string[] = [];
  const hop: Hop = {
    answer: (_stream, _request, failure) => told.push(`answer ${failure.kind}`),
    cut: (failure) => told.push(`cut ${failure.kind}`),
    explainCut: (stream, _request, failure) => {
      if (words) stream.sendTrailers(["why", failure.kind]);
      return words;
    },
  };
  forward(server, { ...requestHead("POST", "/"), upgrade }, end, world.backend, hop);
  world.accept();
  return { world, server, told };
}

describe("an exchange", () => {
  it("cuts a tunnel whose far side is lost, also for a caller who would have understood words", () => {
    const { world, server, told } = rig("websocket", false, true);
    world.last.answer(101, false, [], "websocket");
    world.last.data("all of the way back", true);
    world.last.lose("closed");
    assert.equal(server.trailers, undefined);
    assert.equal(server.given?.code, "closed");
    assert.deepEqual(told, ["cut closed"]);
  });

  it("that must not go on is answered, told why, or cut, by how far it has come; the service is let go once", () => {
    const cause = failureCause(failures.forbidden, "cancelled", "the test says so");
    const cut = ({ server }: Rig): void => {
      assert.ok(server.receiver instanceof Exchange);
      server.receiver.cut(cause);
      server.receiver.cut(cause);
    };
    const unanswered = rig();
    unanswered.world.last.answer(103, false);
    cut(unanswered);
    const begun = rig("", true);
    begun.world.last.answer(200, false);
    cut(begun);
    const words = rig("", true, true);
    words.world.last.answer(200, false);
    cut(words);
    const waiting = rig("", true, true);
    waiting.world.last.answer(200, false);
    waiting.server.writable = false;
    waiting.world.last.data("much", false);
    cut(waiting);
    for (const { world } of [unanswered, begun, words, waiting]) assert.equal(world.last.given, cause);
    assert.deepEqual(unanswered.told, ["answer forbidden"]);
    for (const { told } of [begun, words, waiting]) assert.deepEqual(told, ["cut forbidden"]);
    const givens = [unanswered, begun, words, waiting].map(({ server }) => server.given?.code);
    assert.deepEqual(givens, [undefined, "cancelled", undefined, "cancelled"]);
    assert.deepEqual(words.server.trailers, ["why", "forbidden"]);
    const whole = rig("", true);
    whole.world.last.answer(200, true);
    cut(whole);
    assert.deepEqual([whole.told, whole.server.given], [[], undefined]);
  });

  it("that must not go on leaves the queue in which it waits for an endpoint, and the line for a connection", () => {
    const cause = failureCause(failures.forbidden, "cancelled", "the test says so");
    for (const endpoints of [[], [1]]) {
      const world = new FakeWorld();
      world.update(...endpoints);
      const server = new FakeServerStream();
      const told: string[] = [];
      const hop: Hop = { answer: (_, __, { kind }) => told.push(kind), cut() {}, explainCut: () => false };
      forward(server, requestHead("GET", "/"), true, world.backend, hop);
      assert.ok(server.receiver instanceof Exchange);
      server.receiver.cut(cause);
      world.update(1);
      world.accept();
      assert.deepEqual([told, world.streams.length], [["forbidden"], 0]);
    }
  });

  it("carries both bodies and both trailers", () => {
    const { world, server } = rig();
    server.receiver.onData(Buffer.from("question"), false);
    server.receiver.onTrailers(["a", "1"]);
    world.last.answer(103, false);
    world.last.answer(200, false);
    world.last.data("answer", false);
    world.last.endWithTrailers(["b", "2"]);
    assert.equal(world.last.sent, "question");
    assert.deepEqual(world.last.trailers, ["a", "1"]);
    assert.deepEqual(
      server.heads.map(({ status }) => status),
      [103, 200],
    );
    assert.equal(server.text, "answer");
    assert.deepEqual(server.trailers, ["b", "2"]);
  });

  it("holds each side back for the other, and lets it go on", () => {
    const { world, server } = rig();
    world.last.writable = false;
    server.receiver.onData(Buffer.from("x"), false);
    assert.ok(server.paused);
    world.last.receiver.onWritable();
    assert.ok(!server.paused);
    world.last.answer(200, false);
    server.writable = false;
    world.last.data("x", false);
    assert.ok(world.last.paused);
    server.receiver.onWritable();
    assert.ok(!world.last.paused);
  });

  it("says why it cuts the answer where the request's protocol has words for that", () => {
    const { world, server, told } = rig("", false, true);
    world.last.answer(200, false);
    world.last.lose("closed");
    assert.deepEqual(told, ["cut closed"]);
    assert.deepEqual(server.trailers, ["why", "closed"]);
    assert.equal(server.given, undefined);
  });

  it("says nothing behind bytes that the caller does not take, until it takes them again", () => {
    for (const again of [false, true]) {
      const { world, server } = rig("", false, true);
      world.last.answer(200, false);
      server.writable = false;
      world.last.data("much", false);
      if (again) server.receiver.onWritable();
      world.last.lose("closed");
      assert.equal(server.given === undefined, again);
      assert.equal(server.trailers !== undefined, again);
    }
  });

  it("answers a failure while there is time, and cuts the answer after", () => {
    const early = rig();
    early.world.last.answer(100, false);
    early.world.last.lose("protocol");
    assert.deepEqual(early.told, ["answer bad_answer"]);
    assert.equal(early.server.given, undefined);
    const late = rig();
    late.world.last.answer(200, false);
    late.world.last.lose("closed");
    assert.deepEqual(late.told, ["cut closed"]);
    assert.equal(late.server.given?.code, "closed");
  });

  it("tells the service when the caller has gone, once", () => {
    const { world, server, told } = rig();
    server.receiver.onReset(new ResetCause("closed", "gone"));
    server.receiver.onReset(new ResetCause("closed", "gone"));
    assert.equal(world.last.given?.code, "cancelled");
    assert.match(world.last.given.detail, /gone/);
    assert.deepEqual(told, []);
    assert.equal(world.backend.inFlight, 0);
  });

  it("counts an answer that could not be given to the caller", () => {
    const { world, server, told } = rig();
    server.whenHead = () => server.receiver.onReset(new ResetCause("internal", "cannot be written"));
    world.last.answer(200, false);
    world.last.data("x", true);
    assert.deepEqual(told, ["cut unexpected"]);
    assert.equal(world.backend.inFlight, 0);
    assert.equal(server.text, "");
  });

  it("listens to no more of the request once the answer is whole", () => {
    const { world, server } = rig();
    world.last.answer(413, true);
    assert.ok(world.last.over);
    server.receiver.onData(Buffer.from("late"), true);
    server.receiver.onReset(new ResetCause("closed", "late"));
    assert.equal(world.last.sent, "");
    assert.deepEqual(world.outcomes, { 413: 1 });
  });

  it("that was upgraded ends in each direction on its own", () => {
    const { world, server } = rig("websocket");
    world.last.answer(101, false, [], "websocket");
    world.last.data("bye", true);
    assert.ok(server.ended);
    server.receiver.onData(Buffer.from("more"), false);
    server.receiver.onData(Buffer.from("!"), true);
    assert.equal(world.last.sent, "more!");
    assert.ok(world.last.over);
    assert.equal(world.backend.inFlight, 0);
  });

  it("that was granted by a 2xx is a tunnel as well", () => {
    const { world, server } = rig("connect");
    world.last.answer(200, false, [], "connect");
    server.receiver.onData(Buffer.from("up"), true);
    assert.equal(world.last.over, false);
    world.last.data("down", true);
    assert.deepEqual([server.status, server.text, server.ended, world.last.sent], [200, "down", true, "up"]);
    assert.equal(world.last.given, undefined);
  });

  it("that was not upgraded has no request body to wait for", () => {
    const { world, server } = rig("websocket");
    world.last.answer(426, true);
    assert.equal(server.status, 426);
    assert.equal(world.last.given, undefined, "whole, not given up");
    assert.equal(world.backend.inFlight, 0);
  });
});
