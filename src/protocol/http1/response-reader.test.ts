import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { MemoryConnection } from "../../../test/support/memory-connection.ts";
import type { ResponseHead } from "../exchange.ts";
import { defaultHttpLimits } from "../limits.ts";
import { BAD, MORE } from "./field-scanner.ts";
import { FRAMING_CHUNKED, FRAMING_CLOSE, FRAMING_LENGTH, FRAMING_NONE } from "./framing.ts";
import { writeResponseHead } from "./head-writer.ts";
import { ResponseReader } from "./response-reader.ts";

function readAll(text: string, toHead = false): ResponseReader {
  const reader = new ResponseReader(defaultHttpLimits);
  reader.toHead = toHead;
  const bytes = Buffer.from(text, "latin1");
  assert.equal(reader.read(bytes, 0), bytes.length, String(reader.fault?.detail));
  return reader;
}

describe("ResponseReader", () => {
  it("reads the status line, with any reason or none", () => {
    assert.equal(readAll("HTTP/1.1 200 OK\r\n\r\n").head.reason, "OK");
    assert.equal(readAll("HTTP/1.1 299 \xe4 b\tc\r\n\r\n").head.reason, "\xe4 b\tc");
    assert.equal(readAll("HTTP/1.1 404 \r\n\r\n").head.reason, "");
    assert.equal(readAll("HTTP/1.0 999\r\n\r\n").head.status, 999);
  });

  it("knows how the body is framed", () => {
    for (const [head, framing] of [
      ["200 OK\r\nContent-Length: 3", FRAMING_LENGTH],
      ["200 OK\r\nContent-Length: 0", FRAMING_NONE],
      ["200 OK\r\nTransfer-Encoding: CHUNKED", FRAMING_CHUNKED],
      ["200 OK", FRAMING_CLOSE],
      ["204 No Content", FRAMING_NONE],
      ["304 Not Modified\r\nContent-Length: 3", FRAMING_NONE],
      ["103 Early Hints", FRAMING_NONE],
    ] as const) {
      assert.equal(readAll(`HTTP/1.1 ${head}\r\n\r\n`).framing, framing, head);
      assert.equal(readAll(`HTTP/1.1 ${head}\r\n\r\n`, true).framing, FRAMING_NONE, head);
    }
  });

  it("takes the hop-by-hop fields out", () => {
    const { head } = readAll(
      "HTTP/1.1 200 OK\r\nConnection: X-A\r\nKeep-Alive: 1\r\nX-A: b\r\nUpgrade: h2c\r\nC: d\r\n\r\n",
    );
    assert.deepEqual(head, { status: 200, reason: "OK", headers: ["C", "d"], upgrade: "" });
  });

  it("refuses a wrong beginning at its first byte", () => {
    for (const begun of ["X", "HTTP/2", "HTTQ", "\r\n"]) {
      assert.equal(new ResponseReader(defaultHttpLimits).read(Buffer.from(begun), 0), BAD);
    }
    for (const begun of ["H", "HTTP/1.", "HTTP/1.1 200 OK\r", "HTTP/1.1 200"]) {
      assert.equal(new ResponseReader(defaultHttpLimits).read(Buffer.from(begun), 0), MORE);
    }
  });

  it("reads back what the writer writes, however the bytes are torn", () => {
    const text = fc.string({ unit: fc.integer({ min: 0x21, max: 0xff }).map((code) => String.fromCharCode(code)) });
    const value = text.filter((candidate) => !candidate.includes("\x7f"));
    const name = fc.stringMatching(/^X-[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}$/);
    fc.assert(
      fc.property(
        fc.integer({ min: 200, max: 999 }),
        value,
        fc.array(fc.tuple(name, value), { maxLength: 40 }),
        fc.boolean(),
        fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 5 }),
        (status, reason, fields, end, pieces) => {
          const head: ResponseHead = { status, reason, headers: fields.flat(), upgrade: "" };
          const peer = new MemoryConnection();
          const context = { isHead: false, http10: false, keepAlive: true };
          assert.ok(writeResponseHead(peer.connection, head, end, context));
          const bytes = peer.bytes();
          const reader = new ResponseReader(defaultHttpLimits);
          let result = MORE;
          for (let at = 0, i = 0; at < bytes.length; i++) {
            const size = pieces[i % pieces.length] as number;
            const piece = Buffer.from(bytes.subarray(at, at + size));
            assert.equal(result, MORE);
            result = reader.read(piece, 0);
            piece.fill(0);
            at += size;
          }
          assert.ok(result > 0, String(reader.fault?.detail));
          const bodyless = status === 204 || status === 304;
          assert.deepEqual(reader.head.headers, [
            ...head.headers,
            ...(end && !bodyless ? ["Content-Length", "0"] : []),
          ]);
          assert.equal(reader.head.status, status);
          if (reason !== "") assert.equal(reader.head.reason, reason);
          assert.equal(reader.framing, end || bodyless ? FRAMING_NONE : FRAMING_CHUNKED);
        },
      ),
      { numRuns: 300 },
    );
  });
});
