import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import type { RequestHead } from "../exchange.ts";
import { defaultHttpLimits } from "../limits.ts";
import { HpackDecoder } from "./hpack/decoder.ts";
import { HpackEncoder } from "./hpack/encoder.ts";
import { writeInteger } from "./hpack/integer.ts";
import { MessageHead } from "./message.ts";
import { BEFORE_HEADS_ARE_KEPT, RECENT_BLOCK_BYTES_MAX, RECENT_HEADS_MAX, RecentHeads } from "./recent-heads.ts";

function encode(encoder: HpackEncoder, path: string, fields: readonly (readonly [string, string])[]): Buffer {
  const block = Buffer.alloc(64 * 1024);
  encoder.begin(block, 0);
  encoder.method("GET");
  encoder.scheme("http");
  encoder.path(path);
  encoder.authority("price");
  for (const [name, value] of fields) encoder.field(name, value, false);
  return block.subarray(0, encoder.end());
}

function read(heads: RecentHeads, block: Buffer): MessageHead {
  assert.equal(heads.read(block, 0, block.length, ""), undefined);
  return heads.head;
}

/** So much was sent that heads are kept. */
function warm(): RecentHeads {
  const heads = new RecentHeads(defaultHttpLimits);
  for (let i = 0; i < BEFORE_HEADS_ARE_KEPT; i++) read(heads, withPath(200 + i));
  return heads;
}

describe("recent heads", () => {
  it("are not kept of a connection that has sent few", () => {
    const heads = new RecentHeads(defaultHttpLimits);
    const blocks = Array.from({ length: BEFORE_HEADS_ARE_KEPT }, () => read(heads, withPath(130)));
    assert.equal(new Set(blocks).size, 1, "one place, used again and again");
  });

  it("are what decoding would have given, whatever came before", () => {
    const name = fc.constantFrom("accept", "x-a", "x-b", "authorization", "content-length");
    const field = fc.tuple(name, fc.constantFrom("1", "2", "a rather long value", "x".repeat(2_000)));
    const message = fc.tuple(fc.constantFrom("/", "/a", "/b?c"), fc.array(field, { maxLength: 4 }));
    fc.assert(
      fc.property(fc.array(message, { maxLength: 40 }), fc.array(fc.nat(39), { maxLength: 60 }), (messages, order) => {
        const encoder = new HpackEncoder();
        const decoder = new HpackDecoder();
        const heads = new RecentHeads(defaultHttpLimits);
        for (const index of order) {
          const [path, fields] = messages[index % messages.length] ?? ["/", []];
          const block = encode(encoder, path, fields);
          const expected = new MessageHead(defaultHttpLimits);
          assert.equal(decoder.decode(block, 0, block.length, expected), undefined);
          const head = read(heads, block);
          assert.deepEqual(head.request(), expected.request());
          assert.equal(head.contentLength, expected.contentLength);
          assert.equal(head.flaw, expected.flaw);
        }
      }),
    );
  });

  it("of the same octets are read once, and each reader has its own list", () => {
    const heads = warm();
    const encoder = new HpackEncoder();
    const fields = [["accept", "*/*"]] as const;
    // The first block fills the table, the second is made of indices only.
    read(heads, encode(encoder, "/", fields));
    const block = encode(encoder, "/", fields);
    const first = read(heads, block);
    const request = first.request() as RequestHead;
    request.headers.push("added", "1");
    assert.equal(read(heads, block), first);
    assert.deepEqual((first.request() as RequestHead).headers, ["accept", "*/*"]);
  });

  it("are forgotten with any change of the table, for the same octets mean something else then", () => {
    const heads = warm();
    // Index 62 is the field inserted last.
    const last = Buffer.from([0x82, 0x86, 0x84, 0xbe]);
    read(heads, insert("1"));
    assert.deepEqual(read(heads, last).request()?.headers, ["x", "1"]);
    assert.deepEqual(read(heads, last).request()?.headers, ["x", "1"]);
    read(heads, insert("2"));
    assert.deepEqual(read(heads, last).request()?.headers, ["x", "2"]);
    // A size update empties the table.
    read(heads, Buffer.from([0x20]));
    assert.equal(heads.read(last, 0, last.length, ""), "index out of range");
  });

  it("are not taken for one that is malformed for another reason", () => {
    const heads = warm();
    const block = Buffer.from([0x82, 0x86, 0x84]);
    const plain = read(heads, block);
    assert.equal(heads.read(block, 0, block.length, "stream depends on itself"), undefined);
    assert.equal(heads.head.request(), undefined);
    assert.equal(heads.head.flaw, "stream depends on itself");
    assert.equal(read(heads, block), plain);
    assert.equal(plain.flaw, "");
  });

  it("are few, and small", () => {
    const heads = warm();
    const blocks = Array.from({ length: RECENT_HEADS_MAX + 1 }, (_, i) => withPath(130 + i));
    for (const block of blocks) read(heads, block);
    const last = blocks.at(-1) as Buffer;
    const known = read(heads, last);
    assert.equal(read(heads, last), known);
    // The oldest is read anew, into an object that is in use for none of the others.
    const again = read(heads, blocks[0] as Buffer);
    assert.ok(blocks.slice(2).every((block) => read(heads, block) !== again));
    const large = withPath(RECENT_BLOCK_BYTES_MAX);
    const head = read(heads, large);
    const other = read(heads, withPath(RECENT_BLOCK_BYTES_MAX + 1));
    assert.equal(head, other, "neither is kept");
  });
});

/** A field "x" that goes into the table. @param value of one character */
function insert(value: string): Buffer {
  return Buffer.from(`\x40\x01x\x01${value}`, "latin1");
}

/** GET with a path of so many octets, as a literal that is not indexed. */
function withPath(length: number): Buffer {
  const block = Buffer.alloc(length + 8, "p");
  block.set([0x82, 0x86]);
  let at = writeInteger(block, 2, 4, 0, 4);
  at = writeInteger(block, at, 7, 0, length);
  block[at] = 0x2f;
  return block.subarray(0, at + length);
}
