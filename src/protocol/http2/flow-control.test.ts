import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";

import {
  closeAll,
  frame,
  frames,
  GET,
  POST,
  type RawPeer,
  responseHead,
  type Served,
  serverUnderTest,
} from "../../../test/support/http2-peer.ts";
import { until } from "../../../test/support/until.ts";
import { VirtualClock } from "../../net/virtual-clock.ts";
import { HELD_BYTES_MAX } from "./stream.ts";
import { Flag, FrameType, readUint32, SettingId } from "./frames.ts";

const OPEN = Flag.endHeaders;
const END = Flag.endStream;
const ok = responseHead(200);

const credit = (peer: RawPeer, streamId: number): number =>
  peer.of(FrameType.windowUpdate, streamId).reduce((sum, each) => sum + readUint32(each.payload, 0), 0);

describe("what we send", () => {
  afterEach(closeAll);

  it("keeps to the stream's window, holds the rest, and says when there is room again", async () => {
    const { peer, requests } = await serverUnderTest();
    peer.send(frames.settings([SettingId.initialWindowSize, 10]), frames.headers(1, GET));
    await until("the request is there", () => requests.length === 1);
    const { stream, receiver } = requests[0] as Served;
    stream.sendHead(ok, false);
    assert.equal(stream.sendData(Buffer.from("0123456789abcdef"), false), false);
    assert.equal(stream.sendData(Buffer.from("ghij"), true), false);
    await until("what the window allows has come", () => peer.content(1) === "0123456789");
    await peer.settled();
    assert.equal(peer.content(1), "0123456789");
    peer.send(frames.windowUpdate(1, 3));
    await until("a little more", () => peer.content(1) === "0123456789abc");
    assert.equal(receiver.writable, 0);
    peer.send(frames.windowUpdate(1, 100));
    await until("the rest", () => peer.content(1) === "0123456789abcdefghij");
    assert.equal((peer.of(FrameType.data, 1).at(-1)?.flags ?? 0) & END, END);
    assert.equal(receiver.writable, 0, "nobody waits after the end");
  });

  it("calls onWritable once the held bytes are gone", async () => {
    const { peer, requests } = await serverUnderTest();
    peer.send(frames.settings([SettingId.initialWindowSize, 4]), frames.headers(1, GET));
    await until("the request is there", () => requests.length === 1);
    const { stream, receiver } = requests[0] as Served;
    stream.sendHead(ok, false);
    assert.equal(stream.sendData(Buffer.from("0123456789"), false), false);
    peer.send(frames.windowUpdate(1, 5));
    await until("a part has come", () => peer.content(1) === "012345678");
    assert.equal(receiver.writable, 0);
    peer.send(frames.windowUpdate(1, 5));
    await until("it is called", () => receiver.writable === 1);
    assert.equal(stream.sendData(Buffer.from("abcd"), false), true);
    stream.sendTrailers(["a", "b"]);
    await until("the trailers have come", () => peer.of(FrameType.headers, 1).length === 2);
    assert.equal(peer.content(1), "0123456789abcd");
  });

  it("sends trailers after what is held, and an empty end through a closed window", async () => {
    const { peer, requests } = await serverUnderTest();
    peer.send(frames.settings([SettingId.initialWindowSize, 0]), frames.headers(1, GET), frames.headers(3, GET));
    await until("the requests are there", () => requests.length === 2);
    const [first, second] = requests as [Served, Served];
    first.stream.sendHead(ok, false);
    first.stream.sendData(Buffer.from("held"), false);
    first.stream.sendTrailers(["x", "y"]);
    second.stream.sendHead(ok, false);
    second.stream.sendData(Buffer.alloc(0), true);
    await until("the empty one has ended", () => peer.of(FrameType.data, 3).length === 1);
    assert.equal(peer.of(FrameType.headers, 1).length, 1);
    peer.send(frames.windowUpdate(1, 100));
    await until("the trailers have come", () => peer.of(FrameType.headers, 1).length === 2);
    assert.equal(peer.content(1), "held");
  });

  it("follows changes of the initial window, below zero too", async () => {
    const { peer, requests } = await serverUnderTest();
    peer.send(frames.settings([SettingId.initialWindowSize, 10]), frames.headers(1, GET));
    await until("the request is there", () => requests.length === 1);
    const { stream } = requests[0] as Served;
    stream.sendHead(ok, false);
    stream.sendData(Buffer.from("0123456789abcdef"), true);
    await until("what the window allows has come", () => peer.content(1).length === 10);
    peer.send(frames.settings([SettingId.initialWindowSize, 5]), frames.windowUpdate(1, 5));
    await peer.settled();
    assert.equal(peer.content(1).length, 10, "the window is 0 now");
    peer.send(frames.settings([SettingId.initialWindowSize, 8]));
    await until("three more", () => peer.content(1).length === 13);
    peer.send(frames.settings([SettingId.initialWindowSize, 100]));
    await until("the rest", () => peer.content(1) === "0123456789abcdef");
  });

  it("shares the connection's window among streams by turns", async () => {
    const { peer, requests } = await serverUnderTest();
    peer.send(frames.settings([SettingId.initialWindowSize, 1_000_000]));
    for (const id of [1, 3, 5]) peer.send(frames.headers(id, GET));
    await until("the requests are there", () => requests.length === 3);
    for (const { stream } of requests) {
      stream.sendHead(ok, false);
      stream.sendData(Buffer.alloc(200_000, "x"), true);
    }
    await until("the connection's window is used up", () => peer.content(1).length === 65_535);
    assert.equal(peer.content(3).length + peer.content(5).length, 0);
    peer.send(frames.windowUpdate(0, 6 * 16_384));
    await until("it is used up again", () => peer.content(5).length === 2 * 16_384);
    assert.deepEqual(
      [1, 3, 5].map((id) => peer.content(id).length),
      [65_535 + 2 * 16_384, 2 * 16_384, 2 * 16_384],
    );
    peer.send(frames.windowUpdate(0, 1_000_000));
    await until("all have ended", () => [1, 3, 5].every((id) => peer.content(id).length === 200_000));
  });

  it("lets one that is reset out of the line, and goes on with the others", async () => {
    const { peer, requests } = await serverUnderTest();
    peer.send(frames.settings([SettingId.initialWindowSize, 1_000_000]));
    for (const id of [1, 3, 5]) peer.send(frames.headers(id, GET));
    await until("the requests are there", () => requests.length === 3);
    for (const { stream } of requests) {
      stream.sendHead(ok, false);
      stream.sendData(Buffer.alloc(100_000, "x"), true);
    }
    peer.send(frames.reset(3, 8));
    await peer.settled();
    peer.send(frames.windowUpdate(0, 1_000_000));
    await until("the others have ended", () => [1, 5].every((id) => peer.content(id).length === 100_000));
    assert.equal(peer.content(3).length, 0);
    assert.equal(requests[1]?.receiver.resets.length, 0, "it had ended in both directions for its user");
  });

  it("cuts a producer off that does not heed back-pressure at all", async () => {
    const { peer, requests } = await serverUnderTest();
    peer.send(frames.settings([SettingId.initialWindowSize, 0]), frames.headers(1, GET));
    await until("the request is there", () => requests.length === 1);
    const { stream, receiver } = requests[0] as Served;
    stream.sendHead(ok, false);
    const chunk = Buffer.alloc(256 * 1024);
    for (let sent = 0; sent <= HELD_BYTES_MAX; sent += chunk.length) stream.sendData(chunk, false);
    assert.equal(receiver.resets.length, 0);
    stream.sendData(chunk, false);
    assert.deepEqual(
      receiver.resets.map((cause) => cause.code),
      ["overflow"],
    );
    assert.equal(await peer.reset(1), "INTERNAL_ERROR");
  });

  it("asks producers to wait while the peer does not read, and wakes them all", async () => {
    const { peer, requests, connection } = await serverUnderTest();
    peer.send(frames.settings([SettingId.initialWindowSize, 0x7fff_ffff]), frames.windowUpdate(0, 0x7000_0000));
    for (const id of [1, 3]) peer.send(frames.headers(id, GET));
    await until("the requests are there", () => requests.length === 2);
    peer.socket.pause();
    const chunk = Buffer.alloc(64 * 1024, "x");
    const sent = [0, 0];
    requests.forEach(({ stream }) => stream.sendHead(ok, false));
    requests.forEach(({ stream }, i) => {
      for (let more = true; more && (sent[i] as number) < 50_000_000;) {
        more = stream.sendData(chunk, false);
        sent[i] = (sent[i] as number) + chunk.length;
      }
    });
    assert.ok(connection.unsentBytes < 1_000_000, `bounded, ${connection.unsentBytes}`);
    peer.socket.resume();
    await until("both are woken", () => requests.every(({ receiver }) => receiver.writable === 1));
    requests.forEach(({ stream }) => stream.sendData(Buffer.alloc(0), true));
    await until("all has come", () =>
      [1, 3].every(
        (id, i) => peer.of(FrameType.data, id).reduce((sum, each) => sum + each.payload.length, 0) === sent[i],
      ),
    );
  });
});

