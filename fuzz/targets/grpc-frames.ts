/** Messages on a gRPC stream: the same ones however the bytes are cut, and nothing but they. */
import assert from "node:assert/strict";

import { frameMessage, MessageReader } from "../../src/xds/grpc-frames.ts";
import type { Target } from "../target.ts";
import { tearings } from "../tear.ts";

function read(pieces: readonly Buffer[]): { messages: Buffer[]; refused: string } {
  const messages: Buffer[] = [];
  const reader = new MessageReader((message) => messages.push(Buffer.from(message)));
  try {
    for (const piece of pieces) reader.push(piece);
  } catch (error) {
    return { messages, refused: (error as Error).message };
  }
  return { messages, refused: "" };
}

export const grpcFrames: Target = {
  name: "grpc-frames",
  tokens: ["\0\0\0\0\0", "\0\0\0\0\x01x", "\0\0\0\0\x05hello", "\x01\0\0\0\0", "\0\x01\0\0\0", "\0\xff\xff\xff\xff"],
  bytesMax: 2_048,
  run(input) {
    const whole = read([input]);
    for (const pieces of tearings(input)) assert.deepEqual(read(pieces), whole, "torn, it means the same");
    const framed = Buffer.concat(whole.messages.map((message) => frameMessage(message)));
    assert.deepEqual(framed, input.subarray(0, framed.length), "the messages are what was sent");
    return `${Math.min(whole.messages.length, 9)} ${whole.refused.slice(0, 20)} ${framed.length === input.length}`;
  },
};
