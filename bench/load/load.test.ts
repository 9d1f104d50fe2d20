import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { parseH2load } from "./h2load.ts";
import { parseWrk } from "./wrk.ts";

describe("the output of wrk", () => {
  const fine =
    "Running 1s test @ http://127.0.0.1:1/\n  54321 requests in 1.00s, 15.54MB read\nRequests/sec:  54210.33\n";

  it("is counted", () => {
    assert.deepEqual(parseWrk(fine), { requests: 54_321, rate: 54_210.33, failures: 0 });
  });

  it("tells failures of every kind", () => {
    const errors = "  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 10\n";
    assert.equal(parseWrk(fine + errors).failures, 20);
  });

  it("is refused when it is something else", () => {
    assert.throws(() => parseWrk("unable to connect"), /something else/);
  });
});

/** What h2load prints. */
const h2loadOutput = (failed: number): string => `finished in 3.00s, 28333.33 req/s, 6.49MB/s
requests: 85000 total, 85080 started, 85000 done, ${85_000 - failed} succeeded, ${failed} failed, 0 errored, 0 timeout
`;

describe("the output of h2load", () => {
  it("is counted", () => {
    assert.deepEqual(parseH2load(h2loadOutput(7)), { requests: 85_000, rate: 28_333.33, failures: 7 });
  });

  it("is refused when it is something else", () => {
    assert.throws(() => parseH2load(""), /something else/);
  });
});
