import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { RecordedResponse, requestHead } from "../../test/support/exchange-recorder.ts";
import { type ClientStream, type RequestHead, ResetCause } from "../protocol/exchange.ts";
import { ATTEMPTS_MAX, REPLAY_BYTES_MAX } from "./dispatch.ts";
import { failureOf } from "./failure.ts";
import { FakeWorld, settled } from "./testing/fake-world.ts";

interface Call {
  readonly stream: ClientStream;
  readonly response: RecordedResponse;
}

function call(world: FakeWorld, head: RequestHead = requestHead("GET", "/"), end = true): Call {
  const response = new RecordedResponse();
  return { response, stream: world.backend.open(head, end, response) };
}

function post(world: FakeWorld): Call {
  return call(world, requestHead("POST", "/"), false);
}

/** A world with one endpoint and a kept-alive connection to it. */
async function warm(): Promise<FakeWorld> {
  const world = new FakeWorld();
  world.update(1);
  call(world);
  world.accept();
  world.last.answer(200, true);
  await settled();
  return world;
}

function kind(response: RecordedResponse): string | undefined {
  return response.reset === undefined ? undefined : failureOf(response.reset).kind;
}

const gone = new ResetCause("cancelled", "the caller has gone");

describe("Dispatch: where a request goes", () => {
  it("goes elsewhere when an endpoint refuses the connection, and rests that endpoint", async () => {
    const world = new FakeWorld({ random: () => 0 });
    world.update(1, 2);
    const { response } = call(world);
    assert.equal(world.attempts[0]?.endpoint, "127.0.0.1:1");
    world.attempts[0]?.refuse();
    assert.equal(world.attempts[0]?.endpoint, "127.0.0.1:2");
    assert.equal(world.backend.readyEndpoints, 1);
    world.accept();
    world.last.answer(200, true);
    assert.equal(response.head?.status, 200);
    assert.deepEqual(world.outcomes, { 200: 1 });
    assert.equal(world.backend.inFlight, 0);
    world.backend.close();
    assert.equal(world.clock.pending, 0);
  });

  it("gives up after as many endpoints as it may try", async () => {
    const world = new FakeWorld();
    world.update(1, 2, 3, 4, 5, 6);
    const { response } = call(world);
    for (let i = 0; i < ATTEMPTS_MAX; i++) world.attempts[0]?.refuse();
    await settled();
    assert.equal(response.reset?.code, "connect");
    assert.equal(world.attempts.length, 0);
    assert.deepEqual(world.outcomes, { connect: 1 });
    assert.equal(world.backend.inFlight, 0);
  });

  it("leaves an endpoint that is taken off the list while it waits, at no cost to anybody", async () => {
    const world = new FakeWorld();
    world.update(1);
    const { response } = call(world);
    assert.equal(world.attempts[0]?.endpoint, "127.0.0.1:1");
    world.update(2);
    assert.deepEqual(
      world.attempts.map(({ endpoint }) => endpoint),
      ["127.0.0.1:2"],
      "the old attempt was given up",
    );
    world.accept();
    world.last.answer(200, true);
    assert.equal(response.head?.status, 200);
    assert.deepEqual(world.outcomes, { 200: 1 });
    assert.equal(world.made[0]?.inFlight, 0);
    world.backend.close();
    await settled();
    assert.equal(world.clock.pending, 0);
  });

  it("waits in the queue when the only endpoint is taken off the list, however often that happens", async () => {
    const world = new FakeWorld();
    const { response } = call(world);
    for (let i = 1; i <= 2 * ATTEMPTS_MAX; i++) {
      world.update(i);
      world.update();
    }
    await settled();
    assert.equal(response.reset, undefined);
    assert.equal(world.backend.queued, 1);
    world.update(98, 99);
    world.attempts[0]?.refuse();
    assert.equal(world.attempts.length, 1, "all its attempts were still to be had");
    world.accept();
    world.last.answer(200, true);
    assert.equal(response.head?.status, 200);
  });

  it("does not rest an endpoint that is not there any more", async () => {
    const world = new FakeWorld();
    world.update(1);
    const { response } = call(world);
    world.accept();
    world.update();
    world.last.lose("refused");
    await settled();
    assert.equal(response.reset, undefined, "it waits for another");
    world.backend.close();
    await settled();
    assert.equal(kind(response), "failfast");
    assert.equal(world.clock.pending, 0);
  });

  it("sends an idempotent request again that met a kept-alive connection as it closed, but no other", async () => {
    const world = await warm();
    const get = call(world);
    world.last.lose("closed");
    world.accept();
    assert.equal(world.streams.length, 3);
    world.last.answer(200, true);
    assert.equal(get.response.head?.status, 200);
    await settled();
    const unsafe = post(world);
    world.last.lose("closed");
    assert.equal(unsafe.response.reset?.code, "closed");
  });

  it("does not send it again once the server has said anything about it", async () => {
    const world = await warm();
    const { response } = call(world);
    world.last.answer(103, false);
    world.last.lose("closed");
    assert.equal(response.reset?.code, "closed");
  });

  it("does not send it again on a fresh connection: that one was lost because of it", () => {
    const world = new FakeWorld();
    world.update(1);
    const { response } = call(world);
    world.accept();
    world.last.lose("closed");
    assert.equal(response.reset?.code, "closed");
    assert.deepEqual(world.outcomes, { closed: 1 });
  });

  it("takes the far sidecar's word that its application has not seen the request, in HTTP and in gRPC", () => {
    for (const [status, headers] of [
      [502, []],
      [200, ["content-type", "application/grpc", "grpc-status", "14"]],
    ] as const) {
      const world = new FakeWorld({ random: () => 0 });
      world.update({ port: 1, meshed: true }, { port: 2, meshed: true });
      const { response } = call(world, requestHead("POST", "/", ["content-type", "application/grpc"]));
      world.accept();
      world.last.answer(status, status === 200, [...headers, "heddle-unprocessed", "1"]);
      world.accept();
      assert.equal(world.streams.length, 2, `${status}`);
      assert.equal(world.repeats, 1);
      world.last.answer(200, true);
      assert.equal(response.head?.status, 200);
      assert.equal(world.backend.inFlight, 0);
    }
  });

  it("never shows that word to the caller, and does not take it from outside the mesh", () => {
    const world = new FakeWorld();
    world.update(1);
    const outside = call(world);
    world.accept();
    world.last.answer(503, true, ["heddle-unprocessed", "1"]);
    assert.equal(outside.response.head?.status, 503, "no second attempt");

    // That sidecar passes on what its application says, whatever it is.
    const opaque = new FakeWorld({ protocol: "opaque" });
    opaque.update({ port: 1, meshed: true }, { port: 2, meshed: true });
    const beyond = call(opaque);
    opaque.accept();
    opaque.last.answer(503, true, ["heddle-unprocessed", "1"]);
    assert.equal(beyond.response.head?.status, 503, "no second attempt");
    assert.deepEqual(beyond.response.head?.headers, []);

    const inside = new FakeWorld();
    inside.update({ port: 1, meshed: true });
    const { response, stream } = post(inside);
    inside.accept();
    stream.sendData(Buffer.alloc(REPLAY_BYTES_MAX + 1), true);
    inside.last.answer(502, true, ["heddle-unprocessed", "1"]);
    assert.deepEqual(response.head?.headers, []);
  });
});

