import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { requestHead, responseHead } from "../../test/support/exchange-recorder.ts";
import type { HeaderList, RequestHead, ResetCause, ResponseHead } from "../protocol/exchange.ts";
import { getHeader } from "../protocol/headers.ts";
import { failureOf } from "./failure.ts";
import { acceptFor, upgradeOverHttp1, upgradeOverHttp2 } from "./websocket.ts";

/** The example of RFC 6455 §1.3. */
const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

function asked(version: "1.1" | "2", headers: HeaderList = [], upgrade = "websocket"): RequestHead {
  return { ...requestHead("GET", "/chat", headers), version, upgrade };
}

function switched(headers: HeaderList, upgrade = "websocket"): ResponseHead {
  return { ...responseHead(101, headers), upgrade };
}

function kind(answer: ResponseHead | ResetCause): string {
  assert.ok(!("status" in answer));
  return failureOf(answer).kind;
}

describe("Sec-WebSocket-Accept", () => {
  it("is what RFC 6455 says", () => {
    assert.equal(acceptFor(KEY), ACCEPT);
  });
});

describe("an upgrade from HTTP/2 to HTTP/1", () => {
  it("gets a key of 16 random bytes, in place of any that came along", () => {
    fc.assert(
      fc.property(fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true })), (stream) => {
        const head = asked("2", ["sec-websocket-key", "theirs", "sec-websocket-version", "13"]);
        const { request } = upgradeOverHttp1(head, () => stream.next().value as number);
        assert.equal(request.version, "1.1");
        assert.equal(request.headers.filter((text) => /^sec-websocket-key$/i.test(text)).length, 1);
        const key = getHeader(request.headers, "sec-websocket-key") ?? "";
        assert.match(key, /^[A-Za-z0-9+/]{22}==$/);
        assert.equal(Buffer.from(key, "base64").length, 16);
        assert.equal(getHeader(request.headers, "sec-websocket-version"), "13");
        assert.equal(getHeader(head.headers, "sec-websocket-key"), "theirs", "the head itself is left alone");
      }),
    );
  });

  it("has the answer's Accept checked and taken out", () => {
    const { request, answer } = upgradeOverHttp1(asked("2"), () => 0);
    const accept = acceptFor(getHeader(request.headers, "sec-websocket-key") ?? "");
    const good = answer(switched(["Sec-WebSocket-Accept", accept, "X", "y"], "WebSocket"));
    assert.deepEqual(good, { ...switched(["X", "y"]), upgrade: "WebSocket" });
    assert.equal(kind(answer(switched(["Sec-WebSocket-Accept", ACCEPT]))), "bad_answer");
    assert.equal(kind(answer(switched([]))), "bad_answer");
    assert.equal(kind(answer(switched(["Sec-WebSocket-Accept", accept], "chess"))), "bad_answer");
  });

  it("cannot be answered with a success that grants nothing, but with anything else", () => {
    for (const upgrade of ["websocket", "chess"]) {
      const { answer } = upgradeOverHttp1(asked("2", [], upgrade), () => 0);
      for (const status of [200, 204, 299]) assert.equal(kind(answer(responseHead(status))), "unsupported");
      for (const status of [301, 400, 426, 503]) assert.deepEqual(answer(responseHead(status)), responseHead(status));
    }
  });

  it("of another kind has no key", () => {
    const { request, answer } = upgradeOverHttp1(asked("2", ["a", "b"], "chess"), () => 0);
    assert.deepEqual([request.headers, request.upgrade], [["a", "b"], "chess"]);
    assert.deepEqual(answer(switched(["c", "d"], "chess")), switched(["c", "d"], "chess"));
  });
});

describe("an upgrade from HTTP/1 to HTTP/2", () => {
  it("leaves its key behind and finds the Accept for it", () => {
    const head = asked("1.1", ["Host", "h", "Sec-WebSocket-Key", KEY, "Sec-WebSocket-Version", "13"], "WebSocket");
    const { request, answer } = upgradeOverHttp2(head);
    assert.deepEqual(request.headers, ["Host", "h", "Sec-WebSocket-Version", "13"]);
    assert.equal(request.upgrade, "websocket");
    const given = answer(switched(["x", "y", "sec-websocket-accept", "not theirs to say"]));
    assert.deepEqual(given, switched(["x", "y", "Sec-WebSocket-Accept", ACCEPT]));
    assert.deepEqual(answer(responseHead(403)), responseHead(403));
  });

  it("without a key gets no Accept", () => {
    assert.deepEqual(upgradeOverHttp2(asked("1.1")).answer(switched(["x", "y"])), switched(["x", "y"]));
  });

  it("is left out when it is none of WebSocket", () => {
    for (const head of [
      asked("1.1", [], "chess"),
      asked("1.1", [], "websocket, chess"),
      { ...asked("1.1"), method: "POST" },
    ]) {
      const { request, answer } = upgradeOverHttp2(head);
      assert.deepEqual([request.upgrade, request.method], ["", head.method]);
      assert.deepEqual(answer(responseHead(200)), responseHead(200));
    }
  });
});
