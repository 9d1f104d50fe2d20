import assert from "node:assert/strict";
import { it } from "node:test";

import { ErrorCode } from "./frames.ts";
import { errorCodeOf, resetCodeOf } from "./reset-code.ts";

it("what one side means, the other understands, where HTTP/2 has a code for it", () => {
  for (const reset of ["refused", "cancelled", "protocol"] as const)
    assert.equal(resetCodeOf(errorCodeOf(reset)), reset);
});

it("a timeout is a cancellation to the peer; the rest are faults", () => {
  assert.equal(errorCodeOf("timeout"), ErrorCode.cancel);
  assert.equal(errorCodeOf("internal"), ErrorCode.internalError);
  assert.equal(resetCodeOf(ErrorCode.internalError), "protocol");
});
