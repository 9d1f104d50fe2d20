/**
 * Header blocks. Nothing is larger than the block allows, the table keeps its bound, and what was read, written again by
 * our encoder, is read as the same. Huffman code is read in one way only, so writing it again gives the same octets.
 */
import assert from "node:assert/strict";

import { DEFAULT_TABLE_BYTES, HpackDecoder } from "../../src/protocol/http2/hpack/decoder.ts";
import { BLOCK_OVERHEAD_BYTES, FIELD_OVERHEAD_BYTES, HpackEncoder } from "../../src/protocol/http2/hpack/encoder.ts";
import { FieldKind, KIND_MASK } from "../../src/protocol/http2/hpack/field-kind.ts";
import { decodeHuffman, encodeHuffman, huffmanBytes, maxDecodedBytes } from "../../src/protocol/http2/hpack/huffman.ts";
import { type Cursor, readInteger, writeInteger } from "../../src/protocol/http2/hpack/integer.ts";
import type { Target } from "../target.ts";
import { HTTP2_TOKENS } from "./http2-frames.ts";

interface Decoded {
  readonly fields: string[];
  readonly kinds: number[];
  readonly flaw: string | undefined;
}

function decode(decoder: HpackDecoder, block: Buffer): Decoded {
  const fields: string[] = [];
  const kinds: number[] = [];
  const flaw = decoder.decode(block, 0, block.length, {
    onField(name, value, kind) {
      fields.push(name, value);
      kinds.push(kind & KIND_MASK);
    },
  });
  assert.ok(decoder.tableBytes <= DEFAULT_TABLE_BYTES);
  return { fields, kinds, flaw };
}

/** Twice, so that the second block is made of what the first one has put into the table. */
function encodeAgain({ fields }: Decoded): void {
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder();
  const room = fields.reduce((sum, text) => sum + text.length + FIELD_OVERHEAD_BYTES, BLOCK_OVERHEAD_BYTES);
  for (let time = 0; time < 2; time++) {
    const block = Buffer.alloc(room);
    encoder.begin(block, 0);
    for (let i = 0; i < fields.length; i += 2) encoder.field(fields[i] as string, fields[i + 1] as string, false);
    const written = decode(decoder, block.subarray(0, encoder.end()));
    assert.equal(written.flaw, undefined);
    assert.deepEqual(written.fields, fields, "what was read can be written");
    assert.equal(encoder.tableBytes, decoder.tableBytes, "both ends have the same table");
  }
}

function huffman(input: Buffer): string {
  const out = Buffer.alloc(maxDecodedBytes(input.length));
  const length = decodeHuffman(input, 0, input.length, out);
  if (length < 0) return "broken";
  assert.ok(length <= out.length);
  const text = out.toString("latin1", 0, length);
  const again = Buffer.alloc(huffmanBytes(text));
  assert.equal(encodeHuffman(text, again, 0), again.length);
  assert.deepEqual(again, input, "there is one code for each text");
  return "whole";
}

function integer(input: Buffer): string {
  const kinds: string[] = [];
  for (let prefixBits = 4; prefixBits <= 7; prefixBits++) {
    const cursor: Cursor = { bytes: input, at: 0, end: input.length };
    const value = readInteger(cursor, prefixBits);
    assert.ok(cursor.at <= input.length);
    if (value >= 0) {
      const again = Buffer.alloc(8);
      const end = writeInteger(again, 0, prefixBits, 0, value);
      assert.equal(readInteger({ bytes: again, at: 0, end }, prefixBits), value);
    }
    if (value < 0) kinds.push("x");
  }
  return kinds.join("");
}

/** What our encoder leaves out or changes because HTTP/2 messages must not have it. */
function isCarried({ fields, kinds }: Decoded): boolean {
  return kinds.every(
    (kind, i) => kind === FieldKind.regular && fields[2 * i] === (fields[2 * i] as string).toLowerCase(),
  );
}

export const hpack: Target = {
  name: "hpack",
  tokens: HTTP2_TOKENS,
  bytesMax: 1_024,
  run(input) {
    const decoder = new HpackDecoder();
    const first = decode(decoder, input);
    // A field is at most a table's entry for each octet of the block, or the octets of the block themselves.
    const size = first.fields.reduce((sum, text) => sum + text.length, 0);
    assert.ok(size <= input.length * DEFAULT_TABLE_BYTES + maxDecodedBytes(input.length));
    if (first.flaw === undefined && isCarried(first)) encodeAgain(first);
    const second = first.flaw === undefined ? decode(decoder, input).flaw : undefined;
    const kinds = new Set(first.kinds).size;
    return `${first.flaw} ${second} ${kinds} ${decoder.tableBytes >> 9} ${huffman(input)} ${integer(input)}`;
  },
};
