/**
 * A whole HTTP/2 server connection behind the preface and settings of a client. However the bytes are cut, it hands out
 * the same and answers the same; and no request it hands out would be another in HTTP/1.
 */
import assert from "node:assert/strict";

import { VirtualClock } from "../../src/net/virtual-clock.ts";
import { Http1ClientConnection } from "../../src/protocol/http1/client.ts";
import { defaultHttp1Options } from "../../src/protocol/http1/options.ts";
import { CLIENT_PREFACE } from "../../src/protocol/http2/frames.ts";
import { defaultHttp2Options } from "../../src/protocol/http2/options.ts";
import { Http2ServerConnection } from "../../src/protocol/http2/server.ts";
import { MessageCutter } from "../../test/attacks/http1-messages.ts";
import {
  RecordedResponse,
  type RecordedRequest,
  RecordingHandler,
  RecordingOwner,
  responseHead,
} from "../../test/support/exchange-recorder.ts";
import { MemoryConnection } from "../../test/support/memory-connection.ts";
import type { Target } from "../target.ts";
import { tearings } from "../tear.ts";
import { framesAsText, HTTP2_TOKENS, troubles } from "./http2-frames.ts";

export interface Served2 {
  readonly requests: readonly RecordedRequest[];
  readonly faults: readonly string[];
  readonly frames: readonly string[];
  readonly closed: boolean;
}

/** Serves what follows the preface. A request is answered when it is complete, CONNECT at once: its content waits for that. */
export async function serve2(pieces: readonly Buffer[]): Promise<Served2> {
  const peer = new MemoryConnection();
  const handler = new RecordingHandler();
  handler.answer = ({ stream, head, body, end }) => {
    const tunnel = head.method === "CONNECT";
    const final = { ...responseHead(200, ["content-length", "2"]), upgrade: tunnel ? "connect" : "" };
    if (tunnel) stream.sendHead(final, false);
    const answer = (): void => {
      if (!tunnel) stream.sendHead(final, false);
      stream.sendData(Buffer.from("ok"), true);
    };
    if (end) answer();
    else body.whenEnded = answer;
  };
  const server = new Http2ServerConnection(peer.connection, handler, {
    ...defaultHttp2Options,
    clock: new VirtualClock(),
  });
  peer.connection.resume();
  peer.feed(Buffer.from(CLIENT_PREFACE));
  for (const piece of pieces) peer.feed(piece);
  const closed = peer.ended || peer.destroyed;
  peer.finish();
  await Promise.resolve();
  const frames = framesAsText(peer.bytes(), false);
  server.destroy();
  return { requests: handler.requests, faults: handler.faults.map(({ kind }) => kind), frames, closed };
}

function understood({ requests, faults, frames, closed }: Served2): unknown {
  return {
    requests: requests.map(({ head, end, body }) => ({
      head,
      end,
      // What was read before the rest turned out to be broken depends on where the network cut it.
      body: body.reset === undefined ? body.text : "",
      trailers: body.trailers,
      ended: body.ended,
      reset: body.reset?.code,
      late: body.late,
    })),
    faults,
    frames,
    closed,
  };
}

/** What an application behind HTTP/1 would get: one request of the same meaning. */
function downgrade({ head, end, body }: RecordedRequest): void {
  if (head.method === "CONNECT" || !(end || body.ended)) return;
  const peer = new MemoryConnection();
  const client = new Http1ClientConnection(peer.connection, new RecordingOwner(), defaultHttp1Options);
  const stream = client.open(head, end, new RecordedResponse());
  assert.equal(client.active, 1, "what was taken from HTTP/2 can be written in HTTP/1");
  if (!end) {
    if (body.bytes.length > 0 || body.trailers === undefined) stream.sendData(body.bytes, body.trailers === undefined);
    if (body.trailers !== undefined) stream.sendTrailers(body.trailers);
  }
  const cutter = new MessageCutter();
  const messages = cutter.feed(peer.text());
  assert.equal(cutter.rest, "", "nothing stands behind the request");
  assert.equal(messages.length, 1, "it is one request");
  const [text = ""] = messages;
  const headEnd = text.indexOf("\n\n");
  assert.ok(text.startsWith(`${head.method} ${head.path} HTTP/1.1\n`));
  assert.ok(text.startsWith(body.text, headEnd + 2), "its body is the same");
  const hosts = text.slice(0, headEnd).match(/^host: .*$/gim);
  assert.deepEqual(
    hosts?.map((line) => line.slice(6)),
    [head.authority],
    "it has the one Host",
  );
}

export const http2Server: Target = {
  name: "http2-server",
  tokens: HTTP2_TOKENS,
  bytesMax: 4_096,
  async run(input) {
    const whole = await serve2([input]);
    assert.ok(whole.requests.every(({ body }) => body.late === 0));
    const once = understood(whole);
    for (const pieces of tearings(input))
      assert.deepEqual(understood(await serve2(pieces)), once, "torn, it means the same");
    for (const request of whole.requests) downgrade(request);
    const shapes = whole.requests.map(
      ({ head, body, end }) => `${head.method.slice(0, 7)}${end}${body.ended}${body.reset?.code}`,
    );
    return `${shapes.slice(0, 3).join()} ${whole.faults.slice(0, 2).join()} ${troubles(whole.frames)} ${whole.closed}`;
  },
};
