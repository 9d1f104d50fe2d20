import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { API_TOKEN_CHARACTERS_MAX, apiTokenProblem } from "./api-token.ts";
import { bearerOf, newApiToken } from "./bearer.ts";

describe("an API token", () => {
  it("is made anew each time, and is a good one", () => {
    const tokens = Array.from({ length: 50 }, newApiToken);
    assert.equal(new Set(tokens).size, 50);
    for (const token of tokens) assert.deepEqual([token.length, apiTokenProblem(token)], [43, ""]);
  });

  it("has 32 to 1024 visible characters; what is wrong is said without it", () => {
    const good = ["x".repeat(32), "~!".repeat(20), "x".repeat(API_TOKEN_CHARACTERS_MAX)];
    for (const text of good) assert.equal(apiTokenProblem(text), "");
    const bad = ["", "s".repeat(31), "s".repeat(1_025), `${"s".repeat(40)} `, `${"s".repeat(40)}\n`, "sß".repeat(20)];
    for (const text of bad) {
      assert.match(apiTokenProblem(text), /^expected 32 to 1024 characters of visible ASCII.*; found (\d+|another)$/);
    }
  });

  it("is told from all others, in an Authorization field of the right kind", () => {
    const token = newApiToken();
    const isAuthorized = bearerOf(token);
    for (const good of [`Bearer ${token}`, `bearer   ${token}`]) assert.equal(isAuthorized(good), true);
    const almost = `${token.slice(0, -1)}${token.endsWith("A") ? "B" : "A"}`;
    for (const bad of [
      ...[undefined, "", "Bearer", "Bearer ", token, `Basic ${token}`, `Basic ${btoa(`heddle:${token}`)}`],
      ...[`Bearer ${almost}`, `Bearer ${token.slice(0, -1)}`, `Bearer ${token}x`, `Bearer ${token} x`],
      ...[`Bearer ${token}, Bearer ${token}`, `Bearer "${token}"`, `xBearer ${token}`, `Bearer\n${token}`],
    ]) {
      assert.equal(isAuthorized(bad), false, String(bad));
    }
  });
});
