/** What policies read of a request: its path, and where tokens are. The first line is the target, the second a cookie. */
import assert from "node:assert/strict";

import type { JwtLocation } from "../../src/model/inbound-policy.ts";
import { removeTokens, tokensAt } from "../../src/policy/jwt/found-token.ts";
import { readingsOf } from "../../src/policy/path.ts";
import type { Target } from "../target.ts";

const LOCATIONS: readonly JwtLocation[] = [
  { in: "query", name: "t" },
  { in: "cookie", name: "t" },
  { in: "header", name: "cookie", prefix: "t=" },
];

export const policyRequest: Target = {
  name: "policy-request",
  tokens: [
    "/",
    "//",
    "/../",
    "/./",
    "%2e",
    "%2F",
    "%5c",
    "\\",
    ";",
    "#",
    "?",
    "&",
    "t=",
    "; t=",
    "%74=",
    "\n",
    "%",
    "=",
    '"',
    "+",
  ],
  bytesMax: 256,
  run(input) {
    const [path = "", cookie = ""] = input.toString("latin1").split("\n", 2);
    const readings = readingsOf(path);
    const simplest = readings?.at(-1);
    if (readings !== undefined && readings.length > 1 && simplest !== undefined && /^[\w./-]+$/.test(simplest)) {
      assert.deepEqual(readingsOf(simplest), [simplest], "what is resolved has one reading");
    }
    const kinds = LOCATIONS.map((location) => {
      const carrier = { path, headers: ["Cookie", cookie] };
      const found = tokensAt(carrier, location).length;
      removeTokens(carrier, location);
      assert.deepEqual(tokensAt(carrier, location), [], "a token that was taken out is gone");
      if (found === 0) assert.deepEqual(carrier, { path, headers: ["Cookie", cookie] });
      return Math.min(found, 2);
    });
    return `${readings?.length ?? "doubt"} ${kinds.join("")}`;
  },
};
