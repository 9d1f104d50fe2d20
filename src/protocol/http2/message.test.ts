import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { defaultHttpLimits } from "../limits.ts";
import { HpackDecoder } from "./hpack/decoder.ts";
import { GET, headerBlock } from "../../../test/support/http2-peer.ts";
import { MessageHead } from "./message.ts";

function head(fields: string[], limits = defaultHttpLimits): MessageHead {
  const message = new MessageHead(limits);
  const block = headerBlock(...fields);
  message.begin();
  assert.equal(new HpackDecoder().decode(block, 0, block.length, message), undefined);
  return message;
}

const without = (name: string, fields: readonly string[] = GET): string[] => {
  const at = fields.indexOf(name);
  return [...fields.slice(0, at), ...fields.slice(at + 2)];
};

const EXTENDED = [":protocol", "websocket", ":method", "CONNECT", ...without(":method")];

describe("a request head", () => {
  it("is made of its fields, in their order", () => {
    assert.deepEqual(head([...GET, "accept", "*/*", "te", "trailers", "x-a", "1", "x-a", "2"]).request(), {
      method: "GET",
      scheme: "http",
      authority: "a.example",
      path: "/",
      headers: ["accept", "*/*", "te", "trailers", "x-a", "1", "x-a", "2"],
      version: "2",
      upgrade: "",
    });
  });

  it("has one Cookie field, however it was split", () => {
    const request = head([...GET, "cookie", "a=1", "x", "y", "cookie", "b=2", "cookie", "c=3"]).request();
    assert.deepEqual(request?.headers, ["cookie", "a=1; b=2; c=3", "x", "y"]);
  });

  it("takes Host for the authority where there is no other, and leaves it in its place", () => {
    const request = head([...without(":authority"), "a", "b", "host", "h.example"]).request();
    assert.equal(request?.authority, "h.example");
    assert.deepEqual(request?.headers, ["a", "b", "host", "h.example"]);
    assert.equal(head([...GET, "host", "A.Example"]).request()?.authority, "a.example");
  });

  it("may be CONNECT or OPTIONS *", () => {
    const connect = head([":method", "CONNECT", ":authority", "a:1"]).request();
    assert.deepEqual([connect?.authority, connect?.path, connect?.upgrade], ["a:1", "", "connect"]);
    const extended = head([...EXTENDED, "content-length", "0"]).request();
    assert.deepEqual([extended?.method, extended?.path, extended?.upgrade], ["GET", "/", "websocket"]);
    assert.equal(head([":method", "OPTIONS", ":scheme", "http", ":path", "*"]).request()?.path, "*");
  });

  it("may repeat the same content-length", () => {
    assert.equal(head([...GET, "content-length", "5", "content-length", "5"]).contentLength, 5);
  });

  const malformed: [what: string, fields: string[]][] = [
    ["no :method", without(":method")],
    ["no :scheme", without(":scheme")],
    ["no :path", without(":path")],
    ["an empty :path", [":method", "GET", ":scheme", "http", ":path", ""]],
    ["a :path without slash", [":method", "GET", ":scheme", "http", ":path", "a"]],
    ["* for something else than OPTIONS", [":method", "GET", ":scheme", "http", ":path", "*"]],
    ["a blank in :path", [":method", "GET", ":scheme", "http", ":path", "/a b"]],
    ["a blank in :method", [":method", "GE T", ":scheme", "http", ":path", "/"]],
    ["an empty :method", [":method", "", ":scheme", "http", ":path", "/"]],
    ["a blank in :authority", [...without(":authority"), ":authority", "a b"]],
    ["user information in :authority", [...without(":authority"), ":authority", "u@a"]],
    ["two :method", [...GET, ":method", "GET"]],
    ["two :path", [...GET, ":path", "/"]],
    ["two :authority", [...GET, ":authority", "a.example"]],
    ["a late pseudo-header field", [...without(":path"), "a", "b", ":path", "/"]],
    ["an unknown pseudo-header field", [...GET, ":other", "x"]],
    [":status", [...GET, ":status", "200"]],
    ["CONNECT to no port", [":method", "CONNECT", ":authority", "a"]],
    ["CONNECT to port 0", [":method", "CONNECT", ":authority", "a:0"]],
    ["CONNECT with content", [":method", "CONNECT", ":authority", "a:1", "content-length", "1"]],
    [":protocol with GET", [...GET, ":protocol", "websocket"]],
    [":protocol without :scheme", without(":scheme", EXTENDED)],
    [":protocol without :path", without(":path", EXTENDED)],
    [":protocol without :authority", without(":authority", EXTENDED)],
    [":protocol with Host instead", [...without(":authority", EXTENDED), "host", "a.example"]],
    [":protocol twice", [...EXTENDED, ":protocol", "websocket"]],
    [":protocol that is no token", [...without(":protocol", EXTENDED), ":protocol", "a, b"]],
    [":protocol that is HTTP itself", [...without(":protocol", EXTENDED), ":protocol", "h2c"]],
    ["empty :protocol", [...without(":protocol", EXTENDED), ":protocol", ""]],
    [":protocol after a regular field", [...without(":protocol", EXTENDED), "a", "b", ":protocol", "websocket"]],
    ["extended CONNECT with content", [...EXTENDED, "content-length", "1"]],
    ["CONNECT with :path", [":method", "CONNECT", ":authority", "a:1", ":path", "/"]],
    ["CONNECT with :scheme", [":method", "CONNECT", ":authority", "a:1", ":scheme", "http"]],
    ["CONNECT without :authority", [":method", "CONNECT"]],
    ["an upper-case name", [...GET, "X-A", "1"]],
    ["an empty name", [...GET, "", "1"]],
    ["a name with a blank", [...GET, "x a", "1"]],
    ["a name with a line feed", [...GET, "x\na", "1"]],
    ["a name with a colon", [...GET, "x:a", "1"]],
    ["a value with CR", [...GET, "x", "a\rb"]],
    ["a value with LF", [...GET, "x", "a\nb"]],
    ["a value with NUL", [...GET, "x", "a\0b"]],
    ["a value that begins with a blank", [...GET, "x", " a"]],
    ["a value that ends with a blank", [...GET, "x", "a\t"]],
    ["connection", [...GET, "connection", "close"]],
    ["keep-alive", [...GET, "keep-alive", "1"]],
    ["proxy-connection", [...GET, "proxy-connection", "close"]],
    ["transfer-encoding", [...GET, "transfer-encoding", "chunked"]],
    ["upgrade", [...GET, "upgrade", "h2c"]],
    ["te: gzip", [...GET, "te", "gzip"]],
    ["te: trailers, gzip", [...GET, "te", "trailers, gzip"]],
    ["a content-length that is no number", [...GET, "content-length", "1x"]],
    ["a negative content-length", [...GET, "content-length", "-1"]],
    ["a content-length beyond counting", [...GET, "content-length", "9".repeat(16)]],
    ["an empty content-length", [...GET, "content-length", ""]],
    ["more than one content-length", [...GET, "content-length", "1", "content-length", "2"]],
    ["two Host fields", [...GET, "host", "a.example", "host", "a.example"]],
    ["a Host that is not the :authority", [...GET, "host", "b.example"]],
  ];
  for (const [what, fields] of malformed) {
    it(`is malformed with ${what}`, () => {
      const message = head(fields);
      assert.equal(message.request(), undefined);
      assert.notEqual(message.flaw, "");
    });
  }
});

