import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";

import {
  clientUnderTest,
  closeAll,
  frame,
  frames,
  Recorder,
  requestHead,
  uint32,
} from "../../../test/support/http2-peer.ts";
import { until } from "../../../test/support/until.ts";
import { VirtualClock } from "../../net/virtual-clock.ts";
import { ResetCause } from "../exchange.ts";
import { defaultHttpLimits } from "../limits.ts";
import { STREAMS_BEFORE_SETTINGS } from "./client.ts";
import { ErrorCode, Flag, FrameType, MAX_STREAM_ID, SettingId } from "./frames.ts";

const OPEN = Flag.endHeaders;
const END = Flag.endStream;

describe("Http2ClientConnection", () => {
  afterEach(closeAll);

  it("refuses push in its settings", async () => {
    const { peer } = await clientUnderTest({}, true);
    const { payload } = await peer.next(FrameType.settings);
    assert.equal(payload.readUInt16BE(0), SettingId.enablePush);
    assert.equal(payload.readUInt32BE(2), 0);
  });

  it("sends a request as HTTP/2 has it", async () => {
    const { peer, client } = await clientUnderTest();
    const headers = [
      "Host",
      "other.example",
      "Accept",
      "*/*",
      "Connection",
      "close",
      "TE",
      "gzip",
      "te",
      "trailers",
      "Upgrade",
      "h2c",
      "Transfer-Encoding",
      "chunked",
      "Keep-Alive",
      "5",
      "Proxy-Connection",
      "close",
    ];
    client.open(requestHead({ path: "/a?b", headers }), true, new Recorder());
    const head = await peer.next(FrameType.headers, 1);
    assert.equal(head.flags, OPEN | END);
    assert.deepEqual(peer.fields(head), [
      ":method",
      "GET",
      ":scheme",
      "http",
      ":path",
      "/a?b",
      ":authority",
      "a.example",
      "accept",
      "*/*",
      "te",
      "trailers",
    ]);
  });

  it("sends CONNECT without scheme and path, and no authority where there is none", async () => {
    const { peer, client } = await clientUnderTest();
    client.open(requestHead({ method: "CONNECT", authority: "a:1", path: "" }), false, new Recorder());
    client.open(requestHead({ authority: "", method: "PUT", scheme: "https" }), true, new Recorder());
    assert.deepEqual(peer.fields(await peer.next(FrameType.headers, 1)), [":method", "CONNECT", ":authority", "a:1"]);
    assert.deepEqual(peer.fields(await peer.next(FrameType.headers, 3)), [
      ":method",
      "PUT",
      ":scheme",
      "https",
      ":path",
      "/",
    ]);
  });

  it("sends a head larger than a frame in pieces", async () => {
    const { peer, client } = await clientUnderTest();
    client.open(requestHead({ headers: ["x", "y".repeat(40_000)] }), true, new Recorder());
    await until("all pieces are there", () => peer.of(FrameType.continuation, 1).length === 2);
    const pieces = [...peer.of(FrameType.headers, 1), ...peer.of(FrameType.continuation, 1)];
    assert.deepEqual(
      pieces.map((each) => each.flags),
      [END, 0, OPEN],
    );
    const whole = { ...(pieces[0] as (typeof pieces)[0]), payload: Buffer.concat(pieces.map((each) => each.payload)) };
    assert.deepEqual(peer.fields(whole).slice(-2), ["x", "y".repeat(40_000)]);
  });

  it("hands the answer out: interim heads, head, body, trailers", async () => {
    const { peer, client, owner } = await clientUnderTest();
    const receiver = new Recorder();
    const stream = client.open(requestHead({ method: "POST" }), false, receiver);
    stream.sendData(Buffer.from("question"), true);
    assert.equal(client.reused, false);
    const told = owner.available;
    peer.send(
      frames.headers(1, [":status", "100"], OPEN),
      frames.headers(1, [":status", "103", "link", "</a>"], OPEN),
      frames.headers(1, [":status", "200", "server", "x"], OPEN),
      frames.data(1, "ans"),
      frames.data(1, "wer"),
      frames.headers(1, ["grpc-status", "0"]),
    );
    await until("it has ended", () => receiver.ended);
    assert.deepEqual(
      receiver.heads.map((head) => [head.status, ...head.headers]),
      [[100], [103, "link", "</a>"], [200, "server", "x"]],
    );
    assert.equal(receiver.content.toString(), "answer");
    assert.deepEqual(receiver.trailers, ["grpc-status", "0"]);
    await until("the question has come", () => peer.content(1) === "question");
    assert.deepEqual([client.active, client.reused, owner.available], [0, true, told + 1]);
  });

  it("refuses content where there is none: after HEAD, 204, 304", async () => {
    const { peer, client } = await clientUnderTest();
    const receivers = ["200", "204", "304"].map((status, i) => {
      const receiver = new Recorder();
      client.open(requestHead({ method: i === 0 ? "HEAD" : "GET" }), true, receiver);
      peer.send(frames.headers(2 * i + 1, [":status", status], OPEN), frames.data(2 * i + 1, "HTTP/1.1 200 OK"));
      return receiver;
    });
    await until("all are refused", () => receivers.every(({ resets }) => resets.length === 1));
    for (const { resets, content } of receivers) {
      assert.equal(resets[0]?.code, "protocol");
      assert.equal(content.length, 0);
    }
    const empty = new Recorder();
    client.open(requestHead({ method: "HEAD" }), true, empty);
    peer.send(frames.headers(7, [":status", "200", "content-length", "5"], OPEN), frames.data(7, "", Flag.endStream));
    await until("an empty end is fine", () => empty.ended);
  });

  it("takes an answer without body, and the length of what HEAD or 304 leave out", async () => {
    const { peer, client } = await clientUnderTest();
    const [head, notModified, none] = [new Recorder(), new Recorder(), new Recorder()];
    client.open(requestHead({ method: "HEAD" }), true, head);
    client.open(requestHead(), true, notModified);
    client.open(requestHead(), true, none);
    peer.send(
      frames.headers(1, [":status", "200", "content-length", "5"]),
      frames.headers(3, [":status", "304", "content-length", "5"]),
      frames.headers(5, [":status", "204"]),
    );
    await until("all have ended", () => head.ended && notModified.ended && none.ended);
    assert.equal(head.resets.length + notModified.resets.length, 0);
  });

  for (const [what, send, reset] of [
    ["a malformed head", [frames.headers(1, [":status", "200", "connection", "close"])], "PROTOCOL_ERROR"],
    ["no :status", [frames.headers(1, ["server", "x"])], "PROTOCOL_ERROR"],
    ["DATA before the head", [frames.data(1, "x")], "PROTOCOL_ERROR"],
    ["an interim response at the end", [frames.headers(1, [":status", "100"])], "PROTOCOL_ERROR"],
    ["a length and no content", [frames.headers(1, [":status", "200", "content-length", "5"])], "PROTOCOL_ERROR"],
    [
      "less content than its length",
      [frames.headers(1, [":status", "200", "content-length", "5"], OPEN), frames.data(1, "four", END)],
      "PROTOCOL_ERROR",
    ],
    ["a head that is too large", [frames.headers(1, [":status", "200", "x", "y".repeat(2_000)])], "ENHANCE_YOUR_CALM"],
  ] as [string, Buffer[], string][]) {
    it(`resets a stream for ${what}, and goes on`, async () => {
      const { peer, client } = await clientUnderTest({ limits: { ...defaultHttpLimits, headBytes: 1_000 } });
      const [bad, good] = [new Recorder(), new Recorder()];
      client.open(requestHead(), true, bad);
      peer.send(...send);
      assert.equal(await peer.reset(1), reset);
      assert.deepEqual(
        bad.resets.map((cause) => cause.code),
        [reset === "ENHANCE_YOUR_CALM" ? "overflow" : "protocol"],
      );
      assert.equal(
        bad.heads.filter((each) => each.status >= 200 && !each.headers.includes("content-length")).length,
        0,
      );
      client.open(requestHead(), true, good);
      peer.send(frames.headers(3, [":status", "200"]));
      await until("the next one is answered", () => good.ended);
    });
  }

  for (const [what, send, code] of [
    ["PUSH_PROMISE", [frame(FrameType.pushPromise, OPEN, 1, uint32(2))], "PROTOCOL_ERROR"],
    ["a server that enables push", [frames.settings([SettingId.enablePush, 1])], "PROTOCOL_ERROR"],
    ["HEADERS on a stream never opened", [frames.headers(3, [":status", "200"])], "PROTOCOL_ERROR"],
    ["HEADERS on a stream of the server's", [frames.headers(2, [":status", "200"])], "PROTOCOL_ERROR"],
    ["DATA on a stream never opened", [frames.data(3, "x")], "PROTOCOL_ERROR"],
    [
      "HEADERS after the end",
      [frames.headers(1, [":status", "200"]), frames.headers(1, [":status", "200"])],
      "STREAM_CLOSED",
    ],
    ["a block that cannot be read", [frame(FrameType.headers, OPEN, 1, Buffer.from([0x80]))], "COMPRESSION_ERROR"],
  ] as [string, Buffer[], string][]) {
    it(`ends the connection with ${code} for ${what}`, async () => {
      const { peer, client, owner } = await clientUnderTest();
      const receiver = new Recorder();
      client.open(requestHead(), true, receiver);
      peer.send(...send);
      assert.equal(await peer.goaway(), code);
      assert.deepEqual([client.usable, client.available], [false, 0]);
      assert.ok(receiver.ended || receiver.resets[0]?.code === "protocol");
      await until("the owner is told", () => owner.closed === 1);
    });
  }

  for (const [code, expected] of [
    [ErrorCode.refusedStream, "refused"],
    [ErrorCode.cancel, "cancelled"],
    [ErrorCode.noError, "cancelled"],
    [ErrorCode.internalError, "protocol"],
    [ErrorCode.enhanceYourCalm, "protocol"],
    [0xffff_ffff, "protocol"],
  ] as [number, string][]) {
    it(`makes ${expected} of the peer's reset with code ${code}`, async () => {
      const { peer, client } = await clientUnderTest();
      const receiver = new Recorder();
      client.open(requestHead(), true, receiver);
      peer.send(frames.reset(1, code));
      await until("it is told", () => receiver.resets.length === 1);
      assert.deepEqual([receiver.resets[0]?.code, receiver.resets[0]?.http2Code], [expected, code]);
      assert.equal(client.reused, false);
    });
  }

  it("takes an early answer, and the reset with NO_ERROR that follows it", async () => {
    const { peer, client } = await clientUnderTest();
    const receiver = new Recorder();
    const stream = client.open(requestHead({ method: "POST" }), false, receiver);
    peer.send(frames.headers(1, [":status", "413"]));
    await until("it has ended", () => receiver.ended);
    assert.equal(client.active, 1, "the request may go on");
    assert.equal(stream.sendData(Buffer.from("more"), false), true);
    peer.send(frames.reset(1, ErrorCode.noError));
    await until("the stream is over", () => client.active === 0);
    assert.deepEqual(
      receiver.resets.map((cause) => [cause.code, cause.http2Code]),
      [["cancelled", 0]],
    );
  });

  it("gives a request up and ignores what is still on its way", async () => {
    const { peer, client, owner } = await clientUnderTest();
    const receiver = new Recorder();
    const stream = client.open(requestHead(), true, receiver);
    const told = owner.available;
    stream.reset(new ResetCause("cancelled", "lost interest"));
    stream.reset(new ResetCause("cancelled", "lost interest"));
    assert.deepEqual([client.active, owner.available], [0, told + 1]);
    assert.equal(await peer.reset(1), "CANCEL");
    peer.send(frames.headers(1, [":status", "200"], OPEN), frames.data(1, "late"), frames.headers(1, ["a", "b"]));
    await peer.settled();
    assert.deepEqual([receiver.heads.length, receiver.resets.length], [0, 0]);
    assert.equal(peer.of(FrameType.rstStream).length, 1);
    assert.equal(peer.of(FrameType.goaway).length, 0);
  });

  describe("how many it may open", () => {
    it("is 100 until the settings come, then what they say, and no more than our own limit", async () => {
      const { peer, client, owner } = await clientUnderTest({}, true);
      assert.equal(client.available, STREAMS_BEFORE_SETTINGS);
      peer.send(frames.settings([SettingId.maxConcurrentStreams, 3]));
      await until("the settings are there", () => owner.available === 1);
      assert.equal(client.available, 3);
      client.open(requestHead(), true, new Recorder());
      assert.deepEqual([client.available, client.active], [2, 1]);
      peer.send(frames.settings([SettingId.maxConcurrentStreams, 0]));
      await until("the settings are there", () => client.available === 0);
      assert.equal(client.usable, true);
      peer.send(frames.settings([SettingId.maxConcurrentStreams, 5_000]));
      await until("the settings are there", () => client.available === defaultHttpLimits.concurrentStreams - 1);
    });

    it("is our own limit when the settings name none", async () => {
      const { client } = await clientUnderTest();
      assert.equal(client.available, defaultHttpLimits.concurrentStreams);
    });

    it("ends with the stream ids", async () => {
      const { client, peer } = await clientUnderTest({}, false, MAX_STREAM_ID);
      const receiver = new Recorder();
      client.open(requestHead(), true, receiver);
      assert.deepEqual([client.usable, client.available], [false, 0]);
      peer.send(frames.headers(MAX_STREAM_ID, [":status", "200"]));
      await until("it has ended", () => receiver.ended);
      await until("the connection closes", () => peer.closed);
    });
  });

  describe("GOAWAY", () => {
    it("refuses the streams above its last, finishes the others, and closes", async () => {
      const { peer, client, owner } = await clientUnderTest();
      const [kept, refused] = [new Recorder(), new Recorder()];
      client.open(requestHead(), true, kept);
      client.open(requestHead(), true, refused);
      peer.send(frames.goaway(MAX_STREAM_ID, 0));
      await until("it is known", () => !client.usable);
      assert.equal(refused.resets.length, 0);
      peer.send(frames.goaway(1, 0));
      await until("one is refused", () => refused.resets.length === 1);
      assert.equal(refused.resets[0]?.code, "refused");
      assert.deepEqual([client.available, client.active, kept.resets.length], [0, 1, 0]);
      peer.send(frames.headers(1, [":status", "200"]));
      await until("the other is answered", () => kept.ended);
      await until("the connection closes", () => peer.closed);
      peer.socket.end();
      await until("the owner is told", () => owner.closed === 1);
    });

    it("closes at once when nothing is open", async () => {
      const { peer, owner } = await clientUnderTest();
      peer.send(frames.goaway(0, ErrorCode.enhanceYourCalm));
      await until("the connection closes", () => peer.closed);
      await until("the owner is told", () => owner.closed === 1);
    });
  });

  it("refuses a request, later, when it takes no more", async () => {
    const { client } = await clientUnderTest();
    client.shutdown();
    const receiver = new Recorder();
    const stream = client.open(requestHead(), false, receiver);
    assert.equal(receiver.resets.length, 0, "not from inside open");
    stream.sendData(Buffer.from("x"), true);
    await until("it is told", () => receiver.resets.length === 1);
    assert.equal(receiver.resets[0]?.code, "refused");
  });

  it("shuts down when what is open has ended", async () => {
    const { peer, client, owner } = await clientUnderTest();
    const receiver = new Recorder();
    client.open(requestHead(), true, receiver);
    client.shutdown();
    client.shutdown();
    assert.equal(client.usable, false);
    peer.send(frames.headers(1, [":status", "200"]));
    await until("it is answered", () => receiver.ended);
    await until("the owner is told", () => owner.closed === 1);
    assert.equal(peer.of(FrameType.goaway).length, 1);
  });

  it("resets what is open when it is destroyed or loses the connection", async () => {
    for (const end of ["destroy", "lost", "FIN"]) {
      const { peer, client, owner } = await clientUnderTest();
      const receiver = new Recorder();
      client.open(requestHead({ method: "POST" }), false, receiver);
      await peer.settled();
      if (end === "destroy") client.destroy();
      else if (end === "lost") peer.socket.resetAndDestroy();
      else peer.socket.end();
      await until("it is told", () => receiver.resets.length === 1);
      assert.equal(receiver.resets[0]?.code, "closed");
      await until("the owner is told", () => owner.closed === 1);
      assert.deepEqual([client.active, client.usable], [0, false]);
    }
  });

  describe("a server that has vanished", () => {
    const keepAlive = { intervalMs: 10_000, timeoutMs: 3_000, whileIdle: false };

    it("is pinged while a request is open, and given up", async () => {
      const clock = new VirtualClock();
      const { peer, client, owner } = await clientUnderTest({ clock, keepAlive });
      clock.advance(60_000);
      const receiver = new Recorder();
      client.open(requestHead(), true, receiver);
      await peer.next(FrameType.headers, 1);
      clock.advance(10_000);
      await peer.next(FrameType.ping);
      clock.advance(3_000);
      await until("the owner is told", () => owner.closed === 1);
      assert.equal((owner.error as NodeJS.ErrnoException).code, "ETIMEDOUT");
      assert.equal(receiver.resets[0]?.code, "closed");
      assert.equal(clock.pending, 0);
    });

    it("is kept when it answers", async () => {
      const clock = new VirtualClock();
      const { peer, client } = await clientUnderTest({ clock, keepAlive });
      client.open(requestHead(), true, new Recorder());
      await peer.next(FrameType.headers, 1);
      clock.advance(10_000);
      const ping = await peer.next(FrameType.ping);
      peer.send(frame(FrameType.ping, Flag.ack, 0, ping.payload));
      await peer.settled();
      clock.advance(3_000);
      assert.equal(client.usable, true);
    });
  });
});