describe("Dispatch: the body of a request that is sent again", () => {
  it("arrives whole and in order when the second attempt begins in the middle of it", () => {
    const world = new FakeWorld({ random: () => 0 });
    world.update(1, 2);
    const { stream } = post(world);
    stream.sendData(Buffer.from("a"), false);
    world.accept();
    stream.sendData(Buffer.from("b"), false);
    world.last.lose("refused");
    stream.sendData(Buffer.from("c"), false);
    world.accept();
    stream.sendData(Buffer.from("d"), false);
    stream.sendTrailers(["x", "1"]);
    assert.equal(world.streams.length, 2);
    assert.equal(world.last.sent, "abcd");
    assert.deepEqual(world.last.trailers, ["x", "1"]);
  });

  it("ends as it was ended: with data, with trailers, or with nothing at all", () => {
    for (const end of ["data", "trailers", "empty"]) {
      const world = new FakeWorld();
      world.update(1);
      const { stream } = post(world);
      if (end === "empty") stream.sendData(Buffer.alloc(0), true);
      else stream.sendData(Buffer.from("x"), end === "data");
      if (end === "trailers") stream.sendTrailers(["t", "1"]);
      world.accept();
      assert.ok(world.last.requestEnded, end);
      assert.equal(world.last.sent, end === "empty" ? "" : "x");
    }
  });

  it("is kept up to its bound; beyond, the request is sent once", () => {
    for (const [bytes, attempts] of [
      [REPLAY_BYTES_MAX, 2],
      [REPLAY_BYTES_MAX + 1, 1],
    ] as const) {
      const world = new FakeWorld({ random: () => 0 });
      world.update(1, 2);
      const { stream, response } = post(world);
      world.accept();
      stream.sendData(Buffer.alloc(bytes), true);
      world.last.lose("refused");
      world.accept();
      assert.equal(world.streams.length, attempts);
      assert.equal(response.reset?.code, attempts === 1 ? "refused" : undefined);
    }
  });

  it("holds its sender back while there is no connection, and lets it go on after", async () => {
    const world = new FakeWorld();
    world.update(1);
    const { stream, response } = post(world);
    assert.equal(stream.sendData(Buffer.alloc(REPLAY_BYTES_MAX - 1), false), true);
    assert.equal(stream.sendData(Buffer.alloc(1), false), false);
    world.accept();
    assert.equal(response.writable, 0, "not from inside");
    await settled();
    assert.equal(response.writable, 1);
  });

  it("does not leave a sender waiting that was told to wait by the first of two attempts", async () => {
    const world = new FakeWorld({ random: () => 0 });
    world.update(1, 2);
    const { stream, response } = post(world);
    world.accept();
    world.last.writable = false;
    assert.equal(stream.sendData(Buffer.from("x"), false), false);
    world.last.lose("refused");
    world.accept();
    await settled();
    assert.equal(response.writable, 1);
  });

  it("leaves the telling to the second attempt if that has no room either", async () => {
    const world = new FakeWorld();
    world.update(1);
    const { stream, response } = post(world);
    assert.equal(stream.sendData(Buffer.alloc(REPLAY_BYTES_MAX), false), false);
    world.streams.push = (...opened) => {
      for (const one of opened) one.writable = false;
      return Array.prototype.push.apply(world.streams, opened);
    };
    world.accept();
    await settled();
    assert.equal(response.writable, 0);
    world.last.receiver.onWritable();
    assert.equal(response.writable, 1);
  });

  it("stays paused across attempts", () => {
    const world = new FakeWorld({ random: () => 0 });
    world.update(1, 2);
    const { stream } = call(world);
    stream.pause();
    world.accept();
    assert.ok(world.last.paused);
    world.last.lose("refused");
    world.accept();
    assert.ok(world.last.paused);
    stream.resume();
    assert.ok(!world.last.paused);
  });
});

