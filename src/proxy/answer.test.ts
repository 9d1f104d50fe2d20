import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { requestHead } from "../../test/support/exchange-recorder.ts";
import type { RequestHead } from "../protocol/exchange.ts";
import { answerFailure, answerFault, explainCut, type Speaker } from "./answer.ts";
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

  it("is trailers-only with the failure's own status, for every failure, in gRPC and in gRPC-Web", () => {
    for (const failure of Object.values(failures)) {
      for (const type of ["application/grpc", "application/grpc+proto"]) {
        const stream = new FakeServerStream();
        answerFailure(stream, requestHead("POST", "/a.B/C", ["content-type", type]), inbound, failure, "x");
        assert.equal(stream.status, 200);
        assert.ok(stream.ended);
        assert.equal(stream.header("content-type"), "application/grpc");
        assert.equal(stream.header("content-length"), undefined);
        assert.equal(stream.header("grpc-status"), String(failure.grpcStatus));
        assert.ok(stream.header("grpc-message")?.startsWith(`${failure.code}: `));
        assert.equal(stream.header("heddle-error"), `${failure.code} ${failure.kind}`);
      }
      for (const type of ["application/grpc-web+proto", "application/grpc-web-text"]) {
        const stream = new FakeServerStream();
        const headers = ["Content-Type", `${type}; charset=utf-8`];
        answerFailure(stream, requestHead("POST", "/a.B/C", headers), inbound, failure, "x");
        assert.equal(stream.status, 200);
        assert.ok(stream.ended);
        assert.equal(stream.header("content-type"), type, "in the encoding of the request");
        assert.equal(stream.header("content-length"), "0", "over HTTP/1 the connection lives on");
        assert.equal(stream.header("grpc-status"), String(failure.grpcStatus));
      }
    }
  });

  it("never looks like the grant of a tunnel", () => {
    for (const type of ["application/grpc", "application/grpc-web"]) {
      const stream = new FakeServerStream();
      const request = { ...requestHead("GET", "/a.B/C", ["content-type", type]), upgrade: "websocket" };
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

function grpcRequest(headers: string[], version: "1.1" | "2" = "2"): RequestHead {
  return { ...requestHead("POST", "/a.B/C", headers), version };
}

describe("explainCut", () => {
  const grpc = ["content-type", "application/grpc", "te", "trailers"];

  it("says to a gRPC caller in trailers what happened, and where", () => {
    const stream = new FakeServerStream();
    assert.ok(explainCut(stream, grpcRequest(grpc), inbound, failures.closed, "it crashed\n"));
    const trailers = stream.trailers ?? [];
    const field = (name: string): string | undefined => trailers[trailers.indexOf(name) + 1];
    assert.equal(field("grpc-status"), "14");
    assert.match(field("grpc-message") ?? "", /^HED1006: .* it crashed%0A$/);
    assert.equal(field("heddle-error"), "HED1006 closed");
    assert.equal(field("heddle-hop"), "inbound price-1.default");
  });

  it("has no words for whoever does not speak gRPC or does not take trailers", () => {
    const others = [
      grpcRequest([]),
      grpcRequest(["content-type", "application/json", "te", "trailers"]),
      grpcRequest(["content-type", "application/grpc-web", "te", "trailers"]),
      grpcRequest(["content-type", "application/grpc"]),
      grpcRequest(grpc, "1.1"),
    ];
    for (const other of others) {
      const stream = new FakeServerStream();
      assert.equal(explainCut(stream, other, inbound, failures.closed, "x"), false);
      assert.equal(stream.trailers, undefined);
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
