import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { ResetCause, type ResetCode } from "../protocol/exchange.ts";
import { ErrorCode } from "../protocol/http2/frames.ts";
import { GRPC_CODE_NAMES } from "../protocol/grpc.ts";
import { failureCause, failureOf, failures } from "./failure.ts";

function nameOf(code: ResetCode, http2Code: number): string | undefined {
  return GRPC_CODE_NAMES[failureOf(new ResetCause(code, "", http2Code)).grpcStatus];
}

describe("failures", () => {
  const all = Object.values(failures);

  it("have codes and kinds of their own", () => {
    assert.equal(new Set(all.map(({ code }) => code)).size, all.length);
    assert.equal(new Set(all.map(({ kind }) => kind)).size, all.length);
  });

  it("are errors in HTTP and in gRPC, and explained", () => {
    for (const { code, kind, status, grpcStatus, summary, advice } of all) {
      assert.match(code, /^HED\d{4}$/);
      assert.match(kind, /^[a-z_]+$/);
      assert.ok(status >= 400 && status < 600);
      assert.ok(grpcStatus > 0 && grpcStatus < GRPC_CODE_NAMES.length);
      assert.match(summary, /\.$/);
      assert.match(advice, /\.$/);
    }
  });

  it("are found for every way in which an exchange can end, and for the reason that a proxy had itself", () => {
    const expected: Record<ResetCode, string> = {
      refused: "unprocessed",
      cancelled: "cancelled",
      protocol: "bad_answer",
      closed: "closed",
      connect: "connect",
      timeout: "timeout",
      overflow: "loadshed",
      internal: "unexpected",
    };
    for (const [code, kind] of Object.entries(expected)) {
      assert.equal(failureOf(new ResetCause(code as ResetCode, "")).kind, kind);
    }
    assert.equal(failureOf(new ResetCause("protocol", "", ErrorCode.http11Required)), failures.unsupported);
    assert.equal(failureOf(failureCause(failures.unknownService, "refused", "")), failures.unknownService);
  });

  it("say to a gRPC caller what it would have made of the HTTP/2 error itself", () => {
    const cancelled: [number, string][] = [
      [ErrorCode.noError, "INTERNAL"],
      [ErrorCode.cancel, "CANCELLED"],
    ];
    const broken: [number, string][] = [
      [ErrorCode.protocolError, "INTERNAL"],
      [ErrorCode.internalError, "INTERNAL"],
      [ErrorCode.flowControlError, "INTERNAL"],
      [ErrorCode.enhanceYourCalm, "RESOURCE_EXHAUSTED"],
      [ErrorCode.inadequateSecurity, "PERMISSION_DENIED"],
    ];
    for (const [code, name] of cancelled) assert.equal(nameOf("cancelled", code), name);
    for (const [code, name] of broken) assert.equal(nameOf("protocol", code), name);
    assert.equal(nameOf("refused", ErrorCode.refusedStream), "UNAVAILABLE");
    assert.equal(nameOf("overflow", ErrorCode.enhanceYourCalm), "UNAVAILABLE", "a bound of our own");
    assert.equal(nameOf("protocol", ErrorCode.http11Required), "UNIMPLEMENTED");
    const calm = failureOf(new ResetCause("protocol", "", ErrorCode.enhanceYourCalm));
    assert.equal(calm.code, failures.badAnswer.code, "everything else stays");
  });
});