describe("a response head", () => {
  it("is made of its fields", () => {
    assert.deepEqual(head([":status", "404", "server", "x"]).response(), {
      status: 404,
      reason: "",
      headers: ["server", "x"],
      upgrade: "",
    });
  });

  for (const [what, fields] of [
    ["no :status", ["server", "x"]],
    ["two :status", [":status", "200", ":status", "200"]],
    ["a :status that is no number", [":status", "2x0"]],
    ["a :status of two digits", [":status", "20"]],
    ["a :status of four digits", [":status", "2000"]],
    ["status 101", [":status", "101"]],
    ["a request's pseudo-header field", [":status", "200", ":path", "/"]],
    ["a late :status", ["a", "b", ":status", "200"]],
    ["connection", [":status", "200", "connection", "close"]],
  ] as [string, string[]][]) {
    it(`is malformed with ${what}`, () => assert.equal(head(fields).response(), undefined));
  }
});

describe("trailers", () => {
  it("are fields", () => assert.deepEqual(head(["grpc-status", "0"]).trailers(), ["grpc-status", "0"]));
  it("have no pseudo-header fields", () => assert.equal(head([":status", "200"]).trailers(), undefined));
});

describe("limits", () => {
  it("count octets as the RFC does: 32 for each field besides its characters", () => {
    const bytes = GET.reduce((sum, text) => sum + text.length, 0) + (GET.length / 2) * 32;
    assert.equal(head(GET, { ...defaultHttpLimits, headBytes: bytes }).tooLarge, false);
    assert.equal(head(GET, { ...defaultHttpLimits, headBytes: bytes - 1 }).tooLarge, true);
  });

  it("count fields", () => {
    assert.equal(head(GET, { ...defaultHttpLimits, headerCount: 4 }).tooLarge, false);
    assert.equal(head(GET, { ...defaultHttpLimits, headerCount: 3 }).tooLarge, true);
  });

  it("hold for a block that expands a thousandfold", () => {
    const message = new MessageHead(defaultHttpLimits);
    const decoder = new HpackDecoder();
    const bomb = Buffer.concat([
      Buffer.from("4001617fe01e", "hex"),
      Buffer.alloc(4063, "x"),
      Buffer.alloc(16_000, 0xbe),
    ]);
    message.begin();
    assert.equal(decoder.decode(bomb, 0, bomb.length, message), undefined);
    assert.equal(message.tooLarge, true);
    assert.deepEqual(message.trailers(), []);
  });
});