describe("Dispatch: how it ends", () => {
  it("is given up at any moment without a trace", async () => {
    const moments: Record<string, (world: FakeWorld) => void> = {
      "in the queue": () => {},
      "waiting for a connection": (world) => world.update(1),
      "waiting for the answer": (world) => {
        world.update(1);
        world.accept();
      },
      "after an interim answer": (world) => {
        world.update(1);
        world.accept();
        world.last.answer(103, false);
      },
      "in the answer": (world) => {
        world.update(1);
        world.accept();
        world.last.answer(200, false);
      },
      "in the answer's body": (world) => {
        world.update(1);
        world.accept();
        world.last.answer(200, false);
        world.last.data("x", false);
      },
    };
    for (const [moment, reach] of Object.entries(moments)) {
      const world = new FakeWorld();
      const { stream, response } = call(world);
      reach(world);
      stream.reset(gone);
      stream.reset(gone);
      await settled();
      assert.equal(world.backend.inFlight, 0, moment);
      assert.equal(world.backend.queued, 0, moment);
      assert.equal(world.made[0]?.inFlight ?? 0, 0, moment);
      assert.equal(response.reset, undefined, moment);
      for (const one of world.streams) assert.equal(one.given, gone, moment);
      const counted = Object.values(world.outcomes).reduce((sum, count) => sum + count, 0);
      assert.equal(counted, world.streams.length, `${moment}: counted once if it was sent`);
      world.accept();
      world.backend.close();
      await settled();
      assert.equal(world.clock.pending, 0, moment);
    }
  });

  it("counts what it was reset for: a time limit is not the caller's leaving", () => {
    const world = new FakeWorld();
    world.update(1);
    const waiting = call(world);
    world.accept();
    waiting.stream.reset(new ResetCause("timeout", "too slow"));
    const begun = call(world);
    world.accept();
    world.last.answer(200, false);
    begun.stream.reset(new ResetCause("timeout", "too slow"));
    assert.deepEqual(world.outcomes, { timeout: 2 });
  });

  it("is over with the answer, even if the request is not", () => {
    const world = new FakeWorld();
    world.update(1);
    const { stream, response } = post(world);
    world.accept();
    world.last.answer(413, true);
    assert.ok(response.ended);
    assert.equal(world.backend.inFlight, 0);
    assert.equal(stream.sendData(Buffer.from("late"), true), true);
    assert.equal(response.late, 0);
  });

  it("classifies gRPC by its own status, wherever that stands, and without one as its client does", () => {
    const world = new FakeWorld({ protocol: "grpc" });
    world.update(1);
    const grpc = ["content-type", "application/grpc+proto"];
    const answers: [(world: FakeWorld) => void, string][] = [
      [(w) => (w.last.answer(200, false, [...grpc]), w.last.endWithTrailers(["grpc-status", "0"])), "grpc 0"],
      [(w) => w.last.answer(200, true, [...grpc, "grpc-status", "5"]), "grpc 5"],
      [(w) => (w.last.answer(200, false, [...grpc]), w.last.data("", true)), "grpc 2"],
      [(w) => (w.last.answer(200, false, [...grpc]), w.last.endWithTrailers(["grpc-status", "4711"])), "grpc 2"],
      [(w) => w.last.answer(503, true, [...grpc, "grpc-status", "7"]), "grpc 7"],
      // The status of the head does not count once something else has followed.
      [(w) => (w.last.answer(200, false, [...grpc, "grpc-status", "0"]), w.last.data("x", true)), "grpc 2"],
      [
        (w) => (
          w.last.answer(200, false, [...grpc, "grpc-status", "0"]),
          w.last.endWithTrailers(["grpc-status", "13"])
        ),
        "grpc 13",
      ],
      [
        (w) => (
          w.last.answer(200, false, [...grpc]),
          w.last.endWithTrailers(["grpc-status", "0", "grpc-status", "13"])
        ),
        "grpc 2",
      ],
      [(w) => (w.last.answer(200, false, [...grpc]), w.last.endWithTrailers(["grpc-message", "x"])), "grpc 2"],
      // Without a status the client derives one from HTTP's, whatever the content type.
      [(w) => w.last.answer(503, true), "grpc 14"],
      [(w) => w.last.answer(404, true, [...grpc]), "grpc 12"],
      [(w) => w.last.answer(401, true, ["content-type", "text/html"]), "grpc 16"],
      [(w) => (w.last.answer(200, false, ["content-type", "text/html"]), w.last.data("<p>", true)), "grpc 2"],
    ];
    const expected: Record<string, number> = {};
    for (const [answer, outcome] of answers) {
      call(world, { ...requestHead("POST", "/", grpc), version: "2" });
      world.accept();
      answer(world);
      expected[outcome] = (expected[outcome] ?? 0) + 1;
      assert.deepEqual(world.outcomes, expected);
    }
  });
});

