import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { isConnectTarget, withoutHttp } from "./upgrade.ts";

describe("isConnectTarget", () => {
  it("wants a host and a port that can be connected to", () => {
    for (const good of ["a:1", "price.shop:80", "127.0.0.1:65535", "[::1]:443"])
      assert.equal(isConnectTarget(good), true, good);
    for (const bad of [
      "",
      "a",
      ":1",
      "a:",
      "a:0",
      "a:65536",
      "a:123456",
      "a:8o",
      "a:1:2",
      "[::1]",
      "::1",
      "u@a:1",
      "a:+1",
      "a: 1",
    ]) {
      assert.equal(isConnectTarget(bad), false, bad);
    }
  });
});

describe("withoutHttp", () => {
  it("takes HTTP itself out, in any version and case, and leaves the rest as it is", () => {
    for (const [value, left] of [
      ["websocket", "websocket"],
      ["WebSocket, SPDY/3.1,x", "WebSocket, SPDY/3.1,x"],
      ["h2c", ""],
      ["H2C", ""],
      ["h2", ""],
      ["HTTP/2.0", ""],
      ["http", ""],
      ["h2c, websocket", "websocket"],
      ["websocket,h2c , HTTP/3, chess", "websocket, chess"],
      ["h2cx, httpx", "h2cx, httpx"],
    ] as const) {
      assert.equal(withoutHttp(value), left, value);
    }
  });
});
