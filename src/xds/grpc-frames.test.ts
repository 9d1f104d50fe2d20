import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { frameMessage, MESSAGE_BYTES_MAX, MessageReader } from "./grpc-frames.ts";

function read(chunks: readonly Buffer[]): string[] {
  const messages: string[] = [];
  const reader = new MessageReader((message) => messages.push(Buffer.from(message).toString()));
  for (const chunk of chunks) reader.push(chunk);
  return messages;
}

describe("MessageReader", () => {
  it("finds the messages however the stream is cut", () => {
    const texts = fc.array(fc.string({ maxLength: 300 }), { maxLength: 5 });
    fc.assert(
      fc.property(texts, fc.array(fc.nat(400)), (messages, cuts) => {
        const stream = Buffer.concat(messages.map((text) => frameMessage(Buffer.from(text))));
        const chunks: Buffer[] = [];
        let at = 0;
        for (const cut of [...cuts, stream.length]) chunks.push(stream.subarray(at, (at += cut)));
        assert.deepEqual(read(chunks), messages);
      }),
    );
  });

  it("takes a message of the largest size, and none larger", () => {
    const largest = frameMessage(Buffer.alloc(MESSAGE_BYTES_MAX, "x"));
    assert.equal(read([largest])[0]?.length, MESSAGE_BYTES_MAX);
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(MESSAGE_BYTES_MAX + 1, 1);
    assert.throws(() => read([prefix]), /of 16777217 bytes; at most 16777216/);
  });

  it("refuses compression, which was not asked for", () => {
    const frame = frameMessage(Buffer.from("x"));
    frame[0] = 1;
    assert.throws(() => read([frame]), /compressed/);
  });
});
