import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { DEFAULT_TABLE_BYTES, HpackDecoder } from "./decoder.ts";
import { BLOCK_OVERHEAD_BYTES, ENCODER_NAMES_MAX, FIELD_OVERHEAD_BYTES, HpackEncoder } from "./encoder.ts";
import { learnSensitive } from "./sensitive-names.ts";

function encode(encoder: HpackEncoder, fields: readonly string[], withoutHost = false): Buffer {
  const characters = fields.reduce((sum, text) => sum + text.length, 0);
  const block = Buffer.alloc(characters + (fields.length / 2) * FIELD_OVERHEAD_BYTES + BLOCK_OVERHEAD_BYTES);
  encoder.begin(block, 0);
  for (let i = 0; i < fields.length; i += 2) encoder.field(fields[i] as string, fields[i + 1] as string, withoutHost);
  const end = encoder.end();
  assert.ok(end <= block.length, "no more than was promised");
  return block.subarray(0, end);
}

function decode(decoder: HpackDecoder, block: Buffer): string[] {
  const fields: string[] = [];
  const error = decoder.decode(block, 0, block.length, { onField: (name, value) => void fields.push(name, value) });
  assert.equal(error, undefined);
  return fields;
}

const name = fc.oneof(
  fc.constantFrom("content-type", "Content-Type", "date", "x-request-id", "accept-encoding", "set-cookie", "etag"),
  fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/).map((text) => `x-${text}`),
);
const value = fc.oneof(
  fc.constantFrom("", "gzip, deflate", "a", "application/grpc", "v".repeat(300), "w".repeat(2_000)),
  fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((octet) => String.fromCharCode(octet)), maxLength: 40 }),
);
const step = fc.oneof(
  { weight: 8, arbitrary: fc.array(fc.tuple(name, value), { maxLength: 12 }) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 6_000 }) },
);

describe("HpackEncoder", () => {
  it("is undone by the decoder, and both tables stay the same, through any sequence of blocks and table sizes", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const encoder = new HpackEncoder();
        const decoder = new HpackDecoder();
        for (const each of steps) {
          if (typeof each === "number") {
            encoder.setPeerTableBytes(each);
            continue;
          }
          const decoded = decode(decoder, encode(encoder, each.flat()));
          assert.deepEqual(
            decoded,
            each.flatMap(([n, v]) => [n.toLowerCase(), v]),
          );
          assert.equal(decoder.tableBytes, encoder.tableBytes);
          assert.ok(encoder.tableBytes <= DEFAULT_TABLE_BYTES);
        }
      }),
      { numRuns: 300 },
    );
  });

  it("sends what repeats as one octet each", () => {
    const encoder = new HpackEncoder();
    const fields = ["content-type", "application/json", "server", "shop", "x-zone", "a"];
    encode(encoder, fields);
    assert.equal(encode(encoder, fields).length, 3);
  });

  it("knows a name in any case", () => {
    const encoder = new HpackEncoder();
    encode(encoder, ["content-type", "text/html"]);
    assert.equal(encode(encoder, ["Content-Type", "text/html", "CONTENT-TYPE", "text/html"]).length, 2);
  });

  it("uses static entries with values", () => {
    assert.equal(encode(new HpackEncoder(), ["accept-encoding", "gzip, deflate"]).toString("hex"), "90");
  });

  it("stops inserting a name whose values do not repeat, and begins again when they do", () => {
    const encoder = new HpackEncoder();
    encode(encoder, ["x-stays", "same"]);
    for (let i = 0; i < 1_000; i++) encode(encoder, ["x-request-id", `id-${i}`]);
    assert.equal(encode(encoder, ["x-stays", "same"]).length, 1, "the table was not flushed");
    for (let i = 0; i < 100; i++) encode(encoder, ["x-request-id", "always this"]);
    assert.equal(encode(encoder, ["x-request-id", "always this"]).length, 1);
  });

  it("never puts sensitive fields into the table, also those that a peer has marked", () => {
    const encoder = new HpackEncoder();
    learnSensitive("x-api-key");
    for (const each of ["authorization", "Cookie", "set-cookie", "proxy-authorization", "X-Api-Key"]) {
      for (let i = 0; i < 3; i++) {
        const block = encode(encoder, [each, "secret"]);
        assert.equal((block[0] as number) & 0xf0, 0x10, `${each} is never indexed`);
      }
    }
    assert.equal(encoder.tableBytes, 0);
  });

  it("learns from a never-indexed literal, but no pseudo-header field and no endless name", () => {
    const decoder = new HpackDecoder();
    decode(decoder, Buffer.from(`100a${Buffer.from("x-secret-1").toString("hex")}0161`, "hex"));
    decode(decoder, Buffer.from("14012f", "hex"));
    const encoder = new HpackEncoder();
    assert.equal((encode(encoder, ["x-secret-1", "a"])[0] as number) & 0xf0, 0x10);
    const block = Buffer.alloc(64);
    encoder.begin(block, 0);
    encoder.path("/repeats");
    assert.equal((block[0] as number) & 0xc0, 0x40, ":path is indexed all the same");
  });

  it("does not index a path with a query", () => {
    const encoder = new HpackEncoder();
    const block = Buffer.alloc(64);
    encoder.begin(block, 0);
    encoder.path("/search?q=1");
    encoder.end();
    assert.equal(encoder.tableBytes, 0);
  });

  it("leaves out what HTTP/2 does not carry", () => {
    const fields = [
      "Connection",
      "close",
      "keep-alive",
      "timeout=5",
      "Proxy-Connection",
      "x",
      "transfer-encoding",
      "chunked",
      "upgrade",
      "h2c",
      "te",
      "gzip",
      "te",
      "trailers",
      ":path",
      "/evil",
      "bad name",
      "x",
      "",
      "x",
      "a",
      "1",
    ];
    assert.deepEqual(decode(new HpackDecoder(), encode(new HpackEncoder(), fields)), ["te", "trailers", "a", "1"]);
  });

  it("leaves Host out where :authority stands for it", () => {
    const encoder = new HpackEncoder();
    assert.equal(encode(encoder, ["Host", "a"], true).length, 0);
    assert.deepEqual(decode(new HpackDecoder(), encode(encoder, ["Host", "a"], false)), ["host", "a"]);
  });

  it("writes a character that no field can carry as a question mark", () => {
    const decoded = decode(new HpackDecoder(), encode(new HpackEncoder(), ["a", "x\u010ay"]));
    assert.deepEqual(decoded, ["a", "x?y"]);
  });

  it("forgets names when there are too many, and stays right", () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder();
    for (let i = 0; i < 3 * ENCODER_NAMES_MAX; i++) {
      const fields = [`x-name-${i}`, "1", "x-always", "2"];
      assert.deepEqual(decode(decoder, encode(encoder, fields)), fields);
      assert.ok(encoder.names <= ENCODER_NAMES_MAX);
    }
  });

  it("announces the smallest and the last of several table sizes", () => {
    const encoder = new HpackEncoder();
    encode(encoder, ["a", "b"]);
    encoder.setPeerTableBytes(0);
    encoder.setPeerTableBytes(100);
    assert.equal(encode(encoder, []).toString("hex"), "203f45");
    assert.equal(encoder.tableBytes, 0);
    assert.equal(encode(encoder, []).length, 0);
  });
});
