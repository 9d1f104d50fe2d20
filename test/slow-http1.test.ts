/** Slowness in HTTP/1, against a real sidecar process with honest traffic beside it. See docs/defences.md. */
import assert from "node:assert/strict";
import type net from "node:net";
import { after, before, describe, it } from "node:test";

import { type Cost, startUnderAttack, type UnderAttack } from "./support/under-attack.ts";
import { until } from "./support/until.ts";

/** Milliseconds that an honest request may take meanwhile. The machine may be busy with other tests. */
const LATENCY_MS = 5_000;

/** A connection with what it has received. */
async function dial(target: UnderAttack): Promise<{ socket: net.Socket; text: () => string; ended: () => boolean }> {
  const socket = await target.socket();
  let text = "";
  let ended = false;
  socket.on("data", (chunk: Buffer) => (text = (text + chunk.toString("latin1")).slice(0, 1_000)));
  socket.on("close", () => (ended = true));
  socket.on("end", () => (ended = true));
  return { socket, text: () => text, ended: () => ended };
}

function assertBorne(cost: Cost, memoryMib: number, cpuSeconds: number): void {
  assert.deepEqual(cost.failed, [], "no honest request has failed");
  assert.ok(cost.slowestMs < LATENCY_MS, `an honest request took ${cost.slowestMs} ms`);
  assert.ok(cost.memoryMib < memoryMib, `${cost.memoryMib} MiB more`);
  assert.ok(cost.cpuSeconds < cpuSeconds, `${cost.cpuSeconds} s of processor time`);
}

describe("a sidecar process bears HTTP/1", () => {
  let target: UnderAttack;
  before(async () => {
    target = await startUnderAttack();
  });
  after(() => target.close());

  it("slow heads, octet by octet on 500 connections: 408 after ten seconds", async () => {
    const cost = await target.bear(async () => {
      const clients = await Promise.all(Array.from({ length: 500 }, () => dial(target)));
      const drip = setInterval(() => clients.forEach(({ socket, ended }) => !ended() && socket.write("x")), 1_000);
      try {
        for (const { socket } of clients) socket.write("GET / HTTP/1.1\r\nHost: price\r\nX-Slow: ");
        await until("all are told", () => clients.every(({ text, ended }) => text() !== "" && ended()), 30_000);
        for (const { text } of clients) assert.match(text(), /^HTTP\/1\.1 408 /);
      } finally {
        clearInterval(drip);
      }
    });
    assertBorne(cost, 64, 4);
  });

  it("slow bodies on 500 connections: each costs a connection and no more", async () => {
    const cost = await target.bear(async () => {
      const clients = await Promise.all(Array.from({ length: 500 }, () => dial(target)));
      for (const { socket } of clients) {
        socket.write("POST / HTTP/1.1\r\nHost: price\r\nContent-Length: 1000000\r\n\r\n");
      }
      for (let octet = 0; octet < 20; octet++) {
        for (const { socket } of clients) socket.write("x");
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      // An honest one among them.
      const honest = await dial(target);
      honest.socket.write("POST / HTTP/1.1\r\nHost: price\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx");
      await until("it is answered", honest.ended, 10_000);
      assert.match(honest.text(), /^HTTP\/1\.1 200 /);
    });
    assertBorne(cost, 64, 4);
  });

  it("readers that do not read, 50 connections of 8 MB each: held within their buffers", async () => {
    const cost = await target.bear(async () => {
      for (let i = 0; i < 50; i++) {
        const socket = await target.socket();
        socket.pause();
        socket.write("GET /bytes/8000000 HTTP/1.1\r\nHost: price\r\n\r\n");
      }
      let last = -1;
      await until(
        "the sidecar stands still",
        async () => {
          const now = target.residentMib();
          const still = now === last;
          last = now;
          await new Promise((resolve) => setTimeout(resolve, 200));
          return still;
        },
        30_000,
      );
    });
    assertBorne(cost, 96, 4);
  });
});
