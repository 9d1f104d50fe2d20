import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";

import {
  closeAll,
  frame,
  frames,
  GET,
  headerBlock,
  POST,
  responseHead,
  serverUnderTest,
  uint32,
} from "../../../test/support/http2-peer.ts";
import { until } from "../../../test/support/until.ts";
import { VirtualClock } from "../../net/virtual-clock.ts";
import { ResetCause } from "../exchange.ts";
import { defaultHttpLimits } from "../limits.ts";
import { CLIENT_PREFACE, ErrorCode, Flag, FrameType, readUint32, SettingId } from "./frames.ts";
import { LINGER_MS } from "./session.ts";

const OPEN = Flag.endHeaders;
const END = Flag.endStream;
const ok = responseHead(200);

describe("Http2ServerConnection", () => {
  afterEach(closeAll);

  it("says its settings and opens the connection's window first", async () => {
    const { peer } = await serverUnderTest({}, undefined, true);
    const { payload } = await peer.next(FrameType.settings);
    const settings = new Map<number, number>();
    for (let at = 0; at < payload.length; at += 6) settings.set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
    assert.equal(settings.get(SettingId.maxConcurrentStreams), defaultHttpLimits.concurrentStreams);
    assert.equal(settings.get(SettingId.initialWindowSize), 64 * 1024);
    assert.equal(settings.get(SettingId.maxHeaderListSize), defaultHttpLimits.headBytes);
    assert.equal(readUint32((await peer.next(FrameType.windowUpdate, 0)).payload, 0), 16 * 1024 * 1024 - 65_535);
  });

  it("drops what would frame or route a message from its trailers", async () => {
    const { peer, requests } = await serverUnderTest();
    peer.send(frames.headers(1, POST, OPEN));
    peer.send(frames.headers(1, ["content-length", "5", "a", "b", "host", "other"]));
    await until("they are there", () => requests[0]?.receiver.trailers !== undefined);
    assert.deepEqual(requests[0]?.receiver.trailers, ["a", "b"]);
  });

  it("hands a request out and sends the answer", async () => {
    const { peer, requests, server } = await serverUnderTest();
    peer.send(frames.headers(1, [...GET, "accept", "*/*"]));
    await until("the request is there", () => requests.length === 1);
    const { stream, head, end } = requests[0] as (typeof requests)[0];
    assert.deepEqual([head.method, head.path, head.authority, end], ["GET", "/", "a.example", true]);
    assert.deepEqual(head.headers, ["accept", "*/*"]);
    assert.equal(server.active, 1);
    stream.sendHead(responseHead(103, ["link", "</a>"]), false);
    stream.sendHead(responseHead(200, ["Content-Type", "text/plain", "Connection", "close"]), false);
    assert.equal(stream.sendData(Buffer.from("hello"), false), true);
    stream.sendTrailers(["x-sum", "1"]);
    assert.equal(server.active, 0);
    await until("all has come", () => peer.of(FrameType.headers, 1).length === 3);
    const heads = peer.of(FrameType.headers, 1);
    assert.deepEqual(peer.fields(heads[0] as (typeof heads)[0]), [":status", "103", "link", "</a>"]);
    assert.deepEqual(peer.fields(heads[1] as (typeof heads)[0]), [":status", "200", "content-type", "text/plain"]);
    assert.deepEqual(peer.fields(heads[2] as (typeof heads)[0]), ["x-sum", "1"]);
    assert.equal(peer.content(1), "hello");
    assert.equal((heads[2] as (typeof heads)[0]).flags & END, END);
    // Nothing more has an effect.
    stream.sendData(Buffer.from("late"), true);
    stream.reset(new ResetCause("internal", ""));
    await peer.settled();
    assert.equal(peer.of(FrameType.rstStream).length, 0);
    assert.equal(peer.content(1), "hello");
  });

  it("hands a body out as it comes, and its trailers", async () => {
    const { peer, requests } = await serverUnderTest();
    peer.send(frames.headers(1, POST, OPEN), frames.data(1, "ab"));
    await until("the first part", () => requests[0]?.receiver.content.length === 2);
    assert.equal(requests[0]?.receiver.ended, false);
    peer.send(frames.data(1, "cd"), frames.headers(1, ["x-sum", "1"]));
    await until("the end", () => requests[0]?.receiver.ended === true);
    assert.equal(requests[0]?.receiver.content.toString(), "abcd");
    assert.deepEqual(requests[0]?.receiver.trailers, ["x-sum", "1"]);
  });

  it("reads padded and prioritised frames and heads in pieces", async () => {
    const { peer, requests } = await serverUnderTest();
    const block = headerBlock(...POST);
    const padded = Buffer.concat([
      Buffer.from([4]),
      uint32(0),
      Buffer.from([16]),
      block.subarray(0, 10),
      Buffer.alloc(4),
    ]);
    peer.send(
      frame(FrameType.headers, Flag.padded | Flag.priority, 1, padded),
      frames.continuation(1, block.subarray(10, 20)),
      frames.continuation(1, block.subarray(20), Flag.endHeaders),
      frame(FrameType.data, Flag.padded | END, 1, Buffer.from("\u0003abc\0\0\0", "latin1")),
    );
    await until("the request is over", () => requests[0]?.receiver.ended === true);
    assert.equal(requests[0]?.head.method, "POST");
    assert.equal(requests[0]?.receiver.content.toString(), "abc");
  });

  it("tells the receiver of a reset by the peer, once, and forgets the stream", async () => {
    const { peer, requests, server } = await serverUnderTest();
    peer.send(frames.headers(1, GET), frames.reset(1, ErrorCode.cancel), frames.reset(1, ErrorCode.cancel));
    await peer.settled();
    const { receiver, stream } = requests[0] as (typeof requests)[0];
    assert.deepEqual(
      receiver.resets.map((cause) => [cause.code, cause.http2Code]),
      [["cancelled", ErrorCode.cancel]],
    );
    assert.equal(server.active, 0);
    stream.sendHead(ok, true);
    await peer.settled();
    assert.equal(peer.of(FrameType.headers).length, 0);
  });

  for (const [code, http2Code, expected] of [
    ["refused", undefined, "REFUSED_STREAM"],
    ["cancelled", undefined, "CANCEL"],
    ["timeout", undefined, "CANCEL"],
    ["protocol", undefined, "PROTOCOL_ERROR"],
    ["connect", undefined, "CONNECT_ERROR"],
    ["overflow", undefined, "ENHANCE_YOUR_CALM"],
    ["internal", undefined, "INTERNAL_ERROR"],
    ["closed", undefined, "INTERNAL_ERROR"],
    ["internal", ErrorCode.http11Required, "HTTP_1_1_REQUIRED"],
  ] as [ResetCause["code"], number | undefined, string][]) {
    it(`tells the peer ${expected} for a reset as ${code}`, async () => {
      const { peer, requests } = await serverUnderTest({}, ({ stream }) =>
        stream.reset(new ResetCause(code, "", http2Code)),
      );
      peer.send(frames.headers(1, GET));
      assert.equal(await peer.reset(1), expected);
      assert.equal(requests[0]?.receiver.resets.length, 0, "who resets is not told");
    });
  }

  it("stops a request whose answer has ended, with NO_ERROR", async () => {
    const { peer, requests, server } = await serverUnderTest({}, ({ stream }) => stream.sendHead(ok, true));
    peer.send(frames.headers(1, POST, OPEN));
    assert.equal(await peer.reset(1), "NO_ERROR");
    assert.equal((peer.of(FrameType.headers, 1)[0]?.flags ?? 0) & END, END);
    assert.equal(server.active, 0);
    assert.deepEqual(
      requests[0]?.receiver.resets.map((cause) => cause.code),
      ["cancelled"],
    );
    peer.send(frames.data(1, "still on its way", END));
    await peer.settled();
  });

  it("does not stop it when its end lies in the same bytes", async () => {
    const { peer, requests } = await serverUnderTest({}, ({ stream }) => stream.sendHead(ok, true));
    peer.send(Buffer.concat([frames.headers(1, POST, OPEN), frames.data(1, "all", END)]));
    await peer.settled();
    assert.equal(peer.of(FrameType.rstStream).length, 0);
    assert.equal(requests[0]?.receiver.ended, true);
  });

  it("refuses streams beyond the limit and keeps the compression table right", async () => {
    const { peer, requests } = await serverUnderTest({ limits: { ...defaultHttpLimits, concurrentStreams: 1 } });
    peer.send(frames.headers(1, GET));
    // Both blocks use the dynamic table: x: 1 is inserted by the refused one.
    const insert = Buffer.concat([headerBlock(...GET), Buffer.from("4001780131", "hex")]);
    peer.send(frame(FrameType.headers, OPEN | END, 3, insert));
    assert.equal(await peer.reset(3), "REFUSED_STREAM");
    requests[0]?.stream.sendHead(ok, true);
    peer.send(frame(FrameType.headers, OPEN | END, 5, Buffer.concat([headerBlock(...GET), Buffer.from([0xbe])])));
    await until("the second one is there", () => requests.length === 2);
    assert.deepEqual(requests[1]?.head.headers, ["x", "1"]);
  });

  it("answers 431 to a head that is too large, without a handler, and goes on", async () => {
    const { peer, requests, faults } = await serverUnderTest({ limits: { ...defaultHttpLimits, headBytes: 1_000 } });
    peer.send(frames.headers(1, [...GET, "x", "y".repeat(1_200)]));
    const head = await peer.next(FrameType.headers, 1);
    assert.deepEqual(peer.fields(head), [":status", "431"]);
    await until("the body", () => peer.content(1) === "headers_too_large");
    assert.deepEqual(
      faults.map((fault) => fault.kind),
      ["headers_too_large"],
    );
    peer.send(frames.headers(3, [...GET, "x", "y".repeat(1_200)], OPEN));
    assert.equal(await peer.reset(3), "NO_ERROR");
    peer.send(frames.headers(5, GET));
    await until("the good one is there", () => requests.length === 1);
  });

  it("answers 431 to a head with too many fields", async () => {
    const { peer } = await serverUnderTest({ limits: { ...defaultHttpLimits, headerCount: 5 } });
    peer.send(frames.headers(1, [...GET, "a", "1", "b", "2"]));
    assert.deepEqual(peer.fields(await peer.next(FrameType.headers, 1)), [":status", "431"]);
  });

  it("resets a stream whose trailers are too large", async () => {
    const { peer, requests } = await serverUnderTest({ limits: { ...defaultHttpLimits, headBytes: 1_000 } });
    peer.send(frames.headers(1, POST, OPEN), frames.headers(1, ["x", "y".repeat(1_200)]));
    assert.equal(await peer.reset(1), "ENHANCE_YOUR_CALM");
    assert.deepEqual(
      requests[0]?.receiver.resets.map((cause) => cause.code),
      ["overflow"],
    );
  });

  // Connection errors: what is sent after the settings, and the code that ends the connection.
  const connectionErrors: [what: string, send: Buffer[], code: string][] = [
    ["DATA on stream 0", [frames.data(0, "x")], "PROTOCOL_ERROR"],
    ["HEADERS on stream 0", [frames.headers(0, GET)], "PROTOCOL_ERROR"],
    [
      "PRIORITY of wrong length on an idle stream",
      [frame(FrameType.priority, 0, 1, Buffer.alloc(4))],
      "FRAME_SIZE_ERROR",
    ],
    ["PRIORITY on stream 0", [frame(FrameType.priority, 0, 0, Buffer.alloc(5))], "PROTOCOL_ERROR"],
    ["RST_STREAM on stream 0", [frames.reset(0, 8)], "PROTOCOL_ERROR"],
    ["SETTINGS on a stream", [frame(FrameType.settings, 0, 1)], "PROTOCOL_ERROR"],
    ["PING on a stream", [frame(FrameType.ping, 0, 1, Buffer.alloc(8))], "PROTOCOL_ERROR"],
    ["GOAWAY on a stream", [frame(FrameType.goaway, 0, 1, Buffer.alloc(8))], "PROTOCOL_ERROR"],
    ["PUSH_PROMISE", [frame(FrameType.pushPromise, OPEN, 1, uint32(2))], "PROTOCOL_ERROR"],
    ["CONTINUATION without HEADERS", [frames.continuation(1, headerBlock(...GET), OPEN)], "PROTOCOL_ERROR"],
    ["PING within a header block", [frames.headers(1, GET, END), frames.ping()], "PROTOCOL_ERROR"],
    ["DATA within a header block", [frames.headers(1, GET, 0), frames.data(1, "x")], "PROTOCOL_ERROR"],
    ["an unknown frame within a header block", [frames.headers(1, GET, 0), frame(0xbb, 0, 1)], "PROTOCOL_ERROR"],
    [
      "CONTINUATION of another stream",
      [frames.headers(1, GET, 0), frames.continuation(3, headerBlock("a", "b"), OPEN)],
      "PROTOCOL_ERROR",
    ],
    ["HEADERS on a stream of the server's", [frames.headers(2, GET)], "PROTOCOL_ERROR"],
    ["HEADERS on a lower stream", [frames.headers(5, GET), frames.headers(3, GET)], "PROTOCOL_ERROR"],
    ["DATA on an idle stream", [frames.data(1, "x")], "PROTOCOL_ERROR"],
    ["RST_STREAM on an idle stream", [frames.reset(1, 8)], "PROTOCOL_ERROR"],
    ["WINDOW_UPDATE on an idle stream", [frames.windowUpdate(1, 1)], "PROTOCOL_ERROR"],
    ["WINDOW_UPDATE of 0 for the connection", [frames.windowUpdate(0, 0)], "PROTOCOL_ERROR"],
    ["a connection window that is too large", [frames.windowUpdate(0, 0x7fff_ffff)], "FLOW_CONTROL_ERROR"],
    [
      "an initial window that is too large",
      [frames.settings([SettingId.initialWindowSize, 0x8000_0000])],
      "FLOW_CONTROL_ERROR",
    ],
    [
      "an initial window that makes an open stream's too large",
      [
        frames.headers(1, GET),
        frames.windowUpdate(1, 0x7fff_0000),
        frames.settings([SettingId.initialWindowSize, 0x7fff_ffff]),
      ],
      "FLOW_CONTROL_ERROR",
    ],
    ["ENABLE_PUSH 2", [frames.settings([SettingId.enablePush, 2])], "PROTOCOL_ERROR"],
    ["MAX_FRAME_SIZE too small", [frames.settings([SettingId.maxFrameSize, 16_383])], "PROTOCOL_ERROR"],
    ["MAX_FRAME_SIZE too large", [frames.settings([SettingId.maxFrameSize, 0x100_0000])], "PROTOCOL_ERROR"],
    ["SETTINGS of wrong length", [frame(FrameType.settings, 0, 0, Buffer.alloc(5))], "FRAME_SIZE_ERROR"],
    [
      "SETTINGS acknowledgement with content",
      [frame(FrameType.settings, Flag.ack, 0, Buffer.alloc(6))],
      "FRAME_SIZE_ERROR",
    ],
    ["PING of wrong length", [frame(FrameType.ping, 0, 0, Buffer.alloc(7))], "FRAME_SIZE_ERROR"],
    ["GOAWAY of wrong length", [frame(FrameType.goaway, 0, 0, Buffer.alloc(7))], "FRAME_SIZE_ERROR"],
    [
      "RST_STREAM of wrong length",
      [frames.headers(1, GET), frame(FrameType.rstStream, 0, 1, Buffer.alloc(3))],
      "FRAME_SIZE_ERROR",
    ],
    ["WINDOW_UPDATE of wrong length", [frame(FrameType.windowUpdate, 0, 0, Buffer.alloc(3))], "FRAME_SIZE_ERROR"],
    ["a frame that is too large", [frame(FrameType.headers, 0, 1, Buffer.alloc(0), 16_385)], "FRAME_SIZE_ERROR"],
    [
      "HEADERS with padding longer than itself",
      [frame(FrameType.headers, OPEN | Flag.padded, 1, Buffer.from([5, 0x82]))],
      "PROTOCOL_ERROR",
    ],
    ["padded HEADERS without pad length", [frame(FrameType.headers, OPEN | Flag.padded, 1)], "FRAME_SIZE_ERROR"],
    [
      "HEADERS too short for its priority",
      [frame(FrameType.headers, OPEN | Flag.priority, 1, Buffer.alloc(4))],
      "FRAME_SIZE_ERROR",
    ],
    [
      "a header block that cannot be read",
      [frame(FrameType.headers, OPEN | END, 1, Buffer.from([0x80]))],
      "COMPRESSION_ERROR",
    ],
    [
      "trailers that cannot be read",
      [frames.headers(1, POST, OPEN), frame(FrameType.headers, OPEN | END, 1, Buffer.from([0xff]))],
      "COMPRESSION_ERROR",
    ],
    [
      "DATA after both sides have ended",
      [frames.headers(1, [...GET, "x-answer", "now"]), frames.data(1, "x")],
      "STREAM_CLOSED",
    ],
    [
      "HEADERS after both sides have ended",
      [frames.headers(1, [...GET, "x-answer", "now"]), frames.headers(1, GET)],
      "STREAM_CLOSED",
    ],
  ];
  for (const [what, send, code] of connectionErrors) {
    it(`ends the connection with ${code} for ${what}`, async () => {
      const under = await serverUnderTest({}, ({ stream, head }) => {
        if (head.headers.includes("x-answer")) stream.sendHead(ok, true);
      });
      const { peer, requests, faults } = under;
      peer.send(...send);
      assert.equal(await peer.goaway(), code);
      await until("the connection is closed", () => peer.closed);
      assert.deepEqual(
        faults.map((fault) => fault.kind),
        [`http2_${code.toLowerCase()}`],
      );
      for (const { receiver, head } of requests) {
        if (!head.headers.includes("x-answer"))
          assert.deepEqual(
            receiver.resets.map((each) => each.code),
            ["protocol"],
          );
      }
      assert.equal(under.server.active, 0);
      await until("the handler is told", under.closed);
    });
  }

  // Stream errors: the connection goes on.
  const streamErrors: [what: string, send: Buffer[], code: string][] = [
    ["a malformed head", [frames.headers(1, [...GET, "connection", "close"])], "PROTOCOL_ERROR"],
    [
      "a stream that depends on itself",
      [
        frame(
          FrameType.headers,
          OPEN | END | Flag.priority,
          1,
          Buffer.concat([uint32(1), Buffer.from([0]), headerBlock(...GET)]),
        ),
      ],
      "PROTOCOL_ERROR",
    ],
    [
      "PRIORITY on itself",
      [frames.headers(1, GET), frame(FrameType.priority, 0, 1, Buffer.concat([uint32(1), Buffer.from([0])]))],
      "PROTOCOL_ERROR",
    ],
    [
      "PRIORITY of wrong length",
      [frames.headers(1, GET), frame(FrameType.priority, 0, 1, Buffer.alloc(4))],
      "FRAME_SIZE_ERROR",
    ],
    ["DATA after END_STREAM", [frames.headers(1, GET), frames.data(1, "x")], "STREAM_CLOSED"],
    ["HEADERS after END_STREAM", [frames.headers(1, GET), frames.headers(1, ["a", "b"])], "STREAM_CLOSED"],
    [
      "a second head without END_STREAM",
      [frames.headers(1, POST, OPEN), frames.headers(1, ["a", "b"], OPEN)],
      "PROTOCOL_ERROR",
    ],
    [
      "a pseudo-header field in trailers",
      [frames.headers(1, POST, OPEN), frames.headers(1, [":path", "/"])],
      "PROTOCOL_ERROR",
    ],
    ["WINDOW_UPDATE of 0", [frames.headers(1, GET), frames.windowUpdate(1, 0)], "PROTOCOL_ERROR"],
    ["a window that is too large", [frames.headers(1, GET), frames.windowUpdate(1, 0x7fff_ffff)], "FLOW_CONTROL_ERROR"],
    [
      "less content than its length",
      [frames.headers(1, [...POST, "content-length", "5"], OPEN), frames.data(1, "four", END)],
      "PROTOCOL_ERROR",
    ],
    [
      "more content than its length",
      [frames.headers(1, [...POST, "content-length", "3"], OPEN), frames.data(1, "four")],
      "PROTOCOL_ERROR",
    ],
    ["no content and a length", [frames.headers(1, [...POST, "content-length", "5"])], "PROTOCOL_ERROR"],
    [
      "trailers before all content",
      [frames.headers(1, [...POST, "content-length", "5"], OPEN), frames.headers(1, ["a", "b"])],
      "PROTOCOL_ERROR",
    ],
  ];
  for (const [what, send, code] of streamErrors) {
    it(`resets the stream with ${code} for ${what}`, async () => {
      const { peer, requests, server } = await serverUnderTest();
      peer.send(...send);
      assert.equal(await peer.reset(1), code);
      for (const { receiver } of requests)
        assert.deepEqual(
          receiver.resets.map((each) => each.code),
          ["protocol"],
        );
      assert.equal(server.active, 0);
      peer.send(frames.headers(3, GET));
      await until("the next one is served", () => requests.at(-1)?.head.path === "/" && server.active === 1);
    });
  }

  it("ignores what it does not know or need", async () => {
    const { peer, requests } = await serverUnderTest();
    peer.send(
      frame(0xbb, 0xff, 0, Buffer.from("what?")),
      frame(FrameType.priority, 0, 7, Buffer.alloc(5)),
      frames.settings([0xbbbb, 1], [SettingId.maxHeaderListSize, 1]),
      frames.headers(1, GET),
      frames.reset(1, ErrorCode.cancel),
      frames.windowUpdate(1, 100),
      frame(FrameType.windowUpdate, 0xff, 0, uint32(0x8000_0001)),
    );
    await peer.settled();
    assert.equal(requests.length, 1);
    assert.equal(peer.of(FrameType.goaway).length, 0);
  });

  it("ignores flags that are not defined, and reserved bits", async () => {
    const { peer, requests } = await serverUnderTest();
    const block = headerBlock(...POST);
    const reserved = 0x8000_0000;
    peer.send(
      frame(FrameType.settings, 0xfe, reserved),
      frame(FrameType.headers, 0xd2, reserved + 1, block.subarray(0, 5)),
      frame(FrameType.continuation, 0xff, reserved + 1, block.subarray(5)),
      frame(FrameType.data, 0xf6, reserved + 1, Buffer.from("content")),
      frame(FrameType.windowUpdate, 0xff, reserved + 1, uint32(reserved + 1)),
      frame(FrameType.priority, 0xff, reserved + 1, Buffer.concat([uint32(reserved + 3), Buffer.from([1])])),
      frame(FrameType.data, 0xf7, reserved + 1),
      frame(FrameType.ping, 0xfe, reserved, Buffer.from("01234567")),
    );
    await until("the PING came back", () => peer.of(FrameType.ping).length === 1);
    assert.equal(requests[0]?.receiver.content.toString(), "content");
    assert.ok(requests[0]?.receiver.ended);
    assert.equal(peer.of(FrameType.goaway).length + peer.of(FrameType.rstStream).length, 0);
  });

  it("ignores frames in flight on a stream that it has reset", async () => {
    const { peer } = await serverUnderTest({}, ({ stream }) => stream.reset(new ResetCause("cancelled", "")));
    peer.send(frames.headers(1, POST, OPEN));
    await peer.reset(1);
    peer.send(frames.data(1, "x"), frames.windowUpdate(1, 1), frames.headers(1, ["a", "b"]));
    await peer.settled();
    assert.equal(peer.of(FrameType.goaway).length, 0);
    assert.equal(peer.of(FrameType.rstStream).length, 1);
  });

  it("answers PING with its payload and SETTINGS with an acknowledgement", async () => {
    const { peer } = await serverUnderTest();
    peer.send(frames.ping("payload!"));
    const answer = await peer.next(FrameType.ping);
    assert.equal(answer.flags, Flag.ack);
    assert.equal(answer.payload.toString(), "payload!");
    assert.ok(peer.of(FrameType.settings).some((each) => each.flags === Flag.ack));
  });

  it("wants SETTINGS first", async () => {
    const { peer } = await serverUnderTest({}, undefined, true);
    peer.send(Buffer.from(CLIENT_PREFACE), frames.headers(1, GET));
    assert.equal(await peer.goaway(), "PROTOCOL_ERROR");
  });

  it("refuses another preface", async () => {
    const { peer } = await serverUnderTest({}, undefined, true);
    peer.send(Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert.equal(await peer.goaway(), "PROTOCOL_ERROR");
    await until("the connection is closed", () => peer.closed);
  });

  it("closes a moment after GOAWAY when the peer does not", async () => {
    const clock = new VirtualClock();
    const { peer, closed } = await serverUnderTest({ clock });
    peer.socket.pause();
    peer.send(frames.data(0, "x"));
    await until("the linger timer runs", () => clock.pending === 1);
    assert.equal(closed(), false);
    clock.advance(LINGER_MS);
    await until("it is closed", closed);
    assert.equal(clock.pending, 0);
  });
});