function upgrade(): { world: FakeWorld } & Call {
  const world = new FakeWorld();
  world.update({ port: 1, meshed: true });
  const opened = call(world, { ...requestHead("GET", "/"), upgrade: "websocket" }, false);
  world.accept();
  return { world, ...opened };
}

describe("Dispatch: an upgrade", () => {
  it("ends in each direction on its own, and is counted once", () => {
    const { world, stream, response } = upgrade();
    world.last.answer(101, false, [], "websocket");
    world.last.data("bye", true);
    assert.equal(world.backend.inFlight, 1);
    stream.sendData(Buffer.from("still here"), false);
    stream.sendData(Buffer.from("!"), true);
    assert.equal(world.last.sent, "still here!");
    assert.equal(world.backend.inFlight, 0);
    assert.equal(response.text, "bye");
    assert.deepEqual(world.outcomes, { 101: 1 });
  });

  it("is not counted a second time when it is cut after one direction has ended", () => {
    for (const side of ["server", "caller"]) {
      const { world, stream } = upgrade();
      world.last.answer(101, false, [], "websocket");
      world.last.data("", true);
      if (side === "server") world.last.lose("closed");
      else stream.reset(gone);
      assert.deepEqual(world.outcomes, { 101: 1 }, side);
      assert.equal(world.backend.inFlight, 0);
    }
  });

  it("that is declined is an answer like any other", () => {
    const { world, response } = upgrade();
    world.last.answer(426, true);
    assert.equal(response.head?.status, 426);
    assert.equal(world.backend.inFlight, 0);
  });
});

