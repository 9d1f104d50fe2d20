import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { isLoopback } from "./loopback.ts";

describe("isLoopback", () => {
  for (const address of [
    "127.0.0.1",
    "127.255.255.255",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "0:0:0:0:0:0:0:1",
  ]) {
    it(`${address} is`, () => assert.equal(isLoopback(address), true));
  }
  for (const address of [
    "128.0.0.1",
    "10.0.0.1",
    "0.0.0.0",
    "::",
    "::2",
    "::ffff:10.0.0.1",
    "fe80::1",
    "",
    "localhost",
  ]) {
    it(`"${address}" is not`, () => assert.equal(isLoopback(address), false));
  }
});
