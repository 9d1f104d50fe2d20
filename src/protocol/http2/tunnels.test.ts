/** CONNECT (RFC 9113 §8.5) and extended CONNECT (RFC 8441), frame by frame, on both ends. */
import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";

import {
  clientUnderTest,
  closeAll,
  frames,
  Recorder,
  requestHead,
  responseHead,
  type Served,
  type ServerUnderTest,
  serverUnderTest,
} from "../../../test/support/http2-peer.ts";
import { until } from "../../../test/support/until.ts";
import { VirtualClock } from "../../net/virtual-clock.ts";
import type { ClientStream, RequestHead } from "../exchange.ts";
import { ResetCause } from "../exchange.ts";
import { STREAMS_BEFORE_SETTINGS } from "./client.ts";
import { ErrorCode, Flag, FrameType, SettingId } from "./frames.ts";
import { defaultHttp2Options } from "./options.ts";

const OPEN = Flag.endHeaders;
const END = Flag.endStream;

const CONNECT = [":method", "CONNECT", ":authority", "a.example:80"];
const WEBSOCKET = [
  ...[":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", "/chat", ":authority", "a.example"],
];
const CONNECT_HEAD = requestHead({ method: "CONNECT", authority: "a.example:80", path: "", upgrade: "connect" });
const UPGRADE_HEAD = requestHead({ path: "/chat", upgrade: "websocket" });

const granted = { ...responseHead(200, ["content-length", "5"]), upgrade: "connect" };
const switched = { ...responseHead(101, ["sec-websocket-protocol", "chat"]), upgrade: "websocket" };

const TAKES_UPGRADES: [number, number] = [SettingId.enableConnectProtocol, 1];

function only(under: ServerUnderTest): Served {
  assert.equal(under.requests.length, 1);
  return under.requests[0] as Served;
}

