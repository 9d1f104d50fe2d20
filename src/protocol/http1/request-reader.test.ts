import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { MemoryConnection } from "../../../test/support/memory-connection.ts";
import type { RequestHead } from "../exchange.ts";
import { defaultHttpLimits } from "../limits.ts";
import { BAD, MORE } from "./field-scanner.ts";
import { FRAMING_CHUNKED, FRAMING_LENGTH, FRAMING_NONE } from "./framing.ts";
import { writeRequestHead } from "./head-writer.ts";
import { RequestReader } from "./request-reader.ts";
import { isToken } from "./syntax.ts";

function readAll(text: string, limits = defaultHttpLimits): RequestReader {
  const reader = new RequestReader(limits, "http");
  const bytes = Buffer.from(text, "latin1");
  assert.equal(reader.read(bytes, 0), bytes.length, String(reader.fault?.detail));
  return reader;
}

function headOf(text: string): RequestHead {
  return readAll(text).head;
}

const request = (line: string): string => `${line} HTTP/1.1\r\nhOsT: from-host:81\r\n\r\n`;
const withFields = (...lines: string[]): string => `POST / HTTP/1.1\r\nHost: h\r\n${lines.join("\r\n")}\r\n\r\n`;

describe("RequestReader: targets", () => {
  it("takes origin form as it is", () => {
    const { authority, path, headers } = headOf(request('GET /a%20b?c=|{}"d'));
    assert.equal(authority, "from-host:81");
    assert.equal(path, '/a%20b?c=|{}"d');
    assert.deepEqual(headers, ["hOsT", "from-host:81"]);
  });

  it("turns absolute form into origin form and corrects Host", () => {
    for (const [target, authority, path, scheme] of [
      ["http://t.test/a?b", "t.test", "/a?b", "http"],
      ["HTTP://t.test:80", "t.test:80", "/", "http"],
      ["https://[::1]:8443?q", "[::1]:8443", "/?q", "https"],
    ] as const) {
      const read = headOf(request(`GET ${target}`));
      assert.equal(read.authority, authority);
      assert.equal(read.path, path);
      assert.equal(read.scheme, scheme);
      assert.deepEqual(read.headers, ["hOsT", authority]);
    }
    assert.equal(headOf(request("OPTIONS http://t.test")).path, "*");
  });

  it("takes * for OPTIONS and an authority for CONNECT", () => {
    assert.equal(headOf(request("OPTIONS *")).path, "*");
    const connect = headOf(request("CONNECT [::1]:443"));
    assert.equal(connect.authority, "[::1]:443");
    assert.equal(connect.path, "");
    assert.equal(connect.upgrade, "connect");
    assert.equal(headOf(withFields("Connection: upgrade", "Upgrade: connect")).upgrade, "connect");
  });

  it("lets HTTP/1.0 go without Host, and HTTP/1.1 with an empty one", () => {
    assert.equal(headOf("GET / HTTP/1.0\r\n\r\n").authority, "");
    assert.equal(headOf("GET / HTTP/1.1\r\nHost:\r\n\r\n").authority, "");
    const absolute = headOf("GET http://t.test/ HTTP/1.0\r\n\r\n");
    assert.equal(absolute.authority, "t.test");
    assert.deepEqual(absolute.headers, []);
  });
});

