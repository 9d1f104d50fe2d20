import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { requestHead, responseHead } from "../../test/support/exchange-recorder.ts";
import type { RequestHead } from "./exchange.ts";
import {
  decodeGrpcMessage,
  encodeGrpcMessage,
  formatGrpcTimeout,
  GrpcCode,
  grpcCodeName,
  grpcCodeOfHttp,
  grpcKind,
  grpcStatusOf,
  isGrpc,
  isJudgedByGrpc,
  parseGrpcTimeout,
} from "./grpc.ts";

function request(version: "1.1" | "2", headers: string[]): RequestHead {
  return { ...requestHead("POST", "/a.B/C", headers), version };
}

function judged(of: RequestHead, headers: string[]): boolean {
  return isJudgedByGrpc(of, responseHead(200, headers));
}

describe("gRPC", () => {
  it("is known by its content type, and gRPC-Web by its own", () => {
    const types: [string, ReturnType<typeof grpcKind>][] = [
      ["application/grpc", "grpc"],
      ["application/grpc+proto", "grpc"],
      ["Application/GRPC", "grpc"],
      ["application/grpc; a=b", "grpc"],
      ["application/grpc-web", "web"],
      ["application/grpc-web+proto", "web"],
      ["Application/gRPC-Web-Text+proto; charset=utf-8", "web"],
      ["application/grpc-web-texture", ""],
      ["application/grpcs", ""],
      ["application/gzip", ""],
      ["application/json", ""],
      ["", ""],
      ["xapplication/grpc", ""],
    ];
    for (const [type, kind] of types) {
      assert.equal(grpcKind(["Content-Type", type]), kind, type);
      assert.equal(isGrpc(["content-type", type]), kind === "grpc", type);
    }
    assert.equal(grpcKind([]), "");
  });

  it("has its status in trailers, or in a head that is all", () => {
    const shapes: [string[], number | undefined][] = [
      [["grpc-status", "0"], 0],
      [["content-type", "application/grpc", "Grpc-Status", "14"], 14],
      [[], undefined],
      [["grpc-message", "7"], undefined],
      [["grpc-status", "what"], GrpcCode.unknown],
      [["grpc-status", ""], GrpcCode.unknown],
      [["grpc-status", "-1"], GrpcCode.unknown],
      [["grpc-status", "1e1"], GrpcCode.unknown],
      [["grpc-status", "9".repeat(10)], GrpcCode.unknown],
      [["grpc-status", "99"], 99],
      [["grpc-status", "13", "grpc-status", "13"], 13],
      [["grpc-status", "0", "a", "b", "GRPC-STATUS", "13"], GrpcCode.unknown],
    ];
    for (const [fields, status] of shapes) assert.equal(grpcStatusOf(fields), status, fields.join(" "));
  });

  it("judges what answers a gRPC request, gRPC or not, and gRPC-Web with its status in the head", () => {
    const grpc = ["content-type", "application/grpc+proto"];
    const web = ["content-type", "application/grpc-web"];
    assert.ok(judged(request("2", grpc), grpc));
    assert.ok(judged(request("2", grpc), ["content-type", "text/html"]), "its client has to make something of it, too");
    assert.ok(judged(request("2", grpc), []));
    assert.ok(judged(request("2", []), grpc));
    assert.ok(judged(request("1.1", web), [...web, "grpc-status", "5"]));
    assert.ok(!judged(request("1.1", web), web), "its status is in the body");
    assert.ok(!judged(request("2", ["content-type", "application/json"]), ["content-type", "application/json"]));
    assert.ok(!judged({ ...request("2", grpc), method: "GET" }, []));
    assert.ok(!isJudgedByGrpc(request("2", grpc), { ...responseHead(200, grpc), upgrade: "connect" }), "a tunnel");
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

  it("translates HTTP statuses as its clients do", () => {
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