describe("a server, asked for a tunnel", () => {
  afterEach(closeAll);

  it("says that it takes extended CONNECT", async () => {
    const { peer } = await serverUnderTest({}, undefined, true);
    const { payload } = await peer.next(FrameType.settings);
    const settings = new Map<number, number>();
    for (let at = 0; at < payload.length; at += 6) settings.set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
    assert.equal(settings.get(SettingId.enableConnectProtocol), 1);
  });

  it("hands it out as HTTP/1 would have it, and grants it as HTTP/2 has it", async () => {
    for (const [fields, shape, answer, status] of [
      [CONNECT, ["CONNECT", "a.example:80", "", "connect"], granted, "200"],
      [CONNECT, ["CONNECT", "a.example:80", "", "connect"], { ...granted, status: 204 }, "204"],
      [WEBSOCKET, ["GET", "a.example", "/chat", "websocket"], switched, "200"],
    ] as const) {
      const under = await serverUnderTest();
      under.peer.send(frames.headers(1, fields, OPEN));
      await until("the request is there", () => under.requests.length === 1);
      const { stream, head, end } = only(under);
      assert.deepEqual([head.method, head.authority, head.path, head.upgrade], shape);
      assert.equal(end, false);
      stream.sendHead({ ...answer, headers: answer.headers.slice() }, false);
      const sent = await under.peer.next(FrameType.headers, 1);
      const received = under.peer.fields(sent);
      assert.deepEqual(received.slice(0, 2), [":status", status]);
      assert.equal(received.includes("content-length"), false);
      assert.equal(sent.flags & END, 0);
    }
  });

  it("lets each direction end on its own", async () => {
    const under = await serverUnderTest();
    const { peer, server } = under;
    peer.send(frames.headers(1, CONNECT, OPEN));
    await until("the request is there", () => under.requests.length === 1);
    const { stream, receiver } = only(under);
    stream.sendHead(granted, false);
    stream.sendData(Buffer.from("down"), true);
    await until("the end has come", () => peer.of(FrameType.data, 1).some((each) => (each.flags & END) !== 0));
    peer.send(frames.data(1, "up"));
    await until("the other direction goes on", () => receiver.content.toString() === "up");
    assert.equal(peer.of(FrameType.rstStream).length, 0);
    assert.equal(server.active, 1);
    peer.send(frames.data(1, "", END));
    await until("it has ended as well", () => receiver.ended);
    assert.equal(server.active, 0);
    assert.equal(receiver.resets.length, 0);
  });

  it("holds what is sent before the answer, no more than the window, and delivers it after the grant", async () => {
    const streamWindowBytes = 70_000;
    const under = await serverUnderTest({ ...defaultHttp2Options, streamWindowBytes });
    const { peer } = under;
    peer.send(frames.headers(1, WEBSOCKET, OPEN));
    await until("the request is there", () => under.requests.length === 1);
    const { stream, receiver } = only(under);
    const piece = Buffer.alloc(7, "abcdefg");
    for (let sent = 0; sent < streamWindowBytes; sent += 7) peer.send(frames.data(1, piece));
    // Asking for more means nothing before the answer.
    stream.resume();
    await peer.settled();
    assert.equal(receiver.content.length, 0);
    assert.equal(peer.of(FrameType.windowUpdate, 1).length, 0, "no credit before the answer");
    stream.sendHead(switched, false);
    assert.equal(receiver.content.toString(), "abcdefg".repeat(10_000));
    await peer.next(FrameType.windowUpdate, 1);
    peer.send(frames.data(1, "!", END));
    await until("the rest follows", () => receiver.ended);
    assert.equal(receiver.content.length, 70_001);
    const beyond = await serverUnderTest({ ...defaultHttp2Options, streamWindowBytes });
    beyond.peer.send(frames.headers(1, WEBSOCKET, OPEN));
    for (let sent = 0; sent < 80_000; sent += 16_000) beyond.peer.send(frames.data(1, Buffer.alloc(16_000)));
    assert.equal(await beyond.peer.reset(1), "FLOW_CONTROL_ERROR");
  });

  it("holds an end that comes before the answer", async () => {
    for (const answerAtOnce of [false, true]) {
      const under = await serverUnderTest({}, ({ stream }) => answerAtOnce && stream.sendHead(granted, false));
      under.peer.send(frames.headers(1, CONNECT, OPEN | END));
      await until("the request is there", () => under.requests.length === 1);
      const { stream, receiver, end } = only(under);
      assert.equal(end, false);
      if (!answerAtOnce) {
        assert.equal(receiver.ended, false);
        stream.sendHead(granted, false);
      }
      await until("the end is told", () => receiver.ended);
      stream.sendData(Buffer.from("still here"), true);
      await until("the answer has come", () => under.peer.content(1) === "still here");
      assert.equal(under.server.active, 0);
    }
  });

  it("waits with credit while its receiver wants that, also one that asked before the answer", async () => {
    const under = await serverUnderTest({ ...defaultHttp2Options, streamWindowBytes: 65_535 });
    const { peer } = under;
    peer.send(frames.headers(1, WEBSOCKET, OPEN));
    await until("the request is there", () => under.requests.length === 1);
    const { stream } = only(under);
    stream.pause();
    stream.sendHead(switched, false);
    for (let i = 0; i < 4; i++) peer.send(frames.data(1, Buffer.alloc(16_000)));
    await peer.settled();
    assert.equal(peer.of(FrameType.windowUpdate, 1).length, 0);
    stream.resume();
    await peer.next(FrameType.windowUpdate, 1);
  });

  it("throws away what was meant for a tunnel that it declines", async () => {
    for (const early of [false, true]) {
      const under = await serverUnderTest();
      const { peer, server } = under;
      peer.send(frames.headers(1, WEBSOCKET, OPEN));
      if (early) peer.send(frames.data(1, "early"));
      await until("the request is there", () => under.requests.length === 1);
      await peer.settled();
      const { stream, receiver } = only(under);
      stream.sendHead(responseHead(403), false);
      peer.send(frames.data(1, "for the tunnel"));
      await peer.settled();
      stream.sendData(Buffer.from("no"), true);
      await until("the answer has come", () => peer.content(1) === "no");
      assert.equal(receiver.content.length, 0);
      assert.deepEqual([receiver.ended, receiver.resets.length], [false, 0], "its direction counts as ended");
      assert.equal(server.active, 0);
      peer.send(frames.data(1, "still on its way", END));
      await peer.settled();
    }
  });

  it("never answers 2xx without a grant, or grants with anything else", async () => {
    for (const [fields, answer] of [
      [CONNECT, responseHead(200)],
      [WEBSOCKET, responseHead(200)],
      [WEBSOCKET, responseHead(101)],
      [WEBSOCKET, { ...switched, status: 200 }],
      [CONNECT, { ...granted, status: 101 }],
    ] as const) {
      const under = await serverUnderTest({}, ({ stream }) => stream.sendHead(answer, false));
      under.peer.send(frames.headers(1, fields, OPEN));
      assert.equal(await under.peer.reset(1), "INTERNAL_ERROR");
      assert.equal(under.peer.of(FrameType.headers).length, 0);
      assert.equal(only(under).receiver.resets[0]?.code, "internal");
    }
  });

  it("takes no HEADERS within a tunnel", async () => {
    for (const fields of [CONNECT, WEBSOCKET]) {
      const under = await serverUnderTest();
      under.peer.send(frames.headers(1, fields, OPEN), frames.headers(1, ["x", "y"]));
      assert.equal(await under.peer.reset(1), "PROTOCOL_ERROR");
      assert.equal(only(under).receiver.resets.length, 1);
    }
  });

  it("says how the connection behind a tunnel was lost", async () => {
    for (const [fields, answer, code, told] of [
      [CONNECT, granted, "closed", "CONNECT_ERROR"],
      [WEBSOCKET, switched, "closed", "CANCEL"],
      [WEBSOCKET, switched, "cancelled", "CANCEL"],
      [CONNECT, granted, "internal", "INTERNAL_ERROR"],
    ] as const) {
      const under = await serverUnderTest({}, ({ stream }) => {
        stream.sendHead(answer, false);
        stream.reset(new ResetCause(code, ""));
      });
      under.peer.send(frames.headers(1, fields, OPEN));
      assert.equal(await under.peer.reset(1), told);
    }
  });

  it("tells the receiver of a reset, before the answer and after", async () => {
    for (const grant of [false, true]) {
      const under = await serverUnderTest({}, ({ stream }) => grant && stream.sendHead(granted, false));
      under.peer.send(frames.headers(1, CONNECT, OPEN), frames.reset(1, ErrorCode.cancel));
      await until("it is told", () => under.requests[0]?.receiver.resets.length === 1);
      assert.equal(only(under).receiver.resets[0]?.code, "cancelled");
    }
  });
});

