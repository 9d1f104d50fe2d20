/** Raw input that two HTTP implementations could read differently, or that is meant to exhaust one: all of it is refused. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import {
  RecordedResponse,
  RecordingHandler,
  RecordingOwner,
  requestHead,
} from "../../../test/support/exchange-recorder.ts";
import { MemoryConnection } from "../../../test/support/memory-connection.ts";
import { memoryServer } from "../../../test/support/memory-server.ts";
import { defaultHttpLimits } from "../limits.ts";
import { CHUNK_EXTENSION_BYTES_MAX } from "./chunked.ts";
import { Http1ClientConnection } from "./client.ts";
import { defaultHttp1Options } from "./options.ts";

const HOST = "Host: h\r\n";
const POST = `POST / HTTP/1.1\r\n${HOST}`;
const CHUNKED = `${POST}Transfer-Encoding: chunked\r\n\r\n`;
const { startLineBytes, headBytes, headerCount } = defaultHttpLimits;

/** [what, status, kind, input]: refused before any request is handed out. */
const heads: readonly (readonly [string, number, string, string])[] = [
  [
    "Content-Length and Transfer-Encoding",
    400,
    "ambiguous_length",
    `${POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n`,
  ],
  [
    "Transfer-Encoding and Content-Length",
    400,
    "ambiguous_length",
    `${POST}Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n`,
  ],
  ["differing Content-Lengths", 400, "bad_content_length", `${POST}Content-Length: 5\r\nContent-Length: 6\r\n\r\n`],
  ["the same Content-Length twice", 400, "bad_content_length", `${POST}Content-Length: 5\r\ncontent-length: 5\r\n\r\n`],
  ["a list of Content-Lengths", 400, "bad_content_length", `${POST}Content-Length: 5,5\r\n\r\n`],
  ["a signed Content-Length", 400, "bad_content_length", `${POST}Content-Length: +5\r\n\r\n`],
  ["a negative Content-Length", 400, "bad_content_length", `${POST}Content-Length: -5\r\n\r\n`],
  ["a hexadecimal Content-Length", 400, "bad_content_length", `${POST}Content-Length: 0x5\r\n\r\n`],
  ["an empty Content-Length", 400, "bad_content_length", `${POST}Content-Length:\r\n\r\n`],
  ["a fractional Content-Length", 400, "bad_content_length", `${POST}Content-Length: 5.0\r\n\r\n`],
  ["a Content-Length with a space in it", 400, "bad_content_length", `${POST}Content-Length: 5 6\r\n\r\n`],
  [
    "a Content-Length beyond exact numbers",
    400,
    "bad_content_length",
    `${POST}Content-Length: 9007199254740993\r\n\r\n`,
  ],
  ["whitespace before the colon", 400, "bad_header_name", `${POST}Content-Length : 5\r\n\r\n`],
  ["a tab before the colon", 400, "bad_header_name", `${POST}Transfer-Encoding\t: chunked\r\n\r\n`],
  ["a folded field", 400, "folded_header", `${POST}X: a\r\n b\r\n\r\n`],
  ["a field folded with a tab", 400, "folded_header", `${POST}Transfer-Encoding:\r\n\tchunked\r\n\r\n`],
  ["whitespace before the first field", 400, "folded_header", `GET / HTTP/1.1\r\n ${HOST}\r\n`],
  ["a bare LF after the request line", 400, "bad_request_line", `GET / HTTP/1.1\n${HOST}\r\n`],
  ["a bare LF after a field", 400, "bad_line_end", `GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n`],
  ["a bare LF as the empty line", 400, "bad_line_end", `GET / HTTP/1.1\r\n${HOST}\n`],
  ["a bare CR in a value", 400, "bad_line_end", `GET / HTTP/1.1\r\n${HOST}X: a\rb\r\n\r\n`],
  ["a bare CR after the request line", 400, "bad_request_line", `GET / HTTP/1.1\r${HOST}\r\n`],
  ["a CR in place of the empty line", 400, "bad_line_end", `GET / HTTP/1.1\r\n${HOST}\rX`],
  ["CR CR LF", 400, "bad_line_end", `GET / HTTP/1.1\r\nHost: h\r\r\n\r\n`],
  ["NUL in a value", 400, "bad_header_value", `GET / HTTP/1.1\r\n${HOST}X: a\0b\r\n\r\n`],
  ["a vertical tab before chunked", 400, "bad_header_value", `${POST}Transfer-Encoding: \vchunked\r\n\r\n`],
  ["DEL in a value", 400, "bad_header_value", `GET / HTTP/1.1\r\n${HOST}X: \x7f\r\n\r\n`],
  ["NUL in a name", 400, "bad_header_name", `GET / HTTP/1.1\r\n${HOST}X\0: a\r\n\r\n`],
  ["obs-text in a name", 400, "bad_header_name", `GET / HTTP/1.1\r\n${HOST}X\xe4: a\r\n\r\n`],
  ["a space in a name", 400, "bad_header_name", `GET / HTTP/1.1\r\n${HOST}X Y: a\r\n\r\n`],
  ["an empty name", 400, "bad_header_name", `GET / HTTP/1.1\r\n${HOST}: a\r\n\r\n`],
  ["a field without colon", 400, "bad_header_name", `GET / HTTP/1.1\r\n${HOST}X\r\n\r\n`],
  ["a quoted name", 400, "bad_header_name", `GET / HTTP/1.1\r\n${HOST}"X": a\r\n\r\n`],
  ["gzip", 501, "bad_transfer_encoding", `${POST}Transfer-Encoding: gzip\r\n\r\n`],
  ["gzip, chunked", 501, "bad_transfer_encoding", `${POST}Transfer-Encoding: gzip, chunked\r\n\r\n`],
  ["chunked twice in one field", 501, "bad_transfer_encoding", `${POST}Transfer-Encoding: chunked, chunked\r\n\r\n`],
  [
    "chunked twice in two fields",
    501,
    "bad_transfer_encoding",
    `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`,
  ],
  [
    "chunked, then identity",
    501,
    "bad_transfer_encoding",
    `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n`,
  ],
  ["xchunked", 501, "bad_transfer_encoding", `${POST}Transfer-Encoding: xchunked\r\n\r\n`],
  ["chunked with a parameter", 501, "bad_transfer_encoding", `${POST}Transfer-Encoding: chunked;q=1\r\n\r\n`],
  ["quoted chunked", 501, "bad_transfer_encoding", `${POST}Transfer-Encoding: "chunked"\r\n\r\n`],
  ["an empty Transfer-Encoding", 501, "bad_transfer_encoding", `${POST}Transfer-Encoding:\r\n\r\n`],
  [
    "Transfer-Encoding in HTTP/1.0",
    400,
    "bad_transfer_encoding",
    "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
  ],
  ["no Host", 400, "bad_host", "GET / HTTP/1.1\r\n\r\n"],
  ["two Hosts", 400, "bad_host", `GET / HTTP/1.1\r\n${HOST}${HOST}\r\n`],
  ["two Hosts in HTTP/1.0", 400, "bad_host", `GET / HTTP/1.0\r\n${HOST}host: i\r\n\r\n`],
  ["no Host beside an absolute target", 400, "bad_host", "GET http://h/ HTTP/1.1\r\n\r\n"],
  ["a Host with a path", 400, "bad_host", "GET / HTTP/1.1\r\nHost: h/x\r\n\r\n"],
  ["a Host with user information", 400, "bad_host", "GET / HTTP/1.1\r\nHost: a@h\r\n\r\n"],
  ["a list of Hosts", 400, "bad_host", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"],
  ["a Host with a bad port", 400, "bad_host", "GET / HTTP/1.1\r\nHost: h:80x\r\n\r\n"],
  ["a Host that is only a port", 400, "bad_host", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n"],
  ["a Host with an open bracket", 400, "bad_host", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"],
  ["an invalid method", 400, "bad_request_line", `G(T / HTTP/1.1\r\n${HOST}\r\n`],
  ["no method", 400, "bad_request_line", ` / HTTP/1.1\r\n${HOST}\r\n`],
  ["a method that never ends", 400, "bad_request_line", "A".repeat(33)],
  ["a tab after the method", 400, "bad_request_line", `GET\t/ HTTP/1.1\r\n${HOST}\r\n`],
  ["two spaces after the method", 400, "bad_request_target", `GET  / HTTP/1.1\r\n${HOST}\r\n`],
  ["two spaces before the version", 400, "bad_request_line", `GET /  HTTP/1.1\r\n${HOST}\r\n`],
  ["a space in the target", 400, "bad_request_line", `GET /a b HTTP/1.1\r\n${HOST}\r\n`],
  ["a second version in the target", 400, "bad_request_line", `GET / HTTP/1.1 HTTP/1.1\r\n${HOST}\r\n`],
  ["a space after the version", 400, "bad_request_line", `GET / HTTP/1.1 \r\n${HOST}\r\n`],
  ["NUL in the target", 400, "bad_request_target", `GET /\0 HTTP/1.1\r\n${HOST}\r\n`],
  ["raw UTF-8 in the target", 400, "bad_request_target", `GET /\xc3\xa4 HTTP/1.1\r\n${HOST}\r\n`],
  ["a fragment in the target", 400, "bad_request_target", `GET /#a HTTP/1.1\r\n${HOST}\r\n`],
  ["a target without slash", 400, "bad_request_target", `GET admin HTTP/1.1\r\n${HOST}\r\n`],
  ["* with GET", 400, "bad_request_target", `GET * HTTP/1.1\r\n${HOST}\r\n`],
  ["a foreign scheme", 400, "bad_request_target", `GET file:///etc HTTP/1.1\r\n${HOST}\r\n`],
  ["an absolute target without host", 400, "bad_request_target", `GET http:///x HTTP/1.1\r\n${HOST}\r\n`],
  ["an absolute target with user information", 400, "bad_request_target", `GET http://a@b/ HTTP/1.1\r\n${HOST}\r\n`],
  ["CONNECT without port", 400, "bad_request_target", `CONNECT h HTTP/1.1\r\n${HOST}\r\n`],
  ["CONNECT to IPv6 without port", 400, "bad_request_target", `CONNECT [::1] HTTP/1.1\r\n${HOST}\r\n`],
  ["CONNECT to port 0", 400, "bad_request_target", `CONNECT h:0 HTTP/1.1\r\n${HOST}\r\n`],
  ["CONNECT to port 65536", 400, "bad_request_target", `CONNECT h:65536 HTTP/1.1\r\n${HOST}\r\n`],
  ["CONNECT with a path", 400, "bad_request_target", `CONNECT /h:1 HTTP/1.1\r\n${HOST}\r\n`],
  ["CONNECT with a body", 400, "bad_request_line", `CONNECT h:1 HTTP/1.1\r\n${HOST}Content-Length: 1\r\n\r\n`],
  ["HTTP/0.9", 400, "bad_request_target", "GET /\r\n"],
  ["HTTP/2 without its preface", 505, "bad_version", `GET / HTTP/2.0\r\n${HOST}\r\n`],
  ["HTTP/1.2", 505, "bad_version", `GET / HTTP/1.2\r\n${HOST}\r\n`],
  ["lower-case http/1.1", 400, "bad_request_line", `GET / http/1.1\r\n${HOST}\r\n`],
  ["HTTP/1.10", 400, "bad_request_line", `GET / HTTP/1.10\r\n${HOST}\r\n`],
  ["HTTP/1,1", 400, "bad_request_line", `GET / HTTP/1,1\r\n${HOST}\r\n`],
  ["two empty lines before the request", 400, "bad_request_line", `\r\n\r\nGET / HTTP/1.1\r\n${HOST}\r\n`],
  ["a lone CR before the request", 400, "bad_line_end", `\rGET / HTTP/1.1\r\n${HOST}\r\n`],
  ["a long start line", 414, "start_line_too_long", `GET /${"a".repeat(startLineBytes)} HTTP/1.1\r\n${HOST}\r\n`],
  ["a start line without end", 414, "start_line_too_long", `GET /${"a".repeat(startLineBytes)}`],
  ["a large head", 431, "headers_too_large", `GET / HTTP/1.1\r\n${HOST}${`X: ${"a".repeat(8_000)}\r\n`.repeat(9)}\r\n`],
  ["a head without end", 431, "headers_too_large", `GET / HTTP/1.1\r\n${HOST}X: ${"a".repeat(headBytes)}`],
  ["many fields", 431, "too_many_headers", `GET / HTTP/1.1\r\n${HOST}${"X: a\r\n".repeat(headerCount)}\r\n`],
  ["SMTP", 400, "bad_request_target", "EHLO example.test\r\n"],
  ["TLS", 400, "bad_request_line", "\x16\x03\x01\x02\x00\x01\x00"],
];

/** [what, status, kind, input]: refused within the body of a request. */
const bodies: readonly (readonly [string, number, string, string])[] = [
  ["a chunk size that is no number", 400, "bad_chunk_size", `${CHUNKED}zz\r\n`],
  ["an empty chunk size", 400, "bad_chunk_size", `${CHUNKED}\r\n`],
  ["a signed chunk size", 400, "bad_chunk_size", `${CHUNKED}+5\r\nabcde\r\n`],
  ["a negative chunk size", 400, "bad_chunk_size", `${CHUNKED}-5\r\nabcde\r\n`],
  ["0x before a chunk size", 400, "bad_chunk_size", `${CHUNKED}0x5\r\nabcde\r\n`],
  ["a space after a chunk size", 400, "bad_chunk_size", `${CHUNKED}5 \r\nabcde\r\n`],
  ["a space before a chunk size", 400, "bad_chunk_size", `${CHUNKED} 5\r\nabcde\r\n`],
  ["a chunk size beyond 48 bits", 400, "bad_chunk_size", `${CHUNKED}1000000000000\r\n`],
  ["a chunk size that wraps 64 bits", 400, "bad_chunk_size", `${CHUNKED}10000000000000005\r\nabcde\r\n`],
  ["a bare LF after a chunk size", 400, "bad_chunk_size", `${CHUNKED}5\nabcde\r\n`],
  ["a bare CR after a chunk size", 400, "bad_chunk_size", `${CHUNKED}5\rabcde\r\n`],
  ["a chunk longer than its size", 400, "bad_chunk_end", `${CHUNKED}5\r\nabcdef\r\n`],
  ["a bare LF after a chunk", 400, "bad_chunk_end", `${CHUNKED}5\r\nabcde\n0\r\n\r\n`],
  ["a bare CR after a chunk", 400, "bad_chunk_end", `${CHUNKED}5\r\nabcde\r0\r\n\r\n`],
  ["a bare LF in a chunk extension", 400, "bad_chunk_extension", `${CHUNKED}5;a\nabcde\r\n`],
  ["NUL in a chunk extension", 400, "bad_chunk_extension", `${CHUNKED}5;\0\r\n`],
  ["a long chunk extension", 400, "bad_chunk_extension", `${CHUNKED}5;${"a".repeat(CHUNK_EXTENSION_BYTES_MAX + 1)}`],
  ["many chunk extensions", 400, "bad_chunk_extension", CHUNKED + `1;${"a".repeat(99)}\r\nx\r\n`.repeat(42)],
  ["a bare LF after a trailer", 400, "bad_line_end", `${CHUNKED}0\r\nX: y\n\r\n`],
  ["a bare LF at the end", 400, "bad_line_end", `${CHUNKED}0\r\n\n`],
  ["a folded trailer", 400, "folded_header", `${CHUNKED}0\r\nX: y\r\n z\r\n\r\n`],
  ["whitespace in a trailer's name", 400, "bad_header_name", `${CHUNKED}0\r\nX : y\r\n\r\n`],
  ["many trailers", 431, "too_many_headers", `${CHUNKED}0\r\n${"X: y\r\n".repeat(headerCount + 1)}\r\n`],
  ["large trailers", 431, "trailers_too_large", `${CHUNKED}0\r\nX: ${"y".repeat(headBytes)}`],
];

/** [what, reset code, input]: answers that a client refuses. */
const responses: readonly (readonly [string, string, string])[] = [
  ["no status line", "protocol", "hello\r\n\r\n"],
  ["a status of two digits", "protocol", "HTTP/1.1 20 OK\r\n\r\n"],
  ["a status of four digits", "protocol", "HTTP/1.1 2000 OK\r\n\r\n"],
  ["a status below 100", "protocol", "HTTP/1.1 099 No\r\n\r\n"],
  ["HTTP/2", "protocol", "HTTP/2.0 200 OK\r\n\r\n"],
  ["a bare LF after the status line", "protocol", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"],
  ["NUL in the reason", "protocol", "HTTP/1.1 200 \0\r\nContent-Length: 0\r\n\r\n"],
  ["both framings", "protocol", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"],
  ["differing lengths", "protocol", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"],
  ["a coding other than chunked", "protocol", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"],
  ["Transfer-Encoding in HTTP/1.0", "protocol", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"],
  ["a folded field", "protocol", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n"],
  [
    "a 101 out of the blue",
    "protocol",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
  ],
  ["a bad chunk", "protocol", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
  ["a large head", "overflow", `HTTP/1.1 200 OK\r\nX: ${"a".repeat(headBytes)}`],
  ["a long status line", "overflow", `HTTP/1.1 200 ${"a".repeat(startLineBytes)}\r\n\r\n`],
  ["many fields", "overflow", `HTTP/1.1 200 OK\r\n${"X: a\r\n".repeat(headerCount + 1)}\r\n`],
];

function serve(input: string, pieceBytes: number): { handler: RecordingHandler; peer: MemoryConnection } {
  const { peer, handler, server } = memoryServer();
  for (let at = 0; at < input.length; at += pieceBytes) peer.feed(input.slice(at, at + pieceBytes));
  assert.equal(server.active, 0);
  return { handler, peer };
}

describe("attacks on a server", () => {
  for (const [what, status, kind, input] of heads) {
    it(`refuses ${what}`, () => {
      const { handler, peer } = serve(input, input.length);
      assert.deepEqual(
        handler.faults.map((fault) => [fault.status, fault.kind]),
        [[status, kind]],
      );
      assert.equal(handler.requests.length, 0);
      assert.ok(peer.text().startsWith(`HTTP/1.1 ${status} `));
      assert.equal(peer.ended, true);
      peer.feed("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
      assert.equal(handler.requests.length, 0, "nothing behind it is taken for a request");

      // Torn into bytes it is refused all the same, if only when the head is complete or the time for it is over.
      const torn = serve(input, 1);
      assert.equal(torn.handler.requests.length, 0);
      if (input.endsWith("\r\n\r\n")) assert.equal(torn.handler.faults[0]?.status, status);
    });
  }

  for (const [what, status, kind, input] of bodies) {
    it(`refuses ${what}`, () => {
      for (const pieceBytes of [input.length, 1]) {
        const { handler, peer } = serve(input, pieceBytes);
        assert.deepEqual(
          handler.faults.map((fault) => [fault.status, fault.kind]),
          [[status, kind]],
        );
        const { body } = handler.only;
        assert.equal(body.ended, false);
        assert.equal(body.reset?.code, "protocol");
        assert.equal(body.late, 0);
        assert.ok(peer.text().startsWith(`HTTP/1.1 ${status} `));
        assert.equal(peer.ended, true);
      }
    });
  }
});

describe("attacks on a client", () => {
  for (const [what, code, input] of responses) {
    it(`refuses ${what}`, () => {
      for (const pieceBytes of [input.length, 1]) {
        const peer = new MemoryConnection();
        const client = new Http1ClientConnection(peer.connection, new RecordingOwner(), defaultHttp1Options);
        peer.connection.resume();
        const response = new RecordedResponse();
        client.open(requestHead("GET", "/"), true, response);
        for (let at = 0; at < input.length; at += pieceBytes) peer.feed(input.slice(at, at + pieceBytes));
        assert.equal(response.reset?.code, code);
        assert.equal(response.ended, false);
        assert.equal(response.late, 0);
        assert.equal(client.usable, false);
        assert.equal(client.active, 0);
        assert.equal(peer.destroyed, true);
      }
    });
  }

  it("lets no byte behind a response reach the next request", () => {
    for (const surplus of ["x", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]) {
      for (const first of [
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
      ]) {
        for (const together of [true, false]) {
          const peer = new MemoryConnection();
          const client = new Http1ClientConnection(peer.connection, new RecordingOwner(), defaultHttp1Options);
          peer.connection.resume();
          const response = new RecordedResponse();
          client.open(requestHead("GET", "/"), true, response);
          if (together) {
            peer.feed(first + surplus);
          } else {
            peer.feed(first);
            assert.equal(client.available, 1);
            peer.feed(surplus);
          }
          assert.equal(response.ended, true);
          assert.equal(response.reset, undefined);
          assert.equal(client.available, 0);
          assert.equal(client.usable, false);
          assert.equal(peer.destroyed, true);
        }
      }
    }
  });
});