describe("what we receive", () => {
  afterEach(closeAll);
  const small = { streamWindowBytes: 70_000, connectionWindowBytes: 200_000 };
  const chunk = Buffer.alloc(10_000, "x");

  it("is credited by halves of the window, not frame by frame, and with a larger one to a fast stream", async () => {
    const { peer } = await serverUnderTest({ ...small, clock: new VirtualClock() });
    peer.send(frames.headers(1, POST, OPEN));
    for (let i = 0; i < 3; i++) peer.send(frames.data(1, chunk));
    await peer.settled();
    assert.equal(credit(peer, 1), 0);
    peer.send(frames.data(1, chunk));
    await peer.settled();
    assert.equal(credit(peer, 1), 40_000 + 70_000);
    assert.equal(credit(peer, 0), 200_000 - 65_535);
    for (let i = 0; i < 6; i++) peer.send(frames.data(1, chunk));
    await peer.settled();
    assert.equal(peer.of(FrameType.windowUpdate, 1).length, 1);
    peer.send(frames.data(1, chunk));
    await peer.settled();
    assert.equal(peer.of(FrameType.windowUpdate, 1).length, 2);
    assert.equal(credit(peer, 0), 200_000 - 65_535 + 100_000);
  });

  it("counts padding", async () => {
    const { peer } = await serverUnderTest({ ...small, clock: new VirtualClock() });
    peer.send(frames.headers(1, POST, OPEN));
    const padded = Buffer.concat([Buffer.from([255]), chunk, Buffer.alloc(255)]);
    for (let i = 0; i < 4; i++) peer.send(frame(FrameType.data, Flag.padded, 1, padded));
    await peer.settled();
    assert.equal(credit(peer, 1), 4 * 10_256 + 70_000);
  });

  it("is not credited on a paused stream, while the connection's window is, and is on resume", async () => {
    const { peer, requests } = await serverUnderTest(small, ({ stream }) => stream.pause());
    peer.send(frames.headers(1, POST, OPEN));
    for (let i = 0; i < 7; i++) peer.send(frames.data(1, chunk));
    await peer.settled();
    assert.equal(credit(peer, 1), 0);
    assert.equal(requests[0]?.receiver.content.length, 70_000);
    // Another stream has the connection to itself.
    peer.send(frames.headers(3, POST, OPEN));
    for (let i = 0; i < 7; i++) peer.send(frames.data(3, chunk));
    await peer.settled();
    assert.ok(credit(peer, 0) >= 200_000 - 65_535 + 100_000);
    requests[0]?.stream.resume();
    requests[0]?.stream.resume();
    // No more than before: its reader had to wait.
    await until("the credit has come", () => credit(peer, 1) === 70_000);
    peer.send(frames.data(1, chunk));
    await peer.settled();
    assert.equal(requests[0]?.receiver.content.length, 80_000);
  });

  it("ends the stream when its window is not heeded", async () => {
    const { peer, requests } = await serverUnderTest(small, ({ stream }) => stream.pause());
    peer.send(frames.headers(1, POST, OPEN));
    for (let i = 0; i < 7; i++) peer.send(frames.data(1, chunk));
    peer.send(frames.data(1, "x"));
    assert.equal(await peer.reset(1), "FLOW_CONTROL_ERROR");
    assert.equal(requests[0]?.receiver.resets[0]?.code, "protocol");
  });

  it("keeps the connection's window open for streams that were reset", async () => {
    const { peer } = await serverUnderTest(small);
    peer.send(frames.headers(1, [...POST, "content-length", "1"], OPEN));
    for (let i = 0; i < 10; i++) peer.send(frames.data(1, chunk));
    await peer.settled();
    assert.equal(credit(peer, 0), 200_000 - 65_535 + 100_000);
  });
});
