/**
 * A whole HTTP/1 client connection. However the bytes are cut, it understands the same answer; each answer, written again
 * by our server, is to a second reader exactly one answer of the same meaning; and a connection that stays usable has had
 * exactly one answer and nothing more.
 */
import assert from "node:assert/strict";

import { Http1ClientConnection } from "../../src/protocol/http1/client.ts";
import { defaultHttp1Options } from "../../src/protocol/http1/options.ts";
import { MessageCutter } from "../../test/attacks/http1-messages.ts";
import { RecordedResponse, RecordingOwner, requestHead } from "../../test/support/exchange-recorder.ts";
import { MemoryConnection } from "../../test/support/memory-connection.ts";
import { memoryServer } from "../../test/support/memory-server.ts";
import type { Target } from "../target.ts";
import { tearings } from "../tear.ts";
import { HTTP1_TOKENS } from "./http1-tokens.ts";

type Method = "GET" | "HEAD";

interface Answered {
  readonly response: RecordedResponse;
  readonly endedBeforeFin: boolean;
  readonly usable: boolean;
}

async function answer(method: Method, pieces: readonly Buffer[]): Promise<Answered> {
  const peer = new MemoryConnection();
  const client = new Http1ClientConnection(peer.connection, new RecordingOwner(), defaultHttp1Options);
  peer.connection.resume();
  const response = new RecordedResponse();
  client.open(requestHead(method, "/"), true, response);
  for (const piece of pieces) peer.feed(piece);
  const endedBeforeFin = response.ended;
  const { usable } = client;
  peer.finish();
  await Promise.resolve();
  assert.ok(response.ended || response.reset !== undefined, "the answer has an end, good or bad");
  assert.equal(client.active, 0);
  assert.equal(response.late, 0);
  client.destroy();
  return { response, endedBeforeFin, usable };
}

function understood({ response, endedBeforeFin, usable }: Answered): unknown {
  const { interim, head, text, trailers, ended, reset } = response;
  // What was read before the rest turned out to be broken depends on where the network cut it.
  return reset === undefined ? { interim, head, text, trailers, ended, endedBeforeFin, usable } : { broken: true };
}

/** A reader for answers to this method. */
function cutterFor(method: Method): MessageCutter {
  return new MessageCutter((start) => method !== "HEAD" && !/^HTTP\/1\.[01] (?:1|204|304)/.test(start));
}

function writeAgain(
  method: Method,
  { head, body, trailers }: { head: RecordedResponse["head"]; body: Buffer; trailers: string[] | undefined },
): void {
  if (head === undefined) return;
  const { peer, handler } = memoryServer();
  handler.answer = ({ stream }) => {
    const end = body.length === 0 && trailers === undefined;
    stream.sendHead(head, end);
    if (body.length > 0) stream.sendData(body, trailers === undefined);
    if (trailers !== undefined) stream.sendTrailers(trailers);
  };
  peer.feed(`${method} / HTTP/1.1\r\nHost: h\r\n\r\n`);
  const cutter = cutterFor(method);
  const messages = cutter.feed(peer.text());
  assert.equal(cutter.rest, "", "it is nothing but whole answers");
  assert.equal(messages.length, 1, "it is one answer");
  const [text = ""] = messages;
  assert.ok(text.startsWith(`HTTP/1.1 ${head.status} `));
  assert.ok(text.startsWith(body.toString("latin1"), text.indexOf("\n\n") + 2), "its body is the same");
}

async function tryMethod(method: Method, input: Buffer): Promise<string> {
  const whole = await answer(method, [input]);
  const once = understood(whole);
  for (const pieces of tearings(input)) {
    const torn = await answer(method, pieces);
    // A head that is refused and an answer after which bytes follow may be told apart later.
    assert.deepEqual(understood(torn), once, "torn, it means the same");
  }
  const { response, usable } = whole;
  if (usable && response.ended) checkAlone(method, input);
  if (response.ended && response.head?.status !== 101) {
    const { head, bytes: body, trailers } = response;
    writeAgain(method, { head, body, trailers });
  }
  const { head, trailers, reset } = response;
  return `${response.interim.length} ${head?.status} ${head?.upgrade} ${trailers?.length} ${reset?.detail.slice(0, 24)} ${usable}`;
}

/** The second reader agrees that there was one answer and no more, if it understands the input at all. */
function checkAlone(method: Method, input: Buffer): void {
  const cutter = cutterFor(method);
  let messages: string[];
  try {
    messages = cutter.feed(input.toString("latin1"));
  } catch {
    return;
  }
  assert.equal(cutter.rest, "", "nothing is left over on a connection that is used again");
  assert.equal(messages.filter((text) => !text.startsWith("HTTP/1.1 1") && !text.startsWith("HTTP/1.0 1")).length, 1);
}

export const http1Client: Target = {
  name: "http1-client",
  tokens: HTTP1_TOKENS,
  bytesMax: 4_096,
  async run(input) {
    return `${await tryMethod("GET", input)} ${await tryMethod("HEAD", input)}`;
  },
};
