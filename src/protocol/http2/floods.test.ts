/** Peers that want us to work, or to remember, without end. Each bound is reached. */
import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";

import {
  clientUnderTest,
  closeAll,
  frame,
  frames,
  GET,
  headerBlock,
  POST,
  Recorder,
  requestHead,
  responseHead,
  serverUnderTest,
} from "../../../test/support/http2-peer.ts";
import { until } from "../../../test/support/until.ts";
import { HIGH_WATER_BYTES } from "../../net/connection.ts";
import { VirtualClock } from "../../net/virtual-clock.ts";
import { defaultHttpLimits } from "../limits.ts";
import { CONTROL_BACKLOG_BYTES_MAX } from "./frame-writer.ts";
import { ErrorCode, Flag, FrameType, SettingId } from "./frames.ts";
import { CONTINUATIONS_MAX } from "./header-block.ts";
import { SETTINGS_MAX } from "./inbound-frames.ts";
import { RESETS_MAX, USELESS_FRAMES_MAX } from "./session.ts";

const OPEN = Flag.endHeaders;
const times = (count: number, bytes: Buffer): Buffer => Buffer.concat(Array.from({ length: count }, () => bytes));
const request = (i: number): Buffer => frames.headers(2 * i + 1, GET);

describe("a flood", () => {
  afterEach(closeAll);
  const limits = { ...defaultHttpLimits, concurrentStreams: 100 };

  for (const [what, bytes] of [
    ["PING", frames.ping()],
    ["SETTINGS", frames.settings()],
    ["PRIORITY", frame(FrameType.priority, 0, 3, Buffer.alloc(5))],
    ["frames of unknown type", frame(0xbb, 0, 0)],
    ["empty DATA", frames.data(1, "")],
    ["padding without content", frame(FrameType.data, Flag.padded, 1, Buffer.from([2, 0, 0]))],
    ["PING acknowledgements", frames.ping("01234567", Flag.ack)],
    ["SETTINGS acknowledgements", frames.settingsAck()],
  ] as [string, Buffer][]) {
    it(`of ${what} is told to calm down`, async () => {
      const { peer, requests } = await serverUnderTest({ limits, clock: new VirtualClock() });
      peer.send(frames.headers(1, POST, OPEN));
      peer.send(times(USELESS_FRAMES_MAX - 1, bytes));
      await until("the request is there", () => requests.length === 1);
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal(peer.of(FrameType.goaway).length, 0, "up to the bound it is borne");
      peer.send(times(2, bytes));
      assert.equal(await peer.goaway(), "ENHANCE_YOUR_CALM");
      await until("the connection is closed", () => peer.closed);
      assert.equal(requests[0]?.receiver.resets.length, 1);
    });
  }

  it("of WINDOW_UPDATE is told to calm down, beyond what our DATA accounts for", async () => {
    const { peer, requests } = await serverUnderTest({ limits, clock: new VirtualClock() });
    peer.send(frames.headers(1, GET));
    await until("the request is there", () => requests.length === 1);
    requests[0]?.stream.sendHead(responseHead(200), false);
    for (let i = 0; i < 300; i++) requests[0]?.stream.sendData(Buffer.from("x"), false);
    peer.send(times(5 * USELESS_FRAMES_MAX - 100, frames.windowUpdate(1, 1)));
    await peer.settled();
    assert.equal(peer.of(FrameType.goaway).length, 0);
    peer.send(times(200, frames.windowUpdate(0, 1)));
    assert.equal(await peer.goaway(), "ENHANCE_YOUR_CALM");
  });

  it("of settings in one frame is told to calm down", async () => {
    for (const [count, expected] of [
      [SETTINGS_MAX, 0],
      [SETTINGS_MAX + 1, 1],
    ] as const) {
      const { peer } = await serverUnderTest({ limits });
      const pairs = Array.from({ length: count }, (_, i): [number, number] => [SettingId.initialWindowSize, i]);
      peer.send(frames.settings(...pairs), frames.ping());
      await until("an answer", () => peer.of(FrameType.ping).length + peer.of(FrameType.goaway).length === 1);
      assert.equal(peer.of(FrameType.goaway).length, expected);
    }
  });

  it("of heads that are too large is told to calm down", async () => {
    const { peer } = await serverUnderTest({ limits, clock: new VirtualClock() });
    const head = headerBlock(...GET, ...Array.from({ length: 2 * limits.headerCount }, () => ["a", "b"]).flat());
    for (let i = 0; i <= USELESS_FRAMES_MAX; i++) {
      peer.send(frame(FrameType.headers, OPEN | Flag.endStream, 2 * i + 1, head));
    }
    assert.equal(await peer.goaway(), "ENHANCE_YOUR_CALM");
  });

  it("of heads on streams that we reset is told to calm down", async () => {
    const { peer } = await serverUnderTest({ limits, clock: new VirtualClock() });
    peer.send(frames.headers(1, POST, OPEN), frames.windowUpdate(1, 0));
    // Two less for the settings and the PING that tells that all was looked at.
    peer.send(times(USELESS_FRAMES_MAX - 2, frames.headers(1, ["a", "b"])));
    await peer.settled();
    assert.equal(peer.of(FrameType.goaway).length, 0);
    peer.send(frames.headers(1, ["a", "b"]));
    assert.equal(await peer.goaway(), "ENHANCE_YOUR_CALM");
  });

  it("of requests after GOAWAY is told to calm down", async () => {
    const { peer, server, requests } = await serverUnderTest({ limits, clock: new VirtualClock() });
    peer.send(request(0));
    await until("the request is there", () => requests.length === 1);
    server.shutdown();
    peer.send(frames.ping("farewell", Flag.ack));
    await until("the last stream is fixed", () => peer.of(FrameType.goaway).length === 2);
    for (let i = 1; i <= USELESS_FRAMES_MAX; i++) peer.send(request(i));
    await until("it is told", () => peer.of(FrameType.goaway).length === 3);
  });

  it("of PING is borne from a peer that also works", async () => {
    const { peer } = await serverUnderTest({ limits, clock: new VirtualClock() });
    peer.send(frames.headers(1, POST, OPEN));
    peer.send(times(3 * USELESS_FRAMES_MAX, Buffer.concat([frames.data(1, "x"), frames.ping()])));
    await until("all are answered", () => peer.of(FrameType.ping).length === 3 * USELESS_FRAMES_MAX);
    assert.equal(peer.of(FrameType.goaway).length, 0);
  });

  it("of requests that are reset at once is told to calm down", async () => {
    const { peer, requests } = await serverUnderTest({ limits, clock: new VirtualClock() });
    for (let i = 0; i <= RESETS_MAX; i++) peer.send(request(i), frames.reset(2 * i + 1, ErrorCode.cancel));
    assert.equal(await peer.goaway(), "ENHANCE_YOUR_CALM");
    assert.ok(requests.length <= RESETS_MAX + 1);
  });

  it("of requests that we must reset is told to calm down", async () => {
    const { peer } = await serverUnderTest({ limits, clock: new VirtualClock() });
    for (let i = 0; i <= RESETS_MAX; i++) peer.send(request(i), frames.windowUpdate(2 * i + 1, 0));
    assert.equal(await peer.goaway(), "ENHANCE_YOUR_CALM");
  });

  it("of requests beyond the number of streams is told to calm down", async () => {
    const { peer, requests } = await serverUnderTest({ limits, clock: new VirtualClock() });
    for (let i = 0; i <= limits.concurrentStreams + RESETS_MAX; i++) peer.send(request(i));
    assert.equal(await peer.goaway(), "ENHANCE_YOUR_CALM");
    assert.equal(requests.length, limits.concurrentStreams);
  });

  it("of cancelled requests is borne among completed ones", async () => {
    const { peer } = await serverUnderTest({ limits, clock: new VirtualClock() }, ({ stream, head }) => {
      if (head.path === "/done") stream.sendHead(responseHead(204), true);
    });
    const done = [":method", "GET", ":scheme", "http", ":path", "/done"];
    for (let i = 0; i < 3 * RESETS_MAX; i += 2) {
      peer.send(request(i), frames.reset(2 * i + 1, ErrorCode.cancel), frames.headers(2 * i + 3, done));
    }
    await peer.settled();
    assert.equal(peer.of(FrameType.goaway).length, 0);
  });

  it("of CONTINUATION frames is told to calm down, by number", async () => {
    const { peer } = await serverUnderTest({ limits });
    peer.send(frames.headers(1, GET, 0), times(CONTINUATIONS_MAX + 1, frames.continuation(1, Buffer.alloc(0))));
    assert.equal(await peer.goaway(), "ENHANCE_YOUR_CALM");
  });

  it("of CONTINUATION frames is told to calm down, by size", async () => {
    const { peer } = await serverUnderTest({ limits });
    const piece = Buffer.alloc(16_384);
    peer.send(frames.headers(1, GET, 0), times(9, frames.continuation(1, piece)));
    assert.equal(await peer.goaway(), "ENHANCE_YOUR_CALM");
  });

  it("of fields out of a small block costs an answer and no memory", async () => {
    const { peer, requests } = await serverUnderTest({ limits });
    const bomb = Buffer.concat([
      headerBlock(...GET),
      Buffer.from("4001617fe01e", "hex"),
      Buffer.alloc(4_063, "x"),
      Buffer.alloc(12_000, 0xbe),
    ]);
    peer.send(frame(FrameType.headers, OPEN | Flag.endStream, 1, bomb));
    assert.deepEqual(peer.fields(await peer.next(FrameType.headers, 1)), [":status", "431"]);
    assert.equal(requests.length, 0);
  });

  it("of interim responses is told to calm down", async () => {
    const { peer, client } = await clientUnderTest({ clock: new VirtualClock() });
    const receiver = new Recorder();
    client.open(requestHead(), true, receiver);
    peer.send(times(USELESS_FRAMES_MAX + 1, frames.headers(1, [":status", "103"], OPEN)));
    assert.equal(await peer.goaway(), "ENHANCE_YOUR_CALM");
    assert.equal(receiver.resets.length, 1);
  });

  it("that does not read our answers is not read any more either", async () => {
    const { peer, connection } = await serverUnderTest({ limits }, ({ stream }) => {
      stream.sendHead(responseHead(200, ["x-large", "y".repeat(1_000)]), true);
    });
    peer.socket.pause();
    let highest = 0;
    let sent = 0;
    let stuck = false;
    // Requests until the kernel's buffers are full because nobody reads on the other side.
    for (let i = 0; !stuck && i < 2_000_000; i += 100) {
      const many = Buffer.concat(Array.from({ length: 100 }, (_, k) => request(i + k)));
      sent += many.length;
      stuck = !peer.socket.write(many) && peer.socket.writableLength > 8_000_000;
      highest = Math.max(highest, connection.unsentBytes);
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.ok(stuck, `the sender is held back, after ${sent} octets`);
    // One read's worth of requests may still be answered after the bound is reached.
    assert.ok(highest < HIGH_WATER_BYTES + CONTROL_BACKLOG_BYTES_MAX + 2_000_000, `unsent ${highest}`);
    assert.ok(highest > HIGH_WATER_BYTES + CONTROL_BACKLOG_BYTES_MAX, "the bound was reached");
    const before = connection.bytesRead;
    peer.socket.resume();
    await until("reading goes on", () => connection.bytesRead > before);
  });
});
