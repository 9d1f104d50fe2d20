import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";

import * as fc from "fast-check";

import {
  closeAll,
  frames,
  GET,
  responseHead,
  serverUnderTest,
  type ServerUnderTest,
} from "../../../test/support/http2-peer.ts";
import { until } from "../../../test/support/until.ts";
import { FrameType, SettingId } from "./frames.ts";
import { HeldBytes, type Holder } from "./held-bytes.ts";

const MAX = 220_000;

/** A client without windows that has asked for so many answers. */
async function starved(held: HeldBytes, streams: number): Promise<ServerUnderTest> {
  const under = await serverUnderTest({ held });
  under.peer.send(frames.settings([SettingId.initialWindowSize, 0]));
  for (let i = 0; i < streams; i++) under.peer.send(frames.headers(2 * i + 1, GET));
  await until("the requests are there", () => under.requests.length === streams);
  for (const { stream } of under.requests) stream.sendHead(responseHead(200), false);
  return under;
}

describe("what is held for all peers", () => {
  afterEach(closeAll);

  it("stays below the bound at the cost of the stream that holds the most, of the connection that holds the most", async () => {
    const held = new HeldBytes(MAX);
    const modest = await starved(held, 1);
    const greedy = await starved(held, 3);
    modest.requests[0]?.stream.sendData(Buffer.alloc(30_000), false);
    const sizes = [20_000, 100_000, 3_000];
    greedy.requests.forEach(({ stream }, i) => stream.sendData(Buffer.alloc(sizes[i] as number), false));
    assert.ok(held.total <= MAX);
    assert.equal(await greedy.peer.reset(3), "ENHANCE_YOUR_CALM");
    assert.equal(greedy.requests[1]?.receiver.resets[0]?.code, "overflow");
    await greedy.peer.settled();
    assert.equal(greedy.peer.of(FrameType.rstStream).length, 1, "one was enough");
    await modest.peer.settled();
    assert.equal(modest.peer.of(FrameType.rstStream).length, 0);
  });

  it("is nothing once it was sent, dropped, or its connection lost", async () => {
    const held = new HeldBytes(MAX);
    const under = await starved(held, 3);
    for (const { stream } of under.requests) stream.sendData(Buffer.alloc(5_000), true);
    assert.equal(held.total, 3 * 16 * 1024);
    under.peer.send(frames.windowUpdate(1, 5_000));
    await until("one was sent", () => under.peer.content(1).length === 5_000);
    assert.equal(held.total, 2 * 16 * 1024);
    under.peer.send(frames.reset(3, 8));
    await under.peer.settled();
    assert.equal(held.total, 16 * 1024);
    under.peer.socket.destroy();
    await until("it is closed", under.closed);
    assert.equal(held.total, 0);
  });

  it("does not grow by the number of pieces", async () => {
    const held = new HeldBytes(MAX);
    const under = await starved(held, 1);
    for (let i = 0; i < 50_000; i++) under.requests[0]?.stream.sendData(Buffer.from([i & 0xff]), i === 49_999);
    assert.ok(held.total <= 4 * 16 * 1024, `${held.total} octets for 50,000`);
    under.peer.send(frames.windowUpdate(1, 50_000));
    await until("all have come", () => under.peer.content(1).length === 50_000);
    const content = under.peer.content(1);
    for (let i = 0; i < 50_000; i++) assert.equal(content.charCodeAt(i), i & 0xff);
    assert.equal(held.total, 0);
  });

  it("keeps the bound whatever comes and goes, and always takes from the greediest", () => {
    const step = fc.record({ holder: fc.nat(4), octets: fc.integer({ min: -20_000, max: 40_000 }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const held = new HeldBytes(MAX);
        const holders = Array.from({ length: 5 }, () => {
          const holder = {
            heldBytes: 0,
            shedLargest(): void {
              assert.equal(holder.heldBytes, Math.max(...holders.map((each) => each.heldBytes)));
              const shed = Math.ceil(holder.heldBytes / 2);
              holder.heldBytes -= shed;
              held.removed(holder, shed);
            },
          } satisfies Holder;
          return holder;
        });
        for (const { holder: which, octets } of steps) {
          const holder = holders[which] as (typeof holders)[number];
          if (octets > 0) {
            holder.heldBytes += octets;
            held.added(holder, octets);
          } else {
            const less = Math.min(holder.heldBytes, -octets);
            holder.heldBytes -= less;
            held.removed(holder, less);
          }
          assert.ok(held.total <= MAX);
          assert.equal(
            held.total,
            holders.reduce((sum, each) => sum + each.heldBytes, 0),
          );
        }
      }),
    );
  });
});
