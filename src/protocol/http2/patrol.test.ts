/** Peers that owe us something, or let us owe them something, and stand still. */
import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";

import {
  clientUnderTest,
  closeAll,
  frames,
  GET,
  POST,
  Recorder,
  requestHead,
  responseHead,
  type Served,
  serverUnderTest,
  type ServerUnderTest,
} from "../../../test/support/http2-peer.ts";
import { until } from "../../../test/support/until.ts";
import { VirtualClock } from "../../net/virtual-clock.ts";
import { Flag, FrameType, SettingId } from "./frames.ts";
import { LOOK_MS, OWED_BYTES_MIN, STANDSTILLS_MAX } from "../standstill.ts";
import { IDLE_LOOKS_MAX } from "./patrol.ts";

const OPEN = Flag.endHeaders;
const ok = responseHead(200);

/** A server whose client has asked for something and opens no window; the answer waits. */
async function owing(clock: VirtualClock, octets = 50_000): Promise<ServerUnderTest> {
  const under = await serverUnderTest({ clock });
  under.peer.send(frames.settings([SettingId.initialWindowSize, 0]), frames.headers(1, GET));
  await until("the request is there", () => under.requests.length === 1);
  const { stream } = under.requests[0] as Served;
  stream.sendHead(ok, false);
  stream.sendData(Buffer.alloc(octets), false);
  await under.peer.settled();
  return under;
}

/** Looks so many times, and lets the peer act before each. */
async function looks(
  clock: VirtualClock,
  { peer }: ServerUnderTest,
  count: number,
  act: () => void = () => {},
): Promise<void> {
  for (let i = 0; i < count; i++) {
    act();
    await peer.settled();
    clock.advance(LOOK_MS);
  }
  await peer.settled();
}

describe("a stream", () => {
  afterEach(closeAll);

  it("whose peer opens no window for what it asked for is given up", async () => {
    const clock = new VirtualClock();
    const under = await owing(clock);
    await looks(clock, under, STANDSTILLS_MAX);
    assert.equal(under.peer.of(FrameType.rstStream).length, 0);
    await looks(clock, under, 1);
    assert.equal(await under.peer.reset(1), "ENHANCE_YOUR_CALM");
    assert.equal(under.requests[0]?.receiver.resets[0]?.code, "overflow");
    assert.equal(under.peer.of(FrameType.goaway).length, 0, "the connection goes on");
  });

  it("whose window is opened in drips is given up, and one a little faster is not", async () => {
    for (const [octets, resets] of [
      [OWED_BYTES_MIN - 1, 1],
      [OWED_BYTES_MIN, 0],
    ] as const) {
      const clock = new VirtualClock();
      const under = await owing(clock);
      await looks(clock, under, 2 * STANDSTILLS_MAX, () => {
        if (under.peer.of(FrameType.rstStream).length === 0) under.peer.send(frames.windowUpdate(1, octets));
      });
      assert.equal(under.peer.of(FrameType.rstStream).length, resets, `${octets} octets`);
    }
  });

  it("is forgiven when its peer takes up again", async () => {
    const clock = new VirtualClock();
    const under = await owing(clock);
    await looks(clock, under, STANDSTILLS_MAX);
    under.peer.send(frames.windowUpdate(1, 2 * OWED_BYTES_MIN));
    await looks(clock, under, STANDSTILLS_MAX);
    assert.equal(under.peer.of(FrameType.rstStream).length, 0);
  });

  it("on which nothing is owed may be silent for ever", async () => {
    const clock = new VirtualClock();
    const under = await serverUnderTest({ clock });
    under.peer.send(frames.headers(1, POST, OPEN), frames.headers(3, GET));
    await until("the requests are there", () => under.requests.length === 2);
    for (const { stream } of under.requests) stream.sendHead(ok, false);
    await looks(clock, under, 3 * IDLE_LOOKS_MAX);
    assert.equal(under.peer.of(FrameType.rstStream).length + under.peer.of(FrameType.goaway).length, 0);
    under.requests[0]?.stream.sendData(Buffer.from("at last"), true);
    await until("it is still there", () => under.peer.content(1) === "at last");
  });

  it("that has become a tunnel is left alone, like every byte stream", async () => {
    const clock = new VirtualClock();
    const under = await serverUnderTest({ clock });
    const connect = [":method", "CONNECT", ":authority", "a.example:80"];
    under.peer.send(frames.settings([SettingId.initialWindowSize, 0]), frames.headers(1, connect, OPEN));
    await until("the request is there", () => under.requests.length === 1);
    const { stream } = under.requests[0] as Served;
    stream.sendHead({ ...responseHead(200), upgrade: "connect" }, false);
    stream.sendData(Buffer.from("for a patient reader"), false);
    await looks(clock, under, 2 * STANDSTILLS_MAX);
    assert.equal(under.peer.of(FrameType.rstStream).length, 0);
    under.peer.send(frames.windowUpdate(1, 1_000));
    await until("it goes on", () => under.peer.content(1) === "for a patient reader");
    stream.sendData(Buffer.alloc(2_000), true);
    await looks(clock, under, 2 * STANDSTILLS_MAX);
    assert.equal(under.peer.of(FrameType.rstStream).length, 0);
    // Ended by both: the far ends have left it to us.
    under.peer.send(frames.data(1, "", Flag.endStream));
    await looks(clock, under, STANDSTILLS_MAX + 1);
    assert.equal(await under.peer.reset(1), "ENHANCE_YOUR_CALM");
  });

  it("whose announced content does not come is given up, unless we do not read it", async () => {
    const clock = new VirtualClock();
    const under = await serverUnderTest({ clock });
    const post = [...POST, "content-length", "100000"];
    under.peer.send(frames.headers(1, post, OPEN), frames.headers(3, post, OPEN), frames.data(3, "x"));
    await until("the requests are there", () => under.requests.length === 2);
    under.requests[1]?.stream.pause();
    await looks(clock, under, STANDSTILLS_MAX + 1, () => under.peer.send(frames.data(1, "x")));
    assert.equal(await under.peer.reset(1), "ENHANCE_YOUR_CALM");
    assert.equal(under.peer.of(FrameType.rstStream, 3).length, 0);
    under.requests[1]?.stream.resume();
    await looks(clock, under, STANDSTILLS_MAX + 1);
    assert.equal(await under.peer.reset(3), "ENHANCE_YOUR_CALM");
  });

  it("of a client may wait for its announced answer, but is given up when the server takes no request", async () => {
    const clock = new VirtualClock();
    const { peer, client } = await clientUnderTest({ clock });
    peer.send(frames.settings([SettingId.initialWindowSize, 0]));
    await peer.settled();
    const [waiting, stuck] = [new Recorder(), new Recorder()];
    client.open(requestHead(), true, waiting);
    const stream = client.open(requestHead({ method: "POST" }), false, stuck);
    stream.sendData(Buffer.alloc(10_000), false);
    peer.send(frames.headers(1, [":status", "200", "content-length", "5"], OPEN));
    for (let i = 0; i <= STANDSTILLS_MAX; i++) {
      await peer.settled();
      clock.advance(LOOK_MS);
    }
    await until("it is told", () => stuck.resets.length === 1);
    assert.equal(stuck.resets[0]?.code, "overflow");
    assert.equal(waiting.resets.length, 0);
  });
});

