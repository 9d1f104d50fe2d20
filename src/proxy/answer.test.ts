import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { requestHead } from "../../test/support/exchange-recorder.ts";
import { answerFailure, answerFault, type Speaker } from "./answer.ts";
import { failures } from "./failure.ts";
import { FakeServerStream } from "./testing/fake-server-stream.ts";

const inbound: Speaker = { direction: "inbound", workload: "price-1.default" };
const outbound: Speaker = { direction: "outbound", workload: "caller.default" };

describe("answerFailure", () => {
  it("says what, where, which request, and what explains it", () => {
    const stream = new FakeServerStream();
    answerFailure(stream, requestHead("GET", "/", ["X-Request-ID", "r-1"]), outbound, failures.loadShed, "full");
    assert.equal(stream.status, 503);
    assert.equal(stream.header("heddle-error"), "HED1004 loadshed");
    assert.equal(stream.header("heddle-hop"), "outbound caller.default");
    assert.equal(stream.header("x-request-id"), "r-1");
    assert.equal(stream.header("content-length"), String(stream.text.length));
    assert.match(stream.text, /^HED1004: .*\nfull\nhop: outbound .*\nrequest: r-1\nexplain: heddle explain HED1004\n$/);
    assert.ok(stream.ended);
  });

  it("has no body for HEAD", () => {
    const stream = new FakeServerStream();
    answerFailure(stream, requestHead("HEAD", "/"), outbound, failures.connect, "x");
    assert.ok(stream.ended);
    assert.equal(stream.chunks.length, 0);
    assert.ok(Number(stream.header("content-length")) > 0);
  });

  it("is trailers-only for gRPC, with a message that is safe in a header", () => {
    const stream = new FakeServerStream();
    const request = requestHead("POST", "/a.B/C", ["content-type", "application/grpc"]);
    answerFailure(stream, request, outbound, failures.timeout, "too\r\nslow é");
    assert.equal(stream.status, 200);
    assert.ok(stream.ended);
    assert.equal(stream.header("content-type"), "application/grpc");
    assert.equal(stream.header("grpc-status"), "4");
    assert.match(stream.header("grpc-message") ?? "", /^HED1008: [ -~]*too%0D%0Aslow %C3%A9$/);
  });

  it("never looks like the grant of a tunnel", () => {
    for (const upgrade of ["connect", "websocket"]) {
      const stream = new FakeServerStream();
      const request = { ...requestHead("GET", "/", ["content-type", "application/grpc"]), upgrade };
      answerFailure(stream, request, outbound, failures.connect, "x");
      assert.equal(stream.status, 502);
    }
  });

  it("does not give back an id that could do harm", () => {
    for (const id of ["a b", "x".repeat(129), "\u001b[31m", ""]) {
      const stream = new FakeServerStream();
      answerFailure(stream, requestHead("GET", "/", ["x-request-id", id]), outbound, failures.connect, "x");
      assert.match(stream.header("x-request-id") ?? "", /^[0-9a-f-]{36}$/);
    }
  });

  it("gives its word that the application has seen nothing only at the application's sidecar, and only if it is so", () => {
    const unprocessed = new Set<unknown>([failures.connect, failures.failfast, failures.unprocessed]);
    for (const speaker of [inbound, outbound]) {
      for (const failure of Object.values(failures)) {
        for (const headers of [[], ["content-type", "application/grpc"]]) {
          const stream = new FakeServerStream();
          answerFailure(stream, requestHead("GET", "/", headers), speaker, failure, "x");
          const expected = speaker === inbound && unprocessed.has(failure) ? "1" : undefined;
          assert.equal(stream.header("heddle-unprocessed"), expected, `${speaker.direction} ${failure.kind}`);
        }
      }
    }
  });
});

describe("answerFault", () => {
  it("keeps the status that the codec found", () => {
    const { head, body } = answerFault(outbound, 431, "too much");
    assert.equal(head.status, 431);
    assert.match(body, /HED1010[\s\S]*too much[\s\S]*hop: outbound/);
  });
});
