import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { decodeHuffman, encodeHuffman, huffmanBytes, maxDecodedBytes } from "./huffman.ts";

function encode(text: string): Buffer {
  const block = Buffer.alloc(text.length * 4 + 4);
  return block.subarray(0, encodeHuffman(text, block, 0));
}

function decode(bytes: Uint8Array): string | undefined {
  const out = Buffer.alloc(maxDecodedBytes(bytes.length));
  const length = decodeHuffman(bytes, 0, bytes.length, out);
  return length < 0 ? undefined : out.toString("latin1", 0, length);
}

const anyText = fc
  .array(fc.oneof(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0x20, max: 0x7e })), { maxLength: 200 })
  .map((octets) => String.fromCharCode(...octets));

describe("the Huffman code", () => {
  it("matches the examples of RFC 7541 C.4 and C.6", () => {
    const examples: [string, string][] = [
      ["www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"],
      ["no-cache", "a8eb10649cbf"],
      ["custom-value", "25a849e95bb8e8b4bf"],
      ["302", "6402"],
      ["Mon, 21 Oct 2013 20:13:21 GMT", "d07abe941054d444a8200595040b8166e082a62d1bff"],
    ];
    for (const [text, hex] of examples) {
      assert.equal(encode(text).toString("hex"), hex);
      assert.equal(decode(Buffer.from(hex, "hex")), text);
    }
  });

  it("gives every text back", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const bytes = encode(text);
        assert.equal(bytes.length, huffmanBytes(text));
        assert.equal(decode(bytes), text);
      }),
    );
  });

  it("gives every octet back, wherever its bits fall", () => {
    for (let symbol = 0; symbol < 256; symbol++) {
      for (const before of ["", "0", "00", "000", "X", "XX"]) {
        const text = `${before}${String.fromCharCode(symbol)}a`;
        assert.equal(decode(encode(text)), text);
      }
    }
  });

  it("never writes past its room, whatever the input", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        const room = maxDecodedBytes(bytes.length);
        const out = Buffer.alloc(room + 8, 0xee);
        const length = decodeHuffman(bytes, 0, bytes.length, out);
        assert.ok(length <= room);
        assert.ok(out.subarray(room).every((octet) => octet === 0xee));
      }),
    );
  });

  it("refuses padding of 8 bits or more, padding with zeros, and EOS", () => {
    assert.equal(decode(Buffer.from([0xff])), undefined);
    assert.equal(decode(Buffer.concat([encode("a"), Buffer.from([0xff])])), undefined);
    assert.equal(decode(Buffer.from([0b00011000])), undefined);
    assert.equal(decode(Buffer.from([0xff, 0xff, 0xff, 0xfc])), undefined);
    assert.equal(decode(Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff])), undefined);
  });
});
