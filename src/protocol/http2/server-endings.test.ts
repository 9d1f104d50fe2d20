/** How a server's connection ends: by time, by its owner, by its peer. */
import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";

import {
  closeAll,
  frames,
  GET,
  POST,
  responseHead,
  type ServerUnderTest,
  serverUnderTest,
  uint32,
} from "../../../test/support/http2-peer.ts";
import { until } from "../../../test/support/until.ts";
import { VirtualClock } from "../../net/virtual-clock.ts";
import { defaultHttpLimits } from "../limits.ts";
import { CLIENT_PREFACE, Flag, FrameType, readUint32 } from "./frames.ts";
import { SETTINGS_ACK_MS } from "./session.ts";
import { SHUTDOWN_NOTICE_MS } from "./server.ts";

const OPEN = Flag.endHeaders;
const ok = responseHead(200);

/** The last stream id of the GOAWAY with this number. */
const lastOf = (under: ServerUnderTest, i: number): number =>
  readUint32(under.peer.of(FrameType.goaway)[i]?.payload ?? uint32(0), 0);

describe("a head that does not end in time", () => {
  afterEach(closeAll);

  const limits = { ...defaultHttpLimits, headTimeoutMs: 5_000 };
  for (const [what, send] of [
    ["without CONTINUATION", frames.headers(1, GET, 0)],
    ["in the middle of a frame", frames.headers(1, GET).subarray(0, 20)],
    ["in the middle of a frame header", frames.headers(1, GET).subarray(0, 4)],
  ] as [string, Buffer][]) {
    it(`ends the connection: ${what}`, async () => {
      const clock = new VirtualClock();
      const { peer } = await serverUnderTest({ clock, limits });
      await peer.settled();
      peer.send(send);
      await until("it is being watched", () => clock.pending === 2);
      clock.advance(4_999);
      assert.equal(peer.of(FrameType.goaway).length, 0);
      clock.advance(1);
      assert.equal(await peer.goaway(), "PROTOCOL_ERROR");
    });
  }

  it("does not end it when it came in time, or a body is slow", async () => {
    const clock = new VirtualClock();
    const { peer, requests } = await serverUnderTest({ clock, limits });
    const head = frames.headers(1, POST, OPEN);
    peer.send(head.subarray(0, 20));
    await until("it is being watched", () => clock.pending === 2);
    clock.advance(4_000);
    peer.send(head.subarray(20), frames.data(1, "half of it").subarray(0, 12));
    await until("the request is there", () => requests.length === 1);
    clock.advance(60_000);
    await until("the content is there", () => requests[0]?.receiver.content.toString() === "hal");
    assert.equal(peer.of(FrameType.goaway).length, 0);
  });

  it("gives each head its own time, and the last one no more than that", async () => {
    const clock = new VirtualClock();
    const { peer, requests, connection } = await serverUnderTest({ clock, limits });
    await peer.settled();
    const sendAndWait = async (bytes: Buffer): Promise<void> => {
      const all = connection.bytesRead + bytes.length;
      peer.send(bytes);
      await until("it has been read", () => connection.bytesRead === all);
    };
    for (const id of [1, 3, 5]) {
      const head = frames.headers(id, GET);
      await sendAndWait(head.subarray(0, 20));
      clock.advance(4_000);
      await sendAndWait(head.subarray(20));
    }
    assert.equal(requests.length, 3);
    assert.equal(peer.of(FrameType.goaway).length, 0);
    await sendAndWait(frames.headers(7, GET).subarray(0, 20));
    clock.advance(10_000);
    assert.equal(await peer.goaway(), "PROTOCOL_ERROR");
  });

  it("ends a connection whose first settings do not come", async () => {
    const clock = new VirtualClock();
    const { peer } = await serverUnderTest({ clock, limits }, undefined, true);
    peer.send(Buffer.from(CLIENT_PREFACE));
    await until("it is being watched", () => clock.pending === 3);
    clock.advance(5_000);
    assert.equal(await peer.goaway(), "PROTOCOL_ERROR");
  });

  it("ends a connection whose peer does not acknowledge our settings", async () => {
    const clock = new VirtualClock();
    const { peer } = await serverUnderTest({ clock }, undefined, true);
    peer.send(Buffer.from(CLIENT_PREFACE), frames.settings());
    await peer.settled();
    clock.advance(SETTINGS_ACK_MS - 1);
    await peer.settled();
    assert.equal(peer.of(FrameType.goaway).length, 0);
    clock.advance(1);
    assert.equal(await peer.goaway(), "SETTINGS_TIMEOUT");
  });

  it("ends a connection that stops within the preface", async () => {
    const clock = new VirtualClock();
    const { peer } = await serverUnderTest({ clock, limits }, undefined, true);
    peer.send(Buffer.from("PRI * HTTP"));
    await until("it is being watched", () => clock.pending === 3);
    clock.advance(5_000);
    assert.equal(await peer.goaway(), "PROTOCOL_ERROR");
  });
});

