/** A whole HTTP/2 client connection with three requests open. However the bytes are cut, it understands the same answers. */
import assert from "node:assert/strict";

import { VirtualClock } from "../../src/net/virtual-clock.ts";
import { Http2ClientConnection } from "../../src/protocol/http2/client.ts";
import { defaultHttp2Options } from "../../src/protocol/http2/options.ts";
import { RecordedResponse, RecordingOwner, requestHead } from "../../test/support/exchange-recorder.ts";
import { MemoryConnection } from "../../test/support/memory-connection.ts";
import type { Target } from "../target.ts";
import { tearings } from "../tear.ts";
import { framesAsText, HTTP2_TOKENS, troubles } from "./http2-frames.ts";

interface Answered {
  readonly responses: readonly RecordedResponse[];
  readonly frames: readonly string[];
  readonly available: number;
}

async function answer(pieces: readonly Buffer[]): Promise<Answered> {
  const peer = new MemoryConnection();
  const owner = new RecordingOwner();
  const client = new Http2ClientConnection(peer.connection, owner, {
    ...defaultHttp2Options,
    clock: new VirtualClock(),
  });
  peer.connection.resume();
  const responses = [new RecordedResponse(), new RecordedResponse(), new RecordedResponse()];
  const [get, post, head] = responses as [RecordedResponse, RecordedResponse, RecordedResponse];
  client.open(requestHead("GET", "/1"), true, get);
  client.open(requestHead("POST", "/3"), false, post).sendData(Buffer.from("hello"), false);
  client.open(requestHead("HEAD", "/5"), true, head);
  for (const piece of pieces) peer.feed(piece);
  const { available } = client;
  peer.finish();
  await Promise.resolve();
  peer.lose("ECONNRESET");
  await Promise.resolve();
  const frames = framesAsText(peer.bytes(), true);
  assert.equal(client.active, 0, "nothing is open on a connection that is gone");
  for (const response of responses) {
    assert.ok(response.ended || response.reset !== undefined, "each answer has an end, good or bad");
    assert.equal(response.late, 0);
  }
  assert.ok(available <= defaultHttp2Options.limits.concurrentStreams);
  return { responses, frames, available };
}

function understood({ responses, frames, available }: Answered): unknown {
  return {
    responses: responses.map(({ interim, head, text, trailers, ended, reset }) => ({
      interim,
      head,
      // What was read before the rest turned out to be broken depends on where the network cut it.
      text: reset === undefined ? text : "",
      trailers,
      ended,
      reset: reset?.code,
    })),
    frames,
    available,
  };
}

export const http2Client: Target = {
  name: "http2-client",
  tokens: HTTP2_TOKENS,
  bytesMax: 4_096,
  async run(input) {
    const whole = await answer([input]);
    const once = understood(whole);
    for (const pieces of tearings(input))
      assert.deepEqual(understood(await answer(pieces)), once, "torn, it means the same");
    const shapes = whole.responses.map(({ interim, head, ended, trailers, reset }) =>
      [Math.min(interim.length, 3), head?.status, ended, trailers?.length, reset?.code].join(":"),
    );
    return `${shapes.join()} ${troubles(whole.frames)}`;
  },
};