type UnderTest = Awaited<ReturnType<typeof clientUnderTest>>;

function open(under: UnderTest, head: RequestHead, answer: Recorder): ClientStream {
  return under.client.open(head, false, answer);
}

/** A client whose request for a tunnel has gone out. */
async function opened(head: RequestHead): Promise<UnderTest & { stream: ClientStream; answer: Recorder }> {
  const under = await clientUnderTest({}, true);
  const answer = new Recorder();
  const stream = open(under, head, answer);
  under.peer.send(frames.settings(TAKES_UPGRADES));
  await under.peer.next(FrameType.headers, 1);
  return { ...under, stream, answer };
}

describe("a client that asks for a tunnel", () => {
  afterEach(closeAll);

  it("asks as HTTP/2 has it, and hands the grant out as HTTP/1 would", async () => {
    for (const [head, fields, status] of [
      [CONNECT_HEAD, CONNECT, 200],
      [UPGRADE_HEAD, WEBSOCKET, 101],
    ] as const) {
      const { peer, client, stream, answer } = await opened(head);
      const sent = peer.of(FrameType.headers, 1)[0];
      assert.ok(sent !== undefined);
      assert.equal(sent.flags, OPEN);
      assert.deepEqual(peer.fields(sent), fields);
      peer.send(frames.headers(1, [":status", "200", "x", "y", "content-length", "3"], OPEN), frames.data(1, "down"));
      await until("it is granted", () => answer.content.toString() === "down");
      assert.deepEqual(answer.heads, [{ status, reason: "", headers: ["x", "y"], upgrade: head.upgrade }]);
      peer.send(frames.data(1, "!", END));
      await until("its direction ends", () => answer.ended);
      assert.equal(client.active, 1);
      stream.sendData(Buffer.from("up"), false);
      stream.sendData(Buffer.alloc(0), true);
      await until("the other ends as well", () => peer.of(FrameType.data, 1).some((each) => (each.flags & END) !== 0));
      assert.equal(peer.content(1), "up");
      assert.equal(client.active, 0);
      assert.equal(answer.resets.length, 0);
    }
  });

  it("takes a grant that ends its direction at once", async () => {
    const { peer, client, stream, answer } = await opened(CONNECT_HEAD);
    peer.send(frames.headers(1, [":status", "200"]));
    await until("it has ended", () => answer.ended);
    assert.equal(answer.heads[0]?.upgrade, "connect");
    stream.sendData(Buffer.from("all"), true);
    assert.equal(client.active, 0);
  });

  it("ends its own direction when it is declined", async () => {
    const { peer, client, answer } = await opened(UPGRADE_HEAD);
    peer.send(frames.headers(1, [":status", "404", "content-length", "4"], OPEN), frames.data(1, "none", END));
    await until("the answer is whole", () => answer.ended);
    assert.deepEqual([answer.heads[0]?.status, answer.heads[0]?.upgrade, answer.content.toString()], [404, "", "none"]);
    const [end] = peer.of(FrameType.data, 1);
    assert.deepEqual([end?.flags, end?.payload.length], [END, 0]);
    assert.equal(client.active, 0);
  });

  it("takes no HEADERS within a tunnel", async () => {
    const { peer, answer } = await opened(UPGRADE_HEAD);
    peer.send(frames.headers(1, [":status", "200"], OPEN), frames.headers(1, ["x", "y"]));
    assert.equal(await peer.reset(1), "PROTOCOL_ERROR");
    assert.equal(answer.resets[0]?.code, "protocol");
  });

  it("reads CONNECT_ERROR as the loss of the far connection", async () => {
    const { peer, answer } = await opened(CONNECT_HEAD);
    peer.send(frames.headers(1, [":status", "200"], OPEN), frames.reset(1, ErrorCode.connectError));
    await until("it is told", () => answer.resets.length === 1);
    assert.equal(answer.resets[0]?.code, "closed");
  });

  it("waits for the settings with an upgrade, not with CONNECT, and goes on with others meanwhile", async () => {
    const under = await clientUnderTest({}, true);
    const { peer, client } = under;
    const upgrade = new Recorder();
    const waiting = open(under, UPGRADE_HEAD, upgrade);
    waiting.pause();
    open(under, CONNECT_HEAD, new Recorder());
    client.open(requestHead(), true, new Recorder());
    await peer.next(FrameType.headers, 3);
    assert.deepEqual(peer.fields(peer.of(FrameType.headers, 1)[0] as never), CONNECT);
    assert.equal(client.active, 3);
    assert.equal(client.available, STREAMS_BEFORE_SETTINGS - 3);
    peer.send(frames.settings(TAKES_UPGRADES));
    const sent = await peer.next(FrameType.headers, 5);
    peer.fields(peer.of(FrameType.headers, 3)[0] as never);
    assert.deepEqual(peer.fields(sent), WEBSOCKET);
    peer.send(frames.headers(5, [":status", "200"], OPEN));
    await until("it is granted", () => upgrade.heads.length === 1);
    waiting.resume();
    waiting.sendData(Buffer.from("up"), false);
    await until("bytes pass", () => peer.content(5) === "up");
    waiting.reset(new ResetCause("cancelled", ""));
    assert.equal(await peer.reset(5), "CANCEL");
  });

  it("is told when the server does not take upgrades, before its settings and after", async () => {
    const under = await clientUnderTest({}, true);
    const before = new Recorder();
    open(under, UPGRADE_HEAD, before);
    under.peer.send(frames.settings());
    await until("it is told", () => before.resets.length === 1);
    const later = new Recorder();
    open(under, UPGRADE_HEAD, later);
    assert.equal(later.resets.length, 0, "no call from inside open");
    await until("it is told", () => later.resets.length === 1);
    for (const { resets } of [before, later]) {
      assert.deepEqual([resets[0]?.code, resets[0]?.http2Code], ["protocol", ErrorCode.http11Required]);
    }
    assert.equal(under.client.active, 0);
    assert.equal(under.peer.of(FrameType.headers).length, 0);
  });

  it("is refused, to be sent elsewhere, when the connection will not take it", async () => {
    const endings: [string, (under: UnderTest) => void][] = [
      ["shut down", ({ client }) => client.shutdown()],
      ["GOAWAY", ({ peer }) => peer.send(frames.settings(TAKES_UPGRADES), frames.goaway(0, 0))],
      ["destroyed", ({ client }) => client.destroy()],
      ["lost", ({ peer }) => peer.socket.destroy()],
      ["no room", ({ peer }) => peer.send(frames.settings(TAKES_UPGRADES, [SettingId.maxConcurrentStreams, 0]))],
    ];
    for (const [what, endIt] of endings) {
      const under = await clientUnderTest({}, true);
      const answer = new Recorder();
      open(under, UPGRADE_HEAD, answer);
      endIt(under);
      await until(`it is told: ${what}`, () => answer.resets.length === 1);
      assert.equal(answer.resets[0]?.code, "refused", what);
      assert.equal(under.client.active, 0);
    }
  });

  it("is refused when a server that has not said anything vanishes", async () => {
    const clock = new VirtualClock();
    const keepAlive = { intervalMs: 10_000, timeoutMs: 3_000, whileIdle: false };
    const under = await clientUnderTest({ clock, keepAlive }, true);
    const answer = new Recorder();
    open(under, UPGRADE_HEAD, answer);
    clock.advance(10_000);
    clock.advance(3_000);
    await until("it is told", () => answer.resets.length === 1);
    assert.equal(answer.resets[0]?.code, "refused");
    assert.equal(clock.pending, 0);
  });

  it("counts among the streams that may be open", async () => {
    const under = await clientUnderTest({}, true);
    const answers = Array.from({ length: STREAMS_BEFORE_SETTINGS }, () => new Recorder());
    for (const answer of answers) open(under, UPGRADE_HEAD, answer);
    assert.equal(under.client.available, 0);
    under.peer.send(frames.settings(TAKES_UPGRADES, [SettingId.maxConcurrentStreams, 10]));
    await until("the rest is refused", () => answers.filter(({ resets }) => resets.length === 1).length === 90);
    await under.peer.next(FrameType.headers, 19);
    assert.equal(under.client.active, 10);
    assert.equal(under.client.available, 0);
  });

  it("given up while it waits leaves nothing behind", async () => {
    const under = await clientUnderTest({}, true);
    const answer = new Recorder();
    open(under, UPGRADE_HEAD, answer).reset(new ResetCause("cancelled", ""));
    assert.equal(under.client.active, 0);
    assert.equal(under.owner.available, 1);
    under.peer.send(frames.settings(TAKES_UPGRADES));
    await until("the settings are here", () => under.owner.available === 2);
    assert.equal(under.peer.of(FrameType.headers).length, 0);
    assert.equal(answer.resets.length, 0);
  });
});

describe("SETTINGS_ENABLE_CONNECT_PROTOCOL", () => {
  afterEach(closeAll);

  it("is 0 or 1", async () => {
    const { peer } = await clientUnderTest({}, true);
    peer.send(frames.settings([SettingId.enableConnectProtocol, 2]));
    assert.equal(await peer.goaway(), "PROTOCOL_ERROR");
    const server = await serverUnderTest();
    server.peer.send(frames.settings([SettingId.enableConnectProtocol, 2]));
    assert.equal(await server.peer.goaway(), "PROTOCOL_ERROR");
  });

  it("is never taken back", async () => {
    const { peer, owner } = await clientUnderTest({}, true);
    peer.send(frames.settings([SettingId.enableConnectProtocol, 0]), frames.settings(TAKES_UPGRADES));
    await until("both are here", () => owner.available === 2);
    peer.send(frames.settings([SettingId.enableConnectProtocol, 0]));
    assert.equal(await peer.goaway(), "PROTOCOL_ERROR");
  });
});