describe("RequestReader: fields", () => {
  it("keeps order, case and repetition, and trims what surrounds a value", () => {
    assert.deepEqual(headOf(withFields("X-a: 1", "x-A:  2 3\t ", "X-a:", "Y:\t\xe4")).headers, [
      "Host",
      "h",
      "X-a",
      "1",
      "x-A",
      "2 3",
      "X-a",
      "",
      "Y",
      "\xe4",
    ]);
  });

  it("takes out what concerns the connection only", () => {
    const read = headOf(
      withFields(
        "Connection: keep-alive, X-Gone",
        "Keep-Alive: 5",
        "Proxy-Connection: x",
        "x-gone: 1",
        "TE: gzip",
        "Upgrade: y",
        "Transfer-Encoding: Chunked",
        "X-Stays: 2",
      ),
    );
    assert.deepEqual(read.headers, ["Host", "h", "X-Stays", "2"]);
    assert.equal(read.upgrade, "");
  });

  it("keeps TE: trailers", () => {
    assert.deepEqual(headOf(withFields("Connection: TE", "TE: gzip, trailers")).headers, [
      "Host",
      "h",
      "TE",
      "trailers",
    ]);
  });

  it("does not let a peer name as hop-by-hop what frames or routes the message", () => {
    const reader = readAll(
      "POST http://t.test/ HTTP/1.1\r\nX: 1\r\nConnection: x, host, content-length\r\nContent-Length: 2\r\nHost: h\r\n\r\n",
    );
    assert.deepEqual(reader.head.headers, ["Content-Length", "2", "Host", "t.test"]);
    assert.equal(reader.framing, FRAMING_LENGTH);
    assert.equal(reader.bodyLength, 2);
  });

  it("knows the framing", () => {
    assert.equal(readAll(withFields("Content-Length: 0")).framing, FRAMING_NONE);
    assert.equal(readAll(withFields("Content-Length: 007")).bodyLength, 7);
    assert.equal(readAll(withFields("transfer-encoding: chunked")).framing, FRAMING_CHUNKED);
    assert.equal(readAll(withFields("A: b")).framing, FRAMING_NONE);
  });

  it("knows whether the connection is kept", () => {
    assert.equal(readAll(withFields("A: b")).keepAlive, true);
    assert.equal(readAll(withFields("Connection: Close")).keepAlive, false);
    assert.equal(readAll(withFields("Connection: keep-alive", "Connection: a,close")).keepAlive, false);
    assert.equal(readAll("GET / HTTP/1.0\r\n\r\n").keepAlive, false);
    assert.equal(readAll("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keepAlive, true);
  });

  it("reads exactly as many fields and bytes as its limits allow", () => {
    const fields = "X: y\r\n".repeat(defaultHttpLimits.headerCount - 1);
    assert.equal(readAll(`GET / HTTP/1.1\r\nHost: h\r\n${fields}\r\n`).head.headers.length, 256);

    const start = "GET / HTTP/1.1\r\nHost: h\r\nX: ";
    const fill = defaultHttpLimits.headBytes - start.length - 4;
    readAll(`${start}${"y".repeat(fill)}\r\n\r\n`);
    const reader = new RequestReader(defaultHttpLimits, "http");
    assert.equal(reader.read(Buffer.from(`${start}${"y".repeat(fill + 1)}\r\n\r\n`), 0), BAD);
    assert.equal(reader.fault?.status, 431);

    const line = "GET /".length + " HTTP/1.1".length;
    readAll(`GET /${"a".repeat(defaultHttpLimits.startLineBytes - line)} HTTP/1.1\r\nHost: h\r\n\r\n`);
    const longer = `GET /${"a".repeat(defaultHttpLimits.startLineBytes - line + 1)} HTTP/1.1\r\nHost: h\r\n\r\n`;
    assert.equal(reader.read(Buffer.from(longer), 0), BAD);
    assert.equal(reader.fault?.status, 414);
  });
});

const token = fc.string({
  unit: fc.constantFrom(...Array.from({ length: 0x7f }, (_, code) => String.fromCharCode(code)).filter(isToken)),
  minLength: 1,
  maxLength: 20,
});
const value = fc
  .string({
    unit: fc
      .integer({ min: 0x20, max: 0xff })
      .filter((code) => code !== 0x7f)
      .map((code) => String.fromCharCode(code)),
  })
  .map((text) => text.replace(/^[ \t]+|[ \t]+$/g, ""));
const special = new Set(
  "te host upgrade connection keep-alive content-length proxy-connection transfer-encoding expect".split(" "),
);
const fieldPairs = fc.array(
  fc.tuple(
    token.filter((name) => !special.has(name.toLowerCase())),
    value,
  ),
  { maxLength: 30 },
);
const originForm = fc
  .string({
    unit: fc
      .integer({ min: 0x21, max: 0x7e })
      .filter((code) => code !== 0x23)
      .map((code) => String.fromCharCode(code)),
  })
  .map((text) => `/${text}`);

describe("RequestReader: what the writer writes", () => {
  it("is read back the same, however the bytes are torn", () => {
    fc.assert(
      fc.property(
        token.filter((method) => method !== "CONNECT"),
        originForm,
        fieldPairs,
        fc.boolean(),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 }),
        (method, path, fields, end, pieces) => {
          const written: RequestHead = {
            method,
            scheme: "http",
            authority: "h.test:80",
            path,
            headers: ["Host", "h.test:80", ...fields.flat()],
            version: "1.1",
            upgrade: "",
          };
          const peer = new MemoryConnection();
          assert.ok(writeRequestHead(peer.connection, written, end));
          const bytes = Buffer.from(`${peer.text()}next`, "latin1");
          const reader = new RequestReader(defaultHttpLimits, "http");
          let at = 0;
          for (let i = 0; ; i++) {
            const piece = Buffer.from(bytes.subarray(at, at + (pieces[i % pieces.length] as number)));
            const result = reader.read(piece, 0);
            assert.notEqual(result, BAD, String(reader.fault?.detail));
            if (result !== MORE) {
              assert.equal(at + result, bytes.length - 4);
              break;
            }
            piece.fill(0);
            at += piece.length;
          }
          const expected = end && ["POST", "PUT", "PATCH"].includes(method) ? ["Content-Length", "0"] : [];
          assert.deepEqual(reader.head, { ...written, headers: [...written.headers, ...expected] });
          assert.equal(reader.framing, end ? FRAMING_NONE : FRAMING_CHUNKED);
          assert.equal(reader.partial, false);
        },
      ),
      { numRuns: 500 },
    );
  });

  it("is never more than one head, whatever it is asked to write", () => {
    // Tame enough that a good part is written.
    const wild = fc.string({
      unit: fc.oneof(
        { weight: 12, arbitrary: fc.constantFrom("a", "G", "5") },
        {
          weight: 1,
          arbitrary: fc.constantFrom(":", " ", "\r\n", "\r", "\n", "\0", "\t", "\u010a", "/", "\u0163", "#"),
        },
      ),
      maxLength: 8,
    });
    let accepted = 0;
    fc.assert(
      fc.property(
        wild,
        wild,
        wild,
        fc.array(fc.tuple(wild, wild), { maxLength: 3 }),
        (method, path, authority, fields) => {
          const headers = fields.flat();
          const peer = new MemoryConnection();
          const head: RequestHead = {
            method,
            scheme: "http",
            authority,
            path: `/${path}`,
            headers,
            version: "2",
            upgrade: "",
          };
          if (!writeRequestHead(peer.connection, head, true)) return;
          accepted++;
          const bytes = peer.bytes();
          const reader = new RequestReader(defaultHttpLimits, "http");
          assert.equal(reader.read(bytes, 0), bytes.length);
          assert.equal(reader.head.path, `/${path}`);
          const read = ["Host", authority];
          for (const pair of fields) {
            const [name = "", text = ""] = pair.map((part) => Buffer.from(part, "latin1").toString("latin1"));
            read.push(name, text.replace(/^[ \t]+|[ \t]+$/g, ""));
          }
          assert.deepEqual(reader.head.headers, read);
        },
      ),
      { numRuns: 2_000 },
    );
    assert.ok(accepted > 100, `only ${accepted} were written`);
  });
});
