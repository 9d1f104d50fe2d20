/** Raw input that two HTTP implementations could read differently, or that is meant to exhaust one: all of it is refused. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import {
  RecordedResponse,
  RecordingHandler,
  RecordingOwner,
  requestHead,
  responseHead,
} from "../../../test/support/exchange-recorder.ts";
import { MemoryConnection } from "../../../test/support/memory-connection.ts";
import { memoryServer } from "../../../test/support/memory-server.ts";
import { cutResponses, refusedResponses } from "../../../test/attacks/http1-responses.ts";
import { neutralRequests } from "../../../test/attacks/http1-neutral-requests.ts";
import { refusedBodies, refusedHeads, type RefusedRequest } from "../../../test/attacks/http1-requests.ts";
import { Http1ClientConnection } from "./client.ts";
import { defaultHttp1Options } from "./options.ts";

/** Sidecars recognise it before they come to this. */
const TLS: RefusedRequest = ["TLS", 400, "bad_request_line", "\x16\x03\x01\x02\x00\x01\x00"];

function serve(input: string, pieceBytes: number): { handler: RecordingHandler; peer: MemoryConnection } {
  const { peer, handler, server } = memoryServer();
  for (let at = 0; at < input.length; at += pieceBytes) peer.feed(input.slice(at, at + pieceBytes));
  assert.equal(server.active, 0);
  return { handler, peer };
}

describe("attacks on a server", () => {
  for (const [what, status, kind, input] of [...refusedHeads, TLS]) {
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

  for (const [what, status, kind, input] of refusedBodies) {
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

describe("odd requests to a server", () => {
  for (const { what, input, reaches } of neutralRequests) {
    it(`takes ${what} for what it is`, () => {
      for (const pieceBytes of [input.length, 1]) {
        const { peer, handler } = memoryServer();
        handler.answer = ({ stream, body, end }) => {
          const answer = (): void => stream.sendHead(responseHead(200), true);
          if (end) answer();
          else body.whenEnded = answer;
        };
        for (let at = 0; at < input.length; at += pieceBytes) peer.feed(input.slice(at, at + pieceBytes));
        assert.deepEqual(handler.faults, []);
        assert.deepEqual(
          handler.requests.map(({ head, body }) => [head.method, head.path, body.text]),
          reaches.map((request) => {
            const [method, path] = request.split(" ", 2);
            const [, body = ""] = /\n\n([^]*?)(?:\n(?:[\w-]+: .*\n)+)?$/.exec(request) ?? [];
            return [method, path, body];
          }),
        );
      }
    });
  }
});

describe("attacks on a client", () => {
  for (const [what, input] of [...refusedResponses, ...cutResponses]) {
    it(`refuses ${what}`, () => {
      for (const pieceBytes of [input.length, 1]) {
        const peer = new MemoryConnection();
        const client = new Http1ClientConnection(peer.connection, new RecordingOwner(), defaultHttp1Options);
        peer.connection.resume();
        const response = new RecordedResponse();
        client.open(requestHead("GET", "/"), true, response);
        for (let at = 0; at < input.length; at += pieceBytes) peer.feed(input.slice(at, at + pieceBytes));
        assert.equal(response.reset?.code, "protocol");
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
