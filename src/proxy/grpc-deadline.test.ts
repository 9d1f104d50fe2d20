import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { RecordedResponse, requestHead } from "../../test/support/exchange-recorder.ts";
import type { HeaderList, RequestHead } from "../protocol/exchange.ts";
import { parseGrpcTimeout } from "../protocol/grpc.ts";
import { getHeader } from "../protocol/headers.ts";
import { failureOf } from "./failure.ts";
import { GrpcDeadlines } from "./grpc-deadline.ts";
import type { FakeStream } from "./testing/fake-client.ts";
import { FakeWorld, settled, type WorldOptions } from "./testing/fake-world.ts";

function grpcHead(...headers: HeaderList): RequestHead {
  const all = ["content-type", "application/grpc", "te", "trailers", ...headers];
  return { ...requestHead("POST", "/a.B/C", all), version: "2" };
}

interface Rig {
  readonly world: FakeWorld;
  readonly response: RecordedResponse;
}

/** A request on its way to a backend that has no endpoint yet. */
function rig(head: RequestHead, options: WorldOptions = {}): Rig {
  const world = new FakeWorld({ protocol: "http2", ...options });
  const response = new RecordedResponse();
  new GrpcDeadlines(world.backend, world.clock).open(head, false, response);
  return { world, response };
}

function timeoutGiven(stream: FakeStream): string | undefined {
  return getHeader(stream.head.headers, "grpc-timeout");
}

function failureCode(response: RecordedResponse): string | undefined {
  return response.reset === undefined ? undefined : failureOf(response.reset).code;
}

describe("the deadline of a gRPC request", () => {
  it("ends the exchange on both sides at once", () => {
    const { world, response } = rig(grpcHead("grpc-timeout", "250m"));
    world.update(1);
    world.accept();
    world.clock.advance(249);
    assert.equal(response.reset, undefined);
    world.clock.advance(1);
    assert.equal(failureCode(response), "HED1014");
    assert.equal(world.last.given?.code, "timeout");
    assert.deepEqual(world.outcomes, { deadline: 1 });
  });

  it("goes on with what is left of it after every queue on the way", () => {
    const { world } = rig(grpcHead("grpc-timeout", "2S"));
    world.clock.advance(500);
    world.update(1);
    world.clock.advance(300);
    world.accept();
    assert.equal(timeoutGiven(world.last), "1200000u", "500 ms for an endpoint, 300 ms for a connection");
  });

  it("goes to a second endpoint with what the first has left of it", async () => {
    const { world } = rig(grpcHead("grpc-timeout", "50m"));
    world.update(1, 2);
    world.accept();
    assert.equal(timeoutGiven(world.last), "50000000n");
    world.clock.advance(20);
    world.last.lose("refused");
    world.accept();
    await settled();
    assert.equal(world.streams.length, 2);
    assert.equal(timeoutGiven(world.last), "30000000n");
  });

  it("passes while the request still waits, without an endpoint or without a connection", async () => {
    for (const endpoints of [[], [1]]) {
      const { world, response } = rig(grpcHead("grpc-timeout", "100m"));
      world.update(...endpoints);
      world.clock.advance(100);
      assert.equal(failureCode(response), "HED1014");
      world.update(1);
      world.accept();
      await settled();
      assert.equal(world.streams.length, 0, "nobody waits for the answer any more");
      assert.equal(world.backend.inFlight, 0);
    }
  });

  it("of nothing fails, but not from inside", async () => {
    const { world, response } = rig(grpcHead("grpc-timeout", "0n"));
    assert.equal(response.reset, undefined);
    world.clock.advance(0);
    await settled();
    assert.equal(failureCode(response), "HED1014");
  });

  it("may lie centuries ahead", () => {
    const { world, response } = rig(grpcHead("grpc-timeout", "99999999H"));
    world.update(1);
    world.accept();
    world.clock.advance(1_000 * 365 * 24 * 3_600_000);
    assert.equal(response.reset, undefined);
    assert.match(timeoutGiven(world.last) ?? "", /^[0-9]{1,8}[HMS]$/);
  });

  it("grows on no way through the mesh, and shrinks by no more than the time that passed", () => {
    const unit = fc.constantFrom("H", "M", "S", "m", "u", "n");
    const waits = fc.double({ min: 0, max: 1e6, noNaN: true });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 99_999_999 }), unit, waits, (count, by, waitedMs) => {
        const givenMs = parseGrpcTimeout(`${count}${by}`) ?? NaN;
        const { world, response } = rig(grpcHead("grpc-timeout", `${count}${by}`), {
          policy: { failfastTimeoutMs: 1e9 },
        });
        world.clock.advance(waitedMs);
        world.update(1);
        world.accept();
        if (response.reset !== undefined) {
          assert.ok(givenMs <= waitedMs, `${givenMs} ms were over after ${waitedMs}`);
          return;
        }
        const leftMs = parseGrpcTimeout(timeoutGiven(world.last) ?? "") ?? NaN;
        assert.ok(leftMs >= Math.max(0, givenMs - waitedMs) * (1 - 1e-9) - 1e-5, `${leftMs} ms of ${givenMs}`);
        // Rounded up to the unit that fits: at most one in a hundred thousand.
        assert.ok(leftMs <= Math.max(0, givenMs - waitedMs) * (1 + 1e-3) + 1e-5, `${leftMs} ms of ${givenMs}`);
      }),
    );
  });

  it("is nobody's limit here and goes on as it is where it is malformed or ambiguous", () => {
    const oddities: HeaderList[] = [
      ["grpc-timeout", ""],
      ["grpc-timeout", "5"],
      ["grpc-timeout", "-5m"],
      ["grpc-timeout", "123456789m"],
      ["grpc-timeout", "5x"],
      ["grpc-timeout", "5m", "grpc-timeout", "6m"],
    ];
    for (const oddity of oddities) {
      const head = grpcHead(...oddity);
      const { world, response } = rig(head);
      world.update(1);
      world.accept();
      assert.deepEqual(world.last.head.headers, grpcHead(...oddity).headers);
      world.clock.advance(60_000);
      assert.equal(response.reset, undefined);
    }
  });

  it("is not looked for in what is not gRPC", () => {
    const others: RequestHead[] = [
      { ...requestHead("POST", "/", ["grpc-timeout", "1m", "content-type", "application/json"]), version: "2" },
      { ...requestHead("POST", "/", ["grpc-timeout", "1m", "content-type", "application/grpc-web"]), version: "2" },
      { ...grpcHead("grpc-timeout", "1m"), method: "GET" },
      { ...grpcHead("grpc-timeout", "1m"), version: "1.1" },
    ];
    for (const other of others) {
      const { world, response } = rig(other);
      world.update(1);
      world.accept();
      world.clock.advance(60_000);
      assert.equal(response.reset, undefined);
      assert.equal(timeoutGiven(world.last), "1m");
    }
  });

  it("leaves no timer behind when the answer was in time", async () => {
    const { world, response } = rig(grpcHead("grpc-timeout", "10S"));
    world.update(1);
    world.accept();
    world.last.answer(200, false, ["content-type", "application/grpc"]);
    world.last.endWithTrailers(["grpc-status", "0"]);
    assert.ok(response.ended);
    world.backend.close();
    await settled();
    assert.equal(world.clock.pending, 0);
    assert.deepEqual(world.outcomes, { "grpc 0": 1 });
  });
});
