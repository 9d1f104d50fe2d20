import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { frame } from "../../../test/support/http2-peer.ts";
import { FrameReader, type FrameSink } from "./frame-reader.ts";
import { CLIENT_PREFACE, ErrorCode, Flag, FrameType, MAX_FRAME_BYTES } from "./frames.ts";

/** Writes down what it is told; pieces of one DATA frame are put together again. */
class Log implements FrameSink {
  readonly events: string[] = [];
  #content = "";
  #head = "";

  onFrame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    this.events.push(`${type} ${flags} ${streamId} ${bytes.toString("hex", start, end)}`);
  }

  onDataStart(flags: number, streamId: number, length: number): void {
    this.#head = `data ${flags} ${streamId} ${length}`;
    this.#content = "";
  }

  onDataPiece(bytes: Buffer, start: number, end: number, last: boolean): void {
    this.#content += bytes.toString("hex", start, end);
    if (last) this.events.push(`${this.#head} ${this.#content}`);
  }

  onFrameError(code: number, detail: string): void {
    this.events.push(`error ${code} ${detail === "" ? "" : "with detail"}`);
  }
}

function read(chunks: Uint8Array[], preface = false): string[] {
  const log = new Log();
  const reader = new FrameReader(log, preface);
  // Each chunk lies in a buffer of its own that is overwritten afterwards, as the shared read buffer is.
  for (const chunk of chunks) {
    const copy = Buffer.from(chunk);
    reader.read(copy);
    copy.fill(0xee);
  }
  return log.events;
}

const anyFrame = fc
  .record({
    type: fc.integer({ min: 0, max: 12 }),
    flags: fc.constantFrom(0, 1, Flag.endHeaders, Flag.padded, Flag.padded | 1),
    streamId: fc.integer({ min: 0, max: 0x7fff_ffff }),
    content: fc.uint8Array({ maxLength: 40 }),
    padding: fc.integer({ min: 0, max: 20 }),
  })
  .map(({ type, flags, streamId, content, padding }) => {
    const padded = type === FrameType.data && (flags & Flag.padded) !== 0;
    const payload = padded ? Buffer.concat([Buffer.from([padding]), content, Buffer.alloc(padding)]) : content;
    const expected =
      type === FrameType.data
        ? `data ${flags} ${streamId} ${payload.length} ${Buffer.from(content).toString("hex")}`
        : `${type} ${flags} ${streamId} ${Buffer.from(content).toString("hex")}`;
    return { bytes: frame(type, flags, streamId, payload), expected };
  });

describe("FrameReader", () => {
  it("finds the same frames however the bytes are torn", () => {
    fc.assert(
      fc.property(fc.array(anyFrame, { maxLength: 12 }), fc.array(fc.nat(), { maxLength: 30 }), (list, cuts) => {
        const bytes = Buffer.concat([Buffer.from(CLIENT_PREFACE), ...list.map((each) => each.bytes)]);
        const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
        const chunks = places.slice(1).map((end, i) => bytes.subarray(places[i], end));
        assert.deepEqual(
          read(chunks, true),
          list.map((each) => each.expected),
        );
      }),
      { numRuns: 300 },
    );
  });

  it("hands DATA on before the frame is complete", () => {
    const pieces: string[] = [];
    const reader = new FrameReader(
      {
        onFrame() {},
        onDataStart() {},
        onDataPiece: (bytes, start, end, last) => void pieces.push(`${bytes.toString("latin1", start, end)} ${last}`),
        onFrameError() {},
      },
      false,
    );
    const bytes = frame(FrameType.data, 0, 1, Buffer.from("abcdef"));
    reader.read(bytes.subarray(0, 12));
    assert.deepEqual(pieces, ["abc false"]);
    reader.read(bytes.subarray(12));
    assert.deepEqual(pieces, ["abc false", "def true"]);
  });

  it("ignores the reserved bit of the stream id", () => {
    const bytes = frame(FrameType.windowUpdate, 0, 3, Buffer.from([0, 0, 0, 1]));
    bytes[5] = 0x80;
    assert.deepEqual(read([bytes]), ["8 0 3 00000001"]);
  });

  for (const [what, bytes, preface, code] of [
    ["a preface of another protocol", Buffer.from("GET / HTTP/1.1\r\n"), true, ErrorCode.protocolError],
    [
      "a frame that is too large",
      frame(0, 0, 1, Buffer.alloc(0), MAX_FRAME_BYTES + 1),
      false,
      ErrorCode.frameSizeError,
    ],
    ["padding longer than the frame", frame(0, Flag.padded, 1, Buffer.from([3, 0, 0])), false, ErrorCode.protocolError],
    ["a padded frame without pad length", frame(0, Flag.padded, 1), false, ErrorCode.frameSizeError],
  ] as [string, Buffer, boolean, number][]) {
    it(`refuses ${what}, and takes nothing after it`, () => {
      const later = frame(FrameType.ping, 0, 0, Buffer.alloc(8));
      assert.deepEqual(read([bytes, later], preface), [`error ${code} with detail`]);
      assert.deepEqual(read([Buffer.concat([bytes, later])], preface), [`error ${code} with detail`]);
    });
  }

  it("takes the largest frame that is allowed", () => {
    assert.equal(read([frame(FrameType.headers, 0, 1, Buffer.alloc(MAX_FRAME_BYTES))]).length, 1);
  });

  it("stops when it is told to from within a frame", () => {
    const events: number[] = [];
    const reader: FrameReader = new FrameReader(
      {
        onFrame(type) {
          events.push(type);
          reader.stop();
        },
        onDataStart() {},
        onDataPiece() {},
        onFrameError() {},
      },
      false,
    );
    reader.read(Buffer.concat([frame(FrameType.settings, 0, 0), frame(FrameType.settings, 0, 0)]));
    reader.read(frame(FrameType.settings, 0, 0));
    assert.deepEqual(events, [FrameType.settings]);
  });

  it("knows whether it is within a frame that is no DATA", () => {
    const reader = new FrameReader(new Log(), false);
    const ping = frame(FrameType.ping, 0, 0, Buffer.alloc(8));
    assert.equal(reader.midFrame, false);
    reader.read(ping.subarray(0, 5));
    assert.equal(reader.midFrame, true);
    reader.read(ping.subarray(5, 12));
    assert.equal(reader.midFrame, true);
    reader.read(ping.subarray(12));
    assert.equal(reader.midFrame, false);
    reader.read(frame(FrameType.data, 0, 1, Buffer.from("abc")).subarray(0, 10));
    assert.equal(reader.midFrame, false);
  });
});
