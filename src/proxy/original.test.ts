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
