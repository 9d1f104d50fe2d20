/** Whatever a client sends, good or bad: where the network tears it must not change what is understood. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { responseHead } from "../../../test/support/exchange-recorder.ts";
import { memoryServer } from "../../../test/support/memory-server.ts";

const whole = fc.constantFrom(
  "GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
  "HEAD /b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
  "POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcde",
  "POST /d HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x\r\nd\r\n0\r\n\r\n",
  "POST /e HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: u\r\n\r\n",
  "GET /f HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
  "GET /g HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
  "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n",
);
const fragment = fc.constantFrom(
  "\r\n",
  "\r",
  "\n",
  " ",
  ":",
  "0\r\n\r\n",
  "5\r\n",
  "Host: h\r\n",
  "Content-Length: 5\r\n",
  "Transfer-Encoding: chunked\r\n",
  "GET / HTTP/1.1\r\n",
  "\0",
  "abcde",
);
const input = fc
  .array(fc.oneof({ weight: 3, arbitrary: whole }, { weight: 1, arbitrary: fragment }), { minLength: 1, maxLength: 8 })
  .map((parts) => parts.join(""));

/** Serves the pieces, each request answered when it is complete. */
function serve(pieces: readonly string[]) {
  const { peer, handler } = memoryServer();
  handler.answer = ({ stream, body, end, head }) => {
    const status = head.method === "CONNECT" ? 404 : 200;
    const answer = (): void => stream.sendHead(responseHead(status, ["Path", head.path]), true);
    if (end || head.upgrade !== "") answer();
    else body.whenEnded = answer;
  };
  for (const piece of pieces) peer.feed(piece);
  peer.finish();
  return {
    requests: handler.requests.map(({ head, body }) => ({
      head,
      body: body.text,
      trailers: body.trailers,
      ended: body.ended,
      late: body.late,
      reset: body.reset?.code === undefined ? "" : "reset",
    })),
    refused: handler.faults.length,
    answers: peer.text().split("HTTP/1.1 200").length - 1,
    open: !peer.ended && !peer.destroyed,
  };
}

describe("torn input", () => {
  it("is understood as if it were whole", () => {
    fc.assert(
      fc.property(input, fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 6 }), (text, sizes) => {
        const pieces: string[] = [];
        for (let at = 0, i = 0; at < text.length; i++) {
          const size = sizes[i % sizes.length] as number;
          pieces.push(text.slice(at, at + size));
          at += size;
        }
        const once = serve([text]);
        assert.deepEqual(serve(pieces), once);
        assert.deepEqual(serve(text.split("")), once);
        assert.equal(once.open, false);
        assert.ok(once.requests.every(({ late }) => late === 0));
      }),
      { numRuns: 300 },
    );
  });
});
