/**
 * A whole HTTP/1 server connection. However the bytes are cut, it understands the same; and each request it hands out,
 * written again by our client, is to a second reader exactly one request of the same meaning.
 */
import assert from "node:assert/strict";

import { defaultHttp1Options } from "../../src/protocol/http1/options.ts";
import { Http1ClientConnection } from "../../src/protocol/http1/client.ts";
import { MessageCutter } from "../../test/attacks/http1-messages.ts";
import { RecordedResponse, RecordingOwner, responseHead } from "../../test/support/exchange-recorder.ts";
import type { RecordedRequest } from "../../test/support/exchange-recorder.ts";
import { MemoryConnection } from "../../test/support/memory-connection.ts";
import { memoryServer } from "../../test/support/memory-server.ts";
import type { Target } from "../target.ts";
import { tearings } from "../tear.ts";
import { HTTP1_TOKENS } from "./http1-tokens.ts";

export interface Served {
  readonly requests: readonly RecordedRequest[];
  /** Kinds of the faults. */
  readonly faults: readonly string[];
  readonly answers: number;
  readonly open: boolean;
}

/** Serves the pieces, each request answered when it is complete, until the client's FIN. */
export async function serve(pieces: readonly Buffer[]): Promise<Served> {
  const { peer, handler, server } = memoryServer();
  handler.answer = ({ stream, body, end, head }) => {
    const answer = (): void => stream.sendHead(responseHead(200, ["Path", head.path]), true);
    if (end || head.upgrade !== "" || head.method === "CONNECT") answer();
    else body.whenEnded = answer;
  };
  for (const piece of pieces) peer.feed(piece);
  peer.finish();
  await Promise.resolve();
  const served = {
    requests: handler.requests,
    faults: handler.faults.map((fault) => fault.kind),
    answers: peer.text().split("HTTP/1.1 200 OK\r\nPath: ").length - 1,
    open: !peer.ended && !peer.destroyed,
  };
  server.destroy();
  return served;
}

/** What has been understood, for comparison. The kind of a fault may depend on how much of it was there to be seen. */
function understood({ requests, faults, answers, open }: Served): unknown {
  return {
    requests: requests.map(({ head, body }) => ({
      head: { ...head, headers: [...head.headers] },
      body: body.text,
      trailers: body.trailers,
      ended: body.ended,
      reset: body.reset !== undefined,
      late: body.late,
    })),
    faults: faults.length,
    answers,
    open,
  };
}

/** Writes a request as a sidecar would, and has it read by another reader. */
function writeAgain({ head, body, end }: RecordedRequest): void {
  if (head.method === "CONNECT" || head.upgrade !== "" || !(end || body.ended)) return;
  const peer = new MemoryConnection();
  const client = new Http1ClientConnection(peer.connection, new RecordingOwner(), defaultHttp1Options);
  const stream = client.open(head, end, new RecordedResponse());
  if (!end) {
    if (body.bytes.length > 0 || body.trailers === undefined) stream.sendData(body.bytes, body.trailers === undefined);
    if (body.trailers !== undefined) stream.sendTrailers(body.trailers);
  }
  assert.equal(client.active, 1, "what was read can be written");
  const cutter = new MessageCutter();
  const messages = cutter.feed(peer.text());
  assert.equal(cutter.rest, "", "it is nothing but whole requests");
  assert.equal(messages.length, 1, "it is one request");
  const [text = ""] = messages;
  const headEnd = text.indexOf("\n\n");
  const [startLine, ...lines] = text.slice(0, headEnd).split("\n");
  assert.equal(startLine, `${head.method} ${head.path} HTTP/1.1`);
  assert.ok(text.startsWith(body.text, headEnd + 2), "its body is the same");
  let at = 0;
  for (let i = 0; i < head.headers.length; i += 2) {
    at = lines.indexOf(`${head.headers[i]}: ${head.headers[i + 1]}`, at) + 1;
    assert.ok(at > 0, `the field ${head.headers[i]} is there, in its place`);
  }
}

export const http1Server: Target = {
  name: "http1-server",
  tokens: HTTP1_TOKENS,
  bytesMax: 4_096,
  async run(input) {
    const whole = await serve([input]);
    assert.equal(whole.open, false, "a connection whose client has gone is not kept");
    assert.ok(whole.requests.every(({ body }) => body.late === 0));
    const once = understood(whole);
    for (const pieces of tearings(input))
      assert.deepEqual(understood(await serve(pieces)), once, "torn, it means the same");
    for (const request of whole.requests) writeAgain(request);
    const shapes = whole.requests.map(({ head, body }) => {
      const framing = body.trailers === undefined ? (body.bytes.length > 0 ? "b" : "") : "t";
      return `${head.method.slice(0, 7)}${head.version}${head.upgrade.slice(0, 3)}${body.ended}${framing}`;
    });
    return `${shapes.slice(0, 4).join()} ${whole.faults.join()}`;
  },
};
