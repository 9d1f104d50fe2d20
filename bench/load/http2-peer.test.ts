import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { describe, it } from "node:test";

import { END_STREAM, Frame, frame, headerBlock, Http2Peer, PREFACE } from "./http2-peer.ts";

/** A peer on a socket that only keeps what is written. */
function peerUnderTest(): { peer: Http2Peer; written: () => Buffer; frames: string[] } {
  let wire = Buffer.alloc(0);
  const socket = { write: (bytes: Buffer) => (wire = Buffer.concat([wire, bytes])) } as unknown as Socket;
  const frames: string[] = [];
  const peer = new Http2Peer(socket, "server", {
    onFrame: (type, flags, streamId, payload) => frames.push(`${type} ${flags} ${streamId} ${payload.toString()}`),
  });
  return { peer, written: () => wire, frames };
}

function settings(initialWindow: number): Buffer {
  const payload = Buffer.alloc(6);
  payload.writeUInt16BE(4, 0);
  payload.writeUInt32BE(initialWindow, 2);
  return frame(Frame.settings, 0, 0, payload);
}

function windowUpdate(streamId: number, bytes: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(bytes);
  return frame(Frame.windowUpdate, 0, streamId, payload);
}

const head = frame(Frame.headers, 4, 1, headerBlock(":status", "200"));

describe("the generators' end of HTTP/2", () => {
  it("finds frames however they are cut", () => {
    const wire = Buffer.concat([
      PREFACE,
      settings(65_535),
      frame(Frame.headers, 4, 1, Buffer.from("head")),
      frame(Frame.data, END_STREAM, 1, Buffer.from("body")),
    ]);
    for (let size = 1; size <= wire.length; size++) {
      const { peer, frames } = peerUnderTest();
      for (let from = 0; from < wire.length; from += size) peer.push(wire.subarray(from, from + size));
      assert.deepEqual(frames, ["1 4 1 head", "0 1 1 body"], `in pieces of ${size}`);
    }
  });

  it("acknowledges settings and pings", () => {
    const { peer, written } = peerUnderTest();
    const before = written().length;
    peer.push(Buffer.concat([PREFACE, settings(10), frame(Frame.ping, 0, 0, Buffer.from("pingpong"))]));
    const expected = [frame(Frame.settings, 1, 0, Buffer.alloc(0)), frame(Frame.ping, 1, 0, Buffer.from("pingpong"))];
    assert.deepEqual(written().subarray(before), Buffer.concat(expected));
  });

  it("waits for the stream's window, and keeps the order", () => {
    const { peer, written } = peerUnderTest();
    peer.push(Buffer.concat([PREFACE, settings(10)]));
    const [data, trailers] = [frame(Frame.data, 0, 1, Buffer.alloc(12)), frame(Frame.headers, 5, 1, Buffer.from("t"))];
    peer.sendHeaders(head);
    peer.sendData(data);
    peer.sendHeaders(trailers);
    peer.flush();
    assert.ok(written().subarray(-head.length).equals(head), "only the head has left");
    peer.push(windowUpdate(1, 1));
    assert.ok(written().subarray(-head.length).equals(head), "one byte is still missing");
    peer.push(windowUpdate(1, 1));
    const all = Buffer.concat([head, data, trailers]);
    assert.ok(written().subarray(-all.length).equals(all));
  });

  it("waits for the connection's window", () => {
    const { peer, written } = peerUnderTest();
    peer.push(Buffer.concat([PREFACE, settings(1_000_000)]));
    const data = frame(Frame.data, 0, 1, Buffer.alloc(40_000));
    peer.sendHeaders(head);
    for (let i = 0; i < 2; i++) peer.sendData(data);
    peer.flush();
    const once = written().length;
    peer.push(windowUpdate(0, 20_000));
    assert.equal(written().length, once + data.length);
  });

  it("refuses a field that its short form has no room for", () => {
    assert.throws(() => headerBlock("x", "y".repeat(127)), RangeError);
  });
});
