import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { MemoryConnection } from "../../../test/support/memory-connection.ts";
import type { HeaderList } from "../exchange.ts";
import { defaultHttpLimits } from "../limits.ts";
import { BodyWriter, REFUSED } from "./body-writer.ts";
import {
  CHUNK_EXTENSION_BYTES_MAX,
  CHUNK_SIZE_DIGITS_MAX,
  CHUNKED_BAD,
  CHUNKED_DATA,
  CHUNKED_END,
  CHUNKED_LAST_DATA,
  CHUNKED_MORE,
  ChunkedDecoder,
} from "./chunked.ts";
import { FRAMING_CHUNKED } from "./framing.ts";

/** Decodes pieces; `rest` is what was left behind the end. */
function decode(pieces: readonly Buffer[]): { data: Buffer; trailers: HeaderList; ended: boolean; rest: Buffer } {
  const decoder = new ChunkedDecoder(defaultHttpLimits);
  decoder.start();
  const data: Buffer[] = [];
  for (const [index, piece] of pieces.entries()) {
    let at = 0;
    while (at < piece.length) {
      const event = decoder.next(piece, at);
      assert.notEqual(event, CHUNKED_BAD, String(decoder.fault?.detail));
      at = decoder.position;
      if (event === CHUNKED_DATA || event === CHUNKED_LAST_DATA) {
        data.push(Buffer.from(piece.subarray(decoder.dataStart, decoder.dataEnd)));
      }
      if (event === CHUNKED_END || event === CHUNKED_LAST_DATA) {
        const rest = Buffer.concat([piece.subarray(at), ...pieces.slice(index + 1)]);
        return { data: Buffer.concat(data), trailers: decoder.trailers, ended: true, rest };
      }
      if (event === CHUNKED_MORE) assert.equal(at, piece.length);
    }
  }
  return { data: Buffer.concat(data), trailers: [], ended: false, rest: Buffer.alloc(0) };
}

function tear(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] as number;
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

/** The first event of some input. */
function attempt(text: string): number {
  const decoder = new ChunkedDecoder(defaultHttpLimits);
  decoder.start();
  return decoder.next(Buffer.from(text), 0);
}

describe("the chunked coding", () => {
  it("gives back what was written, however the bytes are torn", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 10 }),
        fc.array(fc.tuple(fc.stringMatching(/^[a-z]{3,8}-t$/), fc.stringMatching(/^[a-z0-9]{0,10}$/)), {
          maxLength: 4,
        }),
        fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 6 }),
        (chunks, fields, sizes) => {
          const peer = new MemoryConnection();
          const writer = new BodyWriter();
          writer.start(FRAMING_CHUNKED, 0);
          for (const chunk of chunks) writer.data(peer.connection, chunk, false);
          const trailers = fields.flat();
          if (trailers.length > 0) writer.trailers(peer.connection, trailers);
          else writer.data(peer.connection, Buffer.alloc(0), true);
          const decoded = decode(tear(Buffer.concat([peer.bytes(), Buffer.from("next")]), sizes));
          assert.deepEqual(decoded.data, Buffer.concat(chunks));
          assert.deepEqual(decoded.trailers, trailers);
          assert.equal(decoded.ended, true);
          assert.equal(decoded.rest.toString(), "next");
        },
      ),
    );
  });

  it("joins the end of the body to its last chunk when both are there", () => {
    const decoder = new ChunkedDecoder(defaultHttpLimits);
    decoder.start();
    const bytes = Buffer.from("3\r\nabc\r\n0\r\n\r\n");
    assert.equal(decoder.next(bytes, 0), CHUNKED_LAST_DATA);
    assert.equal(decoder.position, bytes.length);
  });

  it("takes sizes in either case, with zeros before them and extensions behind", () => {
    const body = "a".repeat(0xab);
    const { data } = decode([Buffer.from(`0000000000aB;x="y z"\r\n${body}\r\n0;last\r\n\r\n`)]);
    assert.equal(data.toString(), body);
  });

  it("holds sizes and extensions to their bounds exactly", () => {
    assert.equal(attempt("f".repeat(CHUNK_SIZE_DIGITS_MAX)), CHUNKED_MORE);
    assert.equal(attempt("f".repeat(CHUNK_SIZE_DIGITS_MAX + 1)), CHUNKED_BAD);
    assert.equal(attempt(`1;${"x".repeat(CHUNK_EXTENSION_BYTES_MAX)}`), CHUNKED_MORE);
    assert.equal(attempt(`1;${"x".repeat(CHUNK_EXTENSION_BYTES_MAX + 1)}`), CHUNKED_BAD);
  });

  it("starts afresh after a body that was given up", () => {
    const decoder = new ChunkedDecoder(defaultHttpLimits);
    decoder.start();
    decoder.next(Buffer.from("0\r\nX: half a trai"), 0);
    decoder.start();
    assert.equal(decoder.next(Buffer.from("1\r\na\r\n0\r\n\r\n"), 0), CHUNKED_LAST_DATA);
    decoder.start();
    decoder.next(Buffer.from("5;abc"), 0);
    decoder.start();
    assert.equal(decoder.next(Buffer.from("1\r\na\r\n0\r\n\r\n"), 0), CHUNKED_LAST_DATA);
    assert.equal(decoder.dataEnd - decoder.dataStart, 1);
  });

  it("does not write trailers that would frame or route, nor unsafe ones", () => {
    const peer = new MemoryConnection();
    const writer = new BodyWriter();
    writer.start(FRAMING_CHUNKED, 0);
    const trailers = ["Content-Length", "5", "Host", "h", "A", "b"];
    writer.trailers(peer.connection, trailers);
    assert.equal(peer.text(), "0\r\nA: b\r\n\r\n");
    assert.equal(trailers.length, 6, "the list belongs to the caller");
    assert.equal(writer.trailers(peer.connection, ["A", "b\r\n\r\nGET /"]), REFUSED);
  });

  it("writes each length of chunk head", () => {
    const peer = new MemoryConnection();
    const writer = new BodyWriter();
    writer.start(FRAMING_CHUNKED, 0);
    let expected = "";
    for (const length of [1, 0xf, 0x10, 0xff, 0x100, 0xfff, 0x1000, 0xfff0, 0xfff1, 0x10000, 0x12345]) {
      writer.data(peer.connection, Buffer.alloc(length, "x"), false);
      expected += `${length.toString(16)}\r\n${"x".repeat(length)}\r\n`;
    }
    assert.ok(peer.text() === expected);
  });
});
