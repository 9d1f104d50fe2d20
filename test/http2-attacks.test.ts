/**
 * Attacks on HTTP/2, each against a real sidecar process with honest traffic beside it. docs/defences.md says what stops
 * each of them; the bounds below are the ones stated there.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { CLIENT_PREFACE, Flag, FrameType, SettingId } from "../src/protocol/http2/frames.ts";
import { frame, frames, headerBlock, type RawPeer, uint32 } from "./support/http2-peer.ts";
import { startUnderAttack, type UnderAttack } from "./support/under-attack.ts";
import { until } from "./support/until.ts";

const OPEN = Flag.endHeaders;
const END = Flag.endStream;
const CALM = "ENHANCE_YOUR_CALM";

/** What a sidecar may spend on one attack that is about useless work: MiB above what it had, seconds of processor time. */
const MEMORY_MIB = 64;
const CPU_SECONDS = 2;

/** Milliseconds that an honest request may take meanwhile. The machine may be busy with other tests. */
const LATENCY_MS = 5_000;

const get = (path: string): string[] => [":method", "GET", ":scheme", "http", ":path", path, ":authority", "price"];
const post = (path: string): string[] => [":method", "POST", ...get(path).slice(2)];
const times = (count: number, bytes: (i: number) => Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, i) => bytes(i)));
const id = (i: number): number => 2 * i + 1;

/** A flood within one connection: what comes before it, and what is sent again and again. */
type Flood = readonly [what: string, code: string, count: number, bytes: (i: number) => Buffer, opening?: Buffer];

const GREETING = frames.headers(1, post("/silence"), OPEN);
const fragment = headerBlock(...get("/"));

const FLOODS: readonly Flood[] = [
  [
    "rapid reset (CVE-2023-44487)",
    CALM,
    3_000,
    (i) => Buffer.concat([frames.headers(id(i), get("/")), frames.reset(id(i), 8)]),
  ],
  [
    "MadeYouReset (CVE-2025-8671) by WINDOW_UPDATE of 0",
    CALM,
    3_000,
    (i) => Buffer.concat([frames.headers(id(i), get("/")), frames.windowUpdate(id(i), 0)]),
  ],
  [
    "MadeYouReset by a window that overflows",
    CALM,
    3_000,
    (i) => Buffer.concat([frames.headers(id(i), get("/")), frames.windowUpdate(id(i), 0x7fff_ffff)]),
  ],
  [
    "MadeYouReset by DATA after the end",
    CALM,
    3_000,
    (i) => Buffer.concat([frames.headers(id(i), get("/")), frames.data(id(i), "x")]),
  ],
  [
    "MadeYouReset by HEADERS after the end",
    CALM,
    3_000,
    (i) => Buffer.concat([frames.headers(id(i), get("/")), frames.headers(id(i), ["a", "b"])]),
  ],
  [
    "MadeYouReset by content beyond its length",
    CALM,
    3_000,
    (i) =>
      Buffer.concat([frames.headers(id(i), [...post("/"), "content-length", "1"], OPEN), frames.data(id(i), "xy")]),
  ],
  [
    "MadeYouReset by PRIORITY of wrong length",
    CALM,
    3_000,
    (i) => Buffer.concat([frames.headers(id(i), get("/")), frame(FrameType.priority, 0, id(i), Buffer.alloc(4))]),
  ],
  ["malformed requests", CALM, 3_000, (i) => frames.headers(id(i), [...get("/"), "Upper", "case"])],
  ["requests beyond the number of streams", CALM, 3_500, (i) => frames.headers(id(i), get("/silence"))],
  [
    "empty CONTINUATION frames",
    CALM,
    5_000,
    () => frames.continuation(1, Buffer.alloc(0)),
    frames.headers(1, get("/"), 0),
  ],
  [
    "full CONTINUATION frames",
    CALM,
    100,
    () => frames.continuation(1, Buffer.alloc(16_384)),
    frames.headers(1, get("/"), 0),
  ],
  ["PING", CALM, 5_000, () => frames.ping()],
  ["PING acknowledgements", CALM, 5_000, () => frames.ping("01234567", Flag.ack)],
  ["SETTINGS", CALM, 5_000, () => frames.settings()],
  ["SETTINGS acknowledgements", CALM, 5_000, () => frames.settingsAck()],
  [
    "thousands of settings in a frame",
    CALM,
    10,
    () =>
      frames.settings(...Array.from({ length: 2_700 }, (_, i): [number, number] => [SettingId.initialWindowSize, i])),
  ],
  [
    "windows of a thousand streams changed again and again",
    CALM,
    2_000,
    (i) =>
      frames.settings(
        ...Array.from({ length: 32 }, (_, k): [number, number] => [SettingId.initialWindowSize, 1_000 * (i % 2) + k]),
      ),
    times(1_000, (i) => frames.headers(id(i), get("/silence"))),
  ],
  ["empty DATA", CALM, 5_000, () => frames.data(1, ""), GREETING],
  [
    "DATA that is all padding",
    CALM,
    5_000,
    () => frame(FrameType.data, Flag.padded, 1, Buffer.concat([Buffer.from([255]), Buffer.alloc(255)])),
    GREETING,
  ],
  [
    "PRIORITY",
    CALM,
    5_000,
    (i) => frame(FrameType.priority, 0, id(i), Buffer.concat([uint32(0x8000_0000), Buffer.from([255])])),
  ],
  ["frames of unknown type", CALM, 5_000, () => frame(0xee, 0xff, 1, Buffer.alloc(1_000))],
  ["GOAWAY", CALM, 5_000, () => frames.goaway(0, 0), GREETING],
  ["WINDOW_UPDATE", CALM, 5_000, () => frames.windowUpdate(0, 1)],
  [
    "RST_STREAM on streams that are closed",
    CALM,
    5_000,
    () => frames.reset(1, 8),
    Buffer.concat([GREETING, frames.reset(1, 8)]),
  ],
  [
    "HEADERS on streams that we reset",
    CALM,
    5_000,
    () => frames.headers(1, ["a", "b"]),
    Buffer.concat([GREETING, frames.windowUpdate(1, 0)]),
  ],
  [
    "HPACK bombs: 4 KiB of table, named 12,000 times a head",
    CALM,
    1_200,
    (i) =>
      frame(
        FrameType.headers,
        OPEN | END,
        id(i),
        i === 0
          ? Buffer.concat([fragment, Buffer.from("4001617fe01e", "hex"), Buffer.alloc(4_063, "x")])
          : Buffer.concat([fragment, Buffer.alloc(12_000, 0xbe)]),
      ),
  ],
  [
    "heads of more fields than allowed",
    CALM,
    1_200,
    (i) =>
      frame(FrameType.headers, OPEN | END, id(i), Buffer.concat([fragment, times(2_000, () => Buffer.from([0x88]))])),
  ],
  [
    "a header list larger than twice the bound",
    CALM,
    40,
    (i) => frames.continuation(1, headerBlock(`x-${i}`, "y".repeat(16_000))),
    frames.headers(1, get("/"), 0),
  ],
  [
    "a frame larger than allowed",
    "FRAME_SIZE_ERROR",
    10,
    () => frame(FrameType.data, 0, 1, Buffer.alloc(16_385)),
    GREETING,
  ],
  [
    "a stream with the last id, and then one more",
    "PROTOCOL_ERROR",
    1,
    () => frames.headers(1, get("/")),
    frames.headers(0x7fff_ffff, get("/")),
  ],
];