describe("a connection", () => {
  afterEach(closeAll);

  it("whose window stays closed is given up, PING or not", async () => {
    const clock = new VirtualClock();
    const under = await serverUnderTest({ clock });
    under.peer.send(frames.settings([SettingId.initialWindowSize, 0x7fff_ffff]), frames.headers(1, GET));
    await until("the request is there", () => under.requests.length === 1);
    under.requests[0]?.stream.sendHead(ok, false);
    under.requests[0]?.stream.sendData(Buffer.alloc(70_000), true);
    await looks(clock, under, STANDSTILLS_MAX, () => under.peer.send(frames.windowUpdate(0, 1)));
    assert.equal(under.peer.of(FrameType.goaway).length, 0);
    under.peer.send(frames.windowUpdate(0, 1));
    clock.advance(LOOK_MS);
    assert.equal(await under.peer.goaway(), "ENHANCE_YOUR_CALM");
  });

  it("whose peer does not read at all is given up", async () => {
    const clock = new VirtualClock();
    const { peer, requests, connection } = await serverUnderTest({ clock });
    peer.send(frames.settings([SettingId.initialWindowSize, 0x7fff_ffff]), frames.windowUpdate(0, 0x7000_0000));
    peer.send(frames.headers(1, GET));
    await until("the request is there", () => requests.length === 1);
    peer.socket.pause();
    const { stream, receiver } = requests[0] as Served;
    stream.sendHead(ok, false);
    // More than the kernel takes.
    await until("it is stuck", async () => {
      stream.sendData(Buffer.alloc(256 * 1024), false);
      await new Promise((resolve) => setImmediate(resolve));
      return connection.congested && connection.unsentBytes > 1_000_000;
    });
    for (let i = 0; i < STANDSTILLS_MAX; i++) clock.advance(LOOK_MS);
    assert.equal(receiver.resets.length, 0);
    clock.advance(LOOK_MS);
    assert.equal(receiver.resets.length, 1);
    clock.advance(LOOK_MS);
    await until("it is cut, read or not", () => connection.closed);
  });

  it("without a stream is asked to leave after an hour, and not while one is used now and then", async () => {
    const clock = new VirtualClock();
    const under = await serverUnderTest({ clock });
    await looks(clock, under, IDLE_LOOKS_MAX - 1);
    under.peer.send(frames.headers(1, GET), frames.reset(1, 8));
    await looks(clock, under, IDLE_LOOKS_MAX);
    assert.equal(under.peer.of(FrameType.goaway).length, 0);
    clock.advance(LOOK_MS);
    assert.equal(await under.peer.goaway(), "NO_ERROR");
  });
});