function otherwise(protocol: "http" | "http2", version: "1.1" | "2", asks: string): { world: FakeWorld } & Call {
  const world = new FakeWorld({ protocol });
  world.update(1);
  const opened = call(world, { ...requestHead("GET", "/"), version, upgrade: asks }, false);
  world.accept();
  return { world, ...opened };
}

describe("Dispatch: an upgrade in another version of HTTP", () => {
  it("that cannot be answered is given up on both sides, once", () => {
    const { world, response } = otherwise("http", "2", "websocket");
    world.last.answer(200, false);
    assert.equal(kind(response), "unsupported");
    assert.equal(response.head, undefined);
    assert.equal(world.last.given?.code, "protocol");
    assert.deepEqual(world.outcomes, { unsupported: 1 });
    assert.equal(world.backend.inFlight, 0);
    assert.equal(response.late, 0);
  });

  it("goes out as an ordinary request where it is ignored", () => {
    const { world, response } = otherwise("http2", "1.1", "chess");
    assert.deepEqual([world.last.head.upgrade, world.last.requestEnded], ["", true]);
    world.last.answer(200, false);
    world.last.data("page", true);
    assert.deepEqual([response.head?.status, response.text], [200, "page"]);
    assert.deepEqual(world.outcomes, { 200: 1 });
    assert.equal(world.backend.inFlight, 0);
  });

  it("is made anew for each endpoint that it is sent to", async () => {
    const world = new FakeWorld({ protocol: "http", random: () => 0 });
    world.update(1, 2);
    const { response } = call(world, { ...requestHead("GET", "/"), version: "2", upgrade: "websocket" }, false);
    world.accept();
    world.last.lose("refused");
    world.accept();
    assert.equal(world.streams.length, 2);
    assert.equal(world.last.head.version, "1.1");
    world.last.answer(403, true);
    assert.equal(response.head?.status, 403);
  });
});

describe("Dispatch: CONNECT", () => {
  it("goes elsewhere when an endpoint does not accept, and is a tunnel once it is granted", () => {
    const world = new FakeWorld({ random: () => 0 });
    world.update(1, 2);
    const { stream, response } = call(world, { ...requestHead("CONNECT", ""), upgrade: "connect" }, false);
    world.attempts[0]?.refuse();
    world.accept();
    world.last.answer(200, false, ["content-type", "application/grpc"], "connect");
    assert.equal(response.head?.upgrade, "connect");
    stream.sendData(Buffer.from("up"), true);
    assert.equal(world.backend.inFlight, 1);
    world.last.data("down", true);
    assert.equal(world.backend.inFlight, 0);
    assert.deepEqual(world.outcomes, { 200: 1 });
  });
});

describe("Dispatch: HTTP/1 packed into HTTP/2", () => {
  it("gives interim answers back as they were, with nothing of the mesh in them", () => {
    const world = new FakeWorld();
    world.update({ port: 1, meshed: true });
    const { response } = call(world);
    world.accept();
    world.last.answer(103, false, ["link", "</a>", "heddle-orig-proto", "1.1", "heddle-orig-names", "Link"]);
    assert.deepEqual(response.interim[0]?.headers, ["Link", "</a>"]);
  });

  it("is not done where the far sidecar does not look at the bytes", () => {
    const world = new FakeWorld({ protocol: "opaque" });
    world.update({ port: 1, meshed: true });
    call(world);
    world.accept();
    assert.equal(world.last.head.version, "1.1");
    assert.ok(!world.last.head.headers.includes("heddle-orig-proto"));
  });
});