describe("shutdown", () => {
  afterEach(closeAll);

  it("announces itself, takes what was on its way, finishes, and closes", async () => {
    const clock = new VirtualClock();
    const under = await serverUnderTest({ clock });
    const { peer, requests, server } = under;
    peer.send(frames.headers(1, GET));
    await until("the request is there", () => requests.length === 1);
    server.shutdown();
    server.shutdown();
    await peer.next(FrameType.ping);
    assert.equal(lastOf(under, 0), 0x7fff_ffff);
    peer.send(frames.headers(3, GET));
    peer.send(frames.ping("farewell", Flag.ack));
    await until("the last stream is fixed", () => peer.of(FrameType.goaway).length === 2);
    assert.equal(lastOf(under, 1), 3);
    assert.equal(requests.length, 2);
    const late = [frames.headers(5, POST, OPEN), frames.data(5, "x"), frames.windowUpdate(5, 1), frames.reset(5, 8)];
    peer.send(...late);
    await peer.settled();
    assert.equal(peer.of(FrameType.goaway).length, 2, "what follows on them does not break the connection");
    assert.equal(requests.length, 2, "later ones are not looked at");
    requests[0]?.stream.sendHead(ok, true);
    requests[1]?.stream.sendHead(ok, true);
    await until("it is closed", under.closed);
    assert.equal(peer.of(FrameType.headers, 3).length, 1);
    assert.equal(clock.pending, 0);
  });

  it("waits no longer than a moment for the PING to come back", async () => {
    const clock = new VirtualClock();
    const under = await serverUnderTest({ clock });
    await under.peer.settled();
    under.server.shutdown();
    clock.advance(SHUTDOWN_NOTICE_MS);
    await until("the last stream is fixed", () => under.peer.of(FrameType.goaway).length === 2);
    await until("it is closed", () => under.peer.closed);
  });

  it("leaves no timer when the connection is lost meanwhile", async () => {
    const clock = new VirtualClock();
    const under = await serverUnderTest({ clock });
    await under.peer.settled();
    under.server.shutdown();
    under.peer.socket.destroy();
    await until("it is closed", under.closed);
    assert.equal(clock.pending, 0);
  });
});

describe("the end of the connection", () => {
  afterEach(closeAll);

  it("resets what is open", async () => {
    const { peer, requests, closed } = await serverUnderTest();
    peer.send(frames.headers(1, GET), frames.headers(3, POST, OPEN));
    await until("both are there", () => requests.length === 2);
    peer.socket.resetAndDestroy();
    await until("it is closed", closed);
    for (const { receiver } of requests)
      assert.deepEqual(
        receiver.resets.map((each) => each.code),
        ["closed"],
      );
  });

  it("lets answers finish after the peer's FIN, then closes", async () => {
    const { peer, requests, closed } = await serverUnderTest();
    peer.send(frames.headers(1, GET), frames.headers(3, POST, OPEN));
    peer.socket.end();
    await until("the half-sent request is lost", () => requests[1]?.receiver.resets.length === 1);
    assert.equal(requests[0]?.receiver.resets.length, 0);
    requests[0]?.stream.sendHead(ok, false);
    requests[0]?.stream.sendData(Buffer.from("answer"), true);
    await until("the answer has come", () => peer.content(1) === "answer");
    await until("it is closed", closed);
  });

  it("closes after the peer's FIN when nothing is open", async () => {
    const { peer, closed } = await serverUnderTest();
    await peer.settled();
    peer.socket.end();
    await until("it is closed", closed);
  });

  it("follows destroy, with a reset for what is open", async () => {
    const { peer, requests, server, closed } = await serverUnderTest();
    peer.send(frames.headers(1, GET));
    await until("the request is there", () => requests.length === 1);
    server.destroy();
    assert.deepEqual(
      requests[0]?.receiver.resets.map((each) => each.code),
      ["closed"],
    );
    await until("it is closed", closed);
  });

  it("follows the client's GOAWAY once its requests are answered", async () => {
    const { peer, requests, closed } = await serverUnderTest();
    peer.send(frames.headers(1, GET), frames.goaway(0, 0));
    await peer.settled();
    requests[0]?.stream.sendHead(ok, true);
    await until("it is closed", closed);
    assert.equal(peer.of(FrameType.headers, 1).length, 1);
  });
});
