import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { isAllowedHost, isAllowedOrigin } from "./host-check.ts";

describe("isAllowedHost", () => {
  it("takes loopback names and addresses, with any port", () => {
    for (const host of [
      "localhost",
      "LOCALHOST:1",
      "api.localhost:80",
      "127.0.0.1",
      "127.9.8.7:4180",
      "[::1]",
      "[::1]:4180",
    ]) {
      assert.ok(isAllowedHost(host, "127.0.0.1"), host);
    }
  });

  it("takes the address on which the request came", () => {
    assert.ok(isAllowedHost("10.1.2.3:4180", "10.1.2.3"));
    assert.ok(isAllowedHost("10.1.2.3:4180", "::ffff:10.1.2.3"));
    assert.ok(isAllowedHost("[fd00::1]:4180", "fd00::1"));
    assert.ok(!isAllowedHost("10.1.2.4:4180", "10.1.2.3"));
  });

  it("refuses everything else", () => {
    for (const host of [
      undefined,
      "",
      ":80",
      "evil.example",
      "localhost.evil.example",
      "127.0.0.1.evil.example",
      "evil.example:4180",
      "127.0.0.1@evil.example",
      "evillocalhost",
      "[::1",
      "::1",
      "[::2]",
    ]) {
      assert.ok(!isAllowedHost(host, undefined), String(host));
      assert.ok(!isAllowedHost(host, "127.0.0.1"), String(host));
    }
  });
});

describe("isAllowedOrigin", () => {
  it("takes programs, and pages of our own", () => {
    assert.ok(isAllowedOrigin(undefined, "127.0.0.1:4180"));
    assert.ok(isAllowedOrigin("http://127.0.0.1:4180", "127.0.0.1:4180"));
    assert.ok(isAllowedOrigin("http://localhost:4180", "LOCALHOST:4180"));
    assert.ok(isAllowedOrigin("http://[::1]:4180", "[::1]:4180"));
  });

  it("refuses pages of others, also on this host, and those that do not say where they are", () => {
    for (const origin of [
      "http://evil.example",
      "https://127.0.0.1:4180",
      "http://127.0.0.1:3000",
      "http://127.0.0.1",
      "http://localhost:4180",
      "http://127.0.0.1:4180.evil.example",
      "null",
      "",
    ]) {
      assert.ok(!isAllowedOrigin(origin, "127.0.0.1:4180"), origin);
    }
  });
});