describe("a sidecar process bears HTTP/2", () => {
  let target: UnderAttack;
  before(async () => {
    target = await startUnderAttack();
  });
  after(() => target.close());

  const bear = async (attack: () => Promise<void>, memoryMib = MEMORY_MIB, cpuSeconds = CPU_SECONDS): Promise<void> => {
    const cost = await target.bear(attack);
    assert.deepEqual(cost.failed, [], "no honest request has failed");
    assert.ok(cost.answered >= 2);
    assert.ok(cost.slowestMs < LATENCY_MS, `an honest request took ${cost.slowestMs} ms`);
    assert.ok(cost.memoryMib < memoryMib, `${cost.memoryMib} MiB more`);
    assert.ok(cost.cpuSeconds < cpuSeconds, `${cost.cpuSeconds} s of processor time`);
  };

  for (const [what, code, count, bytes, opening] of FLOODS) {
    it(`${what}: ${code}`, async () => {
      const flood = times(count, bytes);
      await bear(async () => {
        for (let connection = 0; connection < 3; connection++) {
          const peer = await target.attacker();
          if (opening !== undefined) peer.send(opening);
          peer.send(flood);
          await told(peer, code);
          await until("it is closed", () => peer.closed);
        }
      });
    });
  }

  it("table thrash in our decoder: every field evicts another, every head changes the size", async () => {
    // Size 0, size 4,096, then literals that are all inserted.
    const head = Buffer.concat([Buffer.from([0x20, 0x3f, 0xe1, 0x1f]), fragment]);
    const inserts = times(100, (i) =>
      Buffer.concat([Buffer.from([0x40]), headerBlock(`x-${i}`, "y".repeat(60)).subarray(1)]),
    );
    const block = Buffer.concat([head, inserts]);
    await bear(async () => {
      const peer = await target.attacker();
      for (let i = 0; i < 500; i++) peer.send(frame(FrameType.headers, OPEN | END, id(i), block));
      await until("all are answered", () => peer.of(FrameType.headers).length === 500, 20_000);
      assert.equal(peer.of(FrameType.goaway).length, 0);
    });
  });

  it("table thrash in our encoder: the size that we may use changes with every request", async () => {
    await bear(async () => {
      const peer = await target.attacker();
      for (let i = 0; i < 900; i++) {
        peer.send(
          frames.settings([SettingId.headerTableSize, i % 2 === 0 ? 0 : 0xffff_ffff]),
          frames.headers(id(i), get("/")),
        );
      }
      await until("all are answered", () => peer.of(FrameType.headers).length === 900, 20_000);
      for (const head of peer.of(FrameType.headers)) assert.equal(peer.fields(head)[1], "200");
    });
  });

  it("priorities: a tree of them changes nothing about who is served", async () => {
    await bear(async () => {
      const peer = await target.attacker();
      for (let i = 0; i < 500; i++) {
        const payload = Buffer.concat([priority(i === 0 ? 0 : id(i - 1)), headerBlock(...get("/"))]);
        peer.send(frame(FrameType.headers, OPEN | END | Flag.priority, id(i), payload));
      }
      await until("all are answered", () => peer.of(FrameType.headers).length === 500, 20_000);
      assert.equal(peer.of(FrameType.goaway).length, 0);
    });
  });

  it("tiny windows: octet by octet for a hundred answers", async () => {
    await bear(async () => {
      const peer = await target.attacker([[SettingId.initialWindowSize, 0]]);
      peer.send(times(100, (i) => frames.headers(id(i), get("/bytes/60000"))));
      await until("all have begun", () => peer.of(FrameType.headers).length === 100, 20_000);
      const drip = times(100, (i) => frames.windowUpdate(id(i), 1));
      for (let round = 1; round <= 30; round++) {
        peer.send(drip);
        await until("each has one more", () => peer.of(FrameType.data).length === 100 * round, 20_000);
      }
      assert.equal(peer.of(FrameType.goaway).length, 0);
    });
  });

  it("readers that open no window, three connections of a thousand: held within 128 MiB", async () => {
    const streams = 1_000;
    await bear(
      async () => {
        const peers: RawPeer[] = [];
        for (let i = 0; i < 3; i++) {
          const peer = await target.attacker([[SettingId.initialWindowSize, 0]]);
          peer.send(times(streams, (k) => frames.headers(id(k), get("/bytes/80000"))));
          await until("all have begun", () => peer.of(FrameType.headers).length === streams, 60_000);
          peers.push(peer);
        }
        await until("what is too much is given up", () => resets(peers).length > 0, 30_000);
        assert.deepEqual([...new Set(resets(peers))], [11]);
      },
      256,
      12,
    );
  });

  it("readers whose sockets are full, thirty connections", async () => {
    await bear(
      async () => {
        for (let i = 0; i < 30; i++) {
          const peer = await target.attacker([[SettingId.initialWindowSize, 0x7fff_ffff]]);
          peer.socket.pause();
          peer.send(
            frames.windowUpdate(0, 0x7000_0000),
            times(4, (k) => frames.headers(id(k), get("/bytes/4000000"))),
          );
        }
        const seen = new Set<number>();
        await until(
          "the sidecar stands still",
          async () => {
            const now = target.residentMib();
            const still = seen.has(now);
            seen.add(now);
            await new Promise((resolve) => setTimeout(resolve, 200));
            return still;
          },
          30_000,
        );
      },
      128,
      6,
    );
  });

  it("slowness: no settings, no acknowledgement, a head that does not end; each is told in ten seconds", async () => {
    await bear(async () => {
      const all: Promise<void>[] = [];
      for (let i = 0; i < 50; i++) {
        const silent = await target.silent();
        silent.send(Buffer.from(CLIENT_PREFACE));
        all.push(told(silent, "SETTINGS_TIMEOUT"));
        const deaf = await target.silent();
        deaf.send(Buffer.from(CLIENT_PREFACE), frames.settings());
        all.push(told(deaf, "SETTINGS_TIMEOUT"));
        const slow = await target.attacker();
        slow.send(frames.headers(1, get("/"), 0));
        all.push(told(slow, "PROTOCOL_ERROR"));
        const torn = await target.attacker();
        torn.send(frames.headers(1, get("/")).subarray(0, 12));
        all.push(told(torn, "PROTOCOL_ERROR"));
      }
      await Promise.all(all);
    });
  });
});

/** Codes of all RST_STREAM frames. */
function resets(peers: readonly RawPeer[]): number[] {
  return peers.flatMap((peer) => peer.of(FrameType.rstStream).map(({ payload }) => payload.readUInt32BE(0)));
}

/** Waits until the peer is told the end of the connection, with this code. */
async function told(peer: RawPeer, code: string): Promise<void> {
  await until("GOAWAY", () => peer.of(FrameType.goaway).length > 0, 30_000);
  assert.equal(await peer.goaway(), code);
}

/** The priority of a stream: exclusive, below another, as heavy as can be. */
function priority(parent: number): Buffer {
  return Buffer.concat([uint32(0x8000_0000 + parent), Buffer.from([255])]);
}
