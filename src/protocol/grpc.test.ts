import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import {
  decodeGrpcMessage,
  encodeGrpcMessage,
  formatGrpcTimeout,
  GrpcCode,
  grpcCodeName,
  grpcCodeOfFailure,
  grpcCodeOfHttp,
  grpcStatusOfHead,
  grpcStatusOfTrailers,
  httpStatusOfGrpc,
  isGrpc,
  parseGrpcTimeout,
} from "./grpc.ts";

describe("gRPC", () => {
  it("is known by its content type", () => {
    for (const type of ["application/grpc", "application/grpc+proto", "Application/GRPC", "application/grpc; a=b"]) {
      assert.equal(isGrpc(["Content-Type", type]), true, type);
    }
    for (const type of [
      "application/grpc-web",
      "application/grpc-web+proto",
      "application/json",
      "",
      "xapplication/grpc",
    ]) {
      assert.equal(isGrpc(["content-type", type]), false, type);
    }
    assert.equal(isGrpc([]), false);
  });

  it("has its status in trailers, or in a head that is all", () => {
    assert.equal(grpcStatusOfTrailers(["grpc-status", "0"]), 0);
    assert.equal(grpcStatusOfHead(["content-type", "application/grpc", "Grpc-Status", "14"]), 14);
    assert.equal(grpcStatusOfTrailers([]), undefined);
    assert.equal(grpcStatusOfTrailers(["grpc-status", "what"]), GrpcCode.unknown);
    assert.equal(grpcStatusOfTrailers(["grpc-status", ""]), GrpcCode.unknown);
  });

  it("names its codes", () => {
    assert.deepEqual([0, 7, 14, 16, 17, -1].map(grpcCodeName), [
      "OK",
      "PERMISSION_DENIED",
      "UNAVAILABLE",
      "UNAUTHENTICATED",
      "UNKNOWN",
      "UNKNOWN",
    ]);
    for (const code of Object.values(GrpcCode)) assert.notEqual(grpcCodeName(code), undefined);
    assert.equal(grpcCodeName(GrpcCode.dataLoss), "DATA_LOSS");
  });

  it("translates HTTP statuses as its clients do, failures as Linkerd does, and back", () => {
    const http: [number, number][] = [
      [400, 13],
      [401, 16],
      [403, 7],
      [404, 12],
      [429, 14],
      [502, 14],
      [503, 14],
      [504, 14],
      [200, 2],
      [500, 2],
    ];
    for (const [status, code] of http) assert.equal(grpcCodeOfHttp(status), code);
    const failures: [number, string][] = [
      [403, "PERMISSION_DENIED"],
      [404, "NOT_FOUND"],
      [429, "RESOURCE_EXHAUSTED"],
      [502, "UNAVAILABLE"],
      [503, "UNAVAILABLE"],
      [504, "DEADLINE_EXCEEDED"],
      [508, "ABORTED"],
      [500, "INTERNAL"],
    ];
    for (const [status, name] of failures) assert.equal(grpcCodeName(grpcCodeOfFailure(status)), name);
    const back = [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401];
    back.forEach((status, code) => assert.equal(httpStatusOfGrpc(code), status, grpcCodeName(code)));
    assert.equal(httpStatusOfGrpc(99), 500);
  });
});

describe("grpc-message", () => {
  it("escapes what is not visible ASCII, and the percent sign", () => {
    assert.equal(encodeGrpcMessage("no endpoint"), "no endpoint");
    assert.equal(encodeGrpcMessage("100 % ü\n"), "100 %25 %C3%BC%0A");
  });

  it("comes back as it was, in octets that a field may have", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (message) => {
        const encoded = encodeGrpcMessage(message);
        assert.match(encoded, /^[ -~]*$/);
        assert.equal(decodeGrpcMessage(encoded), message);
      }),
    );
  });

  it("is kept when it was not escaped properly", () => {
    assert.equal(decodeGrpcMessage("50% of %zz"), "50% of %zz");
    assert.equal(decodeGrpcMessage("a%"), "a%");
  });
});

describe("grpc-timeout", () => {
  it("is read in every unit", () => {
    const examples: [string, number][] = [
      ["2H", 7_200_000],
      ["3M", 180_000],
      ["5S", 5_000],
      ["250m", 250],
      ["1000u", 1],
      ["0n", 0],
    ];
    for (const [text, ms] of examples) assert.equal(parseGrpcTimeout(text), ms);
    assert.ok(Math.abs((parseGrpcTimeout("1500000n") ?? 0) - 1.5) < 1e-9);
  });

  for (const text of ["", "m", "5", "5s", "-5m", "5 m", "123456789m", "5mm", "1.5S", "+5m"]) {
    it(`refuses ${JSON.stringify(text)}`, () => assert.equal(parseGrpcTimeout(text), undefined));
  }

  it("is written so that it is read as the same time or a little more", () => {
    assert.equal(formatGrpcTimeout(5_000), "5000000u");
    assert.equal(formatGrpcTimeout(0), "0n");
    assert.equal(formatGrpcTimeout(Infinity), "99999999H");
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1e13, noNaN: true }), (ms) => {
        const text = formatGrpcTimeout(ms);
        assert.match(text, /^[0-9]{1,8}[HMSmun]$/);
        const back = parseGrpcTimeout(text) ?? -1;
        assert.ok(back >= ms * (1 - 1e-9) - 1e-11 && back <= ms * (1 + 1e-3) + 1e-6, `${ms} became ${text}`);
      }),
    );
  });
});
