import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import type { HeaderList, RequestHead, ResponseHead } from "../protocol/exchange.ts";
import { packRequest, packResponse, unpackRequest, unpackResponse } from "./original.ts";

/** What an HTTP/2 hop does to a head: names in lower case, Host folded into :authority. */
function throughHttp2<T extends { headers: HeaderList }>(head: T, isRequest: boolean): T {
  const headers: HeaderList = [];
  for (let i = 0; i < head.headers.length; i += 2) {
    const name = (head.headers[i] as string).toLowerCase();
    if (isRequest && name === "host") continue;
    headers.push(name, head.headers[i + 1] as string);
  }
  return { ...head, headers };
}

function request(headers: HeaderList, authority = "price", version: "1.0" | "1.1" = "1.1"): RequestHead {
  return { method: "GET", scheme: "http", authority, path: "/", headers, version, upgrade: "" };
}

const name = fc.stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,12}$/).filter((text) => !/^(host|heddle-orig-.*)$/i.test(text));
const fields = fc
  .array(fc.tuple(name, fc.stringMatching(/^[ -~]{0,12}$/)), { maxLength: 8 })
  .map((list) => list.flat());
const host = fc.constantFrom("Host", "host", "HOST");

describe("HTTP/1 carried in HTTP/2", () => {
  it("gives requests back as they were", () => {
    fc.assert(
      fc.property(
        fields,
        host,
        fc.nat(8),
        fc.constantFrom("1.0" as const, "1.1" as const),
        (list, hostName, at, version) => {
          const headers = list.toSpliced(Math.min(list.length, at * 2), 0, hostName, "price");
          const head = request(headers, "price", version);
          assert.deepEqual(unpackRequest(throughHttp2(packRequest(head), true)), head);
        },
      ),
    );
  });

  it("gives a request without Host none", () => {
    fc.assert(
      fc.property(fields, (list) => {
        const head = request(list, "", "1.0");
        assert.deepEqual(unpackRequest(throughHttp2(packRequest(head), true)).headers, list);
      }),
    );
  });

  it("gives answers back as they were, with their reason", () => {
    fc.assert(
      fc.property(fields, fc.constantFrom("OK", "Fine", ""), (headers, reason) => {
        const head: ResponseHead = { status: 200, reason, headers, upgrade: "" };
        const back = unpackResponse(throughHttp2(packResponse(head, false), false), false);
        assert.deepEqual(back.headers, headers);
        assert.equal(back.reason === "" ? "OK" : back.reason, reason === "" ? "OK" : reason);
      }),
    );
  });

  const upgrade = fc.constantFrom("websocket", "WebSocket", "tcp/1, x", "SPDY/3.1", "connect", "upgrade");

  it("gives requests for an upgrade back as they were, and asks for one word in between", () => {
    fc.assert(
      fc.property(fields, upgrade, fc.constantFrom("GET", "POST"), (list, asked, method) => {
        const head = { ...request(["Host", "price", ...list]), upgrade: asked, method };
        const packed = packRequest(head);
        assert.equal(packed.method, "GET");
        assert.match(packed.upgrade, /^[a-z]+$/);
        assert.deepEqual(unpackRequest(throughHttp2(packed, true)), head);
      }),
    );
  });

  it("gives the answers to them back, granted or not", () => {
    fc.assert(
      fc.property(fields, upgrade, fc.integer({ min: 200, max: 599 }), fc.boolean(), (headers, asked, other, grant) => {
        const status = grant ? 101 : other;
        const head: ResponseHead = { status, reason: "Mine", headers, upgrade: grant ? asked : "" };
        const packed = packResponse(head, true);
        if (!grant) assert.ok(packed.status > 299, "HTTP/2 would take any 2xx for a grant");
        // The codec knows the word only that was asked for.
        const carried = { ...throughHttp2(packed, false), reason: "", upgrade: grant ? "websocket" : "" };
        assert.deepEqual(unpackResponse(carried, true), head);
      }),
    );
  });

  it("believes only what the sidecar itself has added to a request for an upgrade", () => {
    const lies = ["heddle-orig-method", "DELETE", "heddle-orig-upgrade", "h2c", "Heddle-Orig-Proto", "1.0"];
    const head = { ...request(["Host", "price", ...lies]), upgrade: "websocket" };
    const back = unpackRequest(throughHttp2(packRequest(head), true));
    assert.deepEqual(
      [back.method, back.upgrade, back.version, back.headers],
      ["GET", "websocket", "1.1", ["Host", "price"]],
    );
    const evil = { ...request([]), version: "2" as const, upgrade: "websocket" };
    for (const fieldsOf of [
      ["heddle-orig-proto", "1.1", "heddle-orig-method", "CONNECT"],
      ["heddle-orig-proto", "1.1", "heddle-orig-method", "GET / HTTP/1.1"],
      ["heddle-orig-proto", "1.1", "heddle-orig-upgrade", ""],
    ]) {
      const forged = { ...evil, headers: fieldsOf };
      assert.equal(unpackRequest(forged), forged);
    }
    const connect = { ...evil, method: "CONNECT", path: "", upgrade: "connect", headers: ["heddle-orig-proto", "1.1"] };
    assert.equal(unpackRequest(connect), connect);
  });

  it("keeps a 421 that is one, and believes no other status than a success", () => {
    const misdirected: ResponseHead = { status: 421, reason: "", headers: [], upgrade: "" };
    assert.equal(unpackResponse(packResponse(misdirected, true), true).status, 421);
    for (const [status, told] of [
      ["101", 421],
      ["500", 421],
      ["2000", 421],
      ["204", 204],
    ] as const) {
      const headers = ["heddle-orig-proto", "1.1", "heddle-orig-status", status];
      assert.equal(unpackResponse({ ...misdirected, headers }, true).status, told);
      assert.equal(unpackResponse({ ...misdirected, headers }, false).status, 421, "of an ordinary request");
    }
  });

  it("leaves a request alone that was HTTP/2 from the start", () => {
    const head: RequestHead = { ...request(["accept", "*/*"]), version: "2" };
    assert.equal(unpackRequest(head), head);
  });

  it("keeps what was added on the way, and survives names that lie", () => {
    const packed = throughHttp2(packRequest(request(["Host", "price", "Accept", "*/*"])), true);
    packed.headers.push("x-added", "1");
    assert.deepEqual(unpackRequest(packed).headers, ["Host", "price", "Accept", "*/*", "x-added", "1"]);
    const lying = throughHttp2(packRequest(request(["Host", "price", "Accept", "*/*"])), true);
    lying.headers[lying.headers.indexOf("heddle-orig-names") + 1] = "Evil,Names,,";
    assert.deepEqual(unpackRequest(lying).headers, ["accept", "*/*"]);
  });
});
