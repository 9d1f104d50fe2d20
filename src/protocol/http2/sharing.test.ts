/** One connection shared by streams that are fast, slow and stuck, between two ends of ours on a network of virtual time. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { Recorder, requestHead, responseHead } from "../../../test/support/http2-peer.ts";
import { MemoryConnection } from "../../../test/support/memory-connection.ts";
import { VirtualClock } from "../../net/virtual-clock.ts";
import type { ServerStream } from "../exchange.ts";
import { Http2ClientConnection } from "./client.ts";
import { HeldBytes } from "./held-bytes.ts";
import { defaultHttp2Options, type Http2Options } from "./options.ts";
import { GROWTH_BYTES_MAX, STREAM_WINDOW_BYTES_MAX } from "./receive-windows.ts";
import { Http2ServerConnection } from "./server.ts";

const MIB = 1024 * 1024;
const CHUNK = Buffer.alloc(64 * 1024, "x");

/** Counts what it is given; stops reading where it is told to. */
class Reader extends Recorder {
  received = 0;
  readonly stopAt: number;
  pause: () => void = () => {};

  constructor(stopAt: number) {
    super();
    this.stopAt = stopAt;
  }

  override onData(chunk: Buffer, end: boolean): void {
    this.received += chunk.length;
    this.ended ||= end;
    if (this.received >= this.stopAt) this.pause();
  }
}

/** Sends as many octets as the path says, no faster than it is let. */
class Source extends Recorder {
  #left: number;
  readonly #stream: ServerStream;

  constructor(stream: ServerStream, octets: number) {
    super();
    this.#stream = stream;
    this.#left = octets;
  }

  override onWritable(): void {
    for (let more = true; more && this.#left > 0;) {
      const count = Math.min(this.#left, CHUNK.length);
      this.#left -= count;
      more = this.#stream.sendData(CHUNK.subarray(0, count), this.#left === 0);
    }
  }
}

class Network {
  readonly clock = new VirtualClock();
  readonly held = new HeldBytes(1024 * MIB);
  readonly client: Http2ClientConnection;
  readonly #ends = [new MemoryConnection(), new MemoryConnection()] as const;
  readonly #oneWayMs: number;

  constructor(oneWayMs: number, options: Partial<Http2Options> = {}) {
    this.#oneWayMs = oneWayMs;
    const all = { ...defaultHttp2Options, clock: this.clock, held: this.held, ...options };
    const [near, far] = this.#ends;
    const server = new Http2ServerConnection(
      far.connection,
      {
        onRequest(stream, head) {
          const source = new Source(stream, Number(head.path.slice(1)));
          stream.receiver = source;
          stream.sendHead(responseHead(200), false);
          source.onWritable();
        },
        onFault: ({ status, detail }) => ({ head: responseHead(status), body: detail }),
        onClose() {},
      },
      all,
    );
    assert.equal(server.active, 0);
    this.client = new Http2ClientConnection(near.connection, { onAvailable() {}, onClose() {} }, all);
    near.connection.resume();
    far.connection.resume();
  }

  get(octets: number, reader: Reader): { resume(): void } {
    const stream = this.client.open(requestHead({ path: `/${octets}` }), true, reader);
    reader.pause = () => stream.pause();
    return stream;
  }

  /** Lets time pass, a millisecond at a time, until the condition holds. @returns milliseconds that it took */
  async run(done: () => boolean, mostMs = 60_000): Promise<number> {
    const begin = this.clock.now();
    const [near, far] = this.#ends;
    while (!done() && this.clock.now() - begin < mostMs) {
      // What was resumed goes on in a microtask.
      await Promise.resolve();
      this.#carry(near, far);
      this.#carry(far, near);
      this.clock.advance(1);
    }
    return this.clock.now() - begin;
  }

  #carry(from: MemoryConnection, to: MemoryConnection): void {
    const bytes = from.take();
    if (bytes.length > 0) this.clock.after(this.#oneWayMs, () => to.feed(bytes));
  }
}

describe("one stream over a round trip of 50 ms", () => {
  it("is not held to its first window per round trip", async () => {
    const octets = 32 * MIB;
    const network = new Network(25);
    const reader = new Reader(Infinity);
    network.get(octets, reader);
    const ms = await network.run(() => reader.ended);
    assert.equal(reader.received, octets);
    const fixedMs = (octets / defaultHttp2Options.streamWindowBytes) * 50;
    assert.ok(ms < fixedMs / 20, `${ms} ms, with a window that does not grow ${fixedMs} ms`);
  });

  it("leaves no more than its largest window when its reader stops, and goes on afterwards", async () => {
    const octets = 64 * MIB;
    const network = new Network(25);
    const reader = new Reader(24 * MIB);
    const stream = network.get(octets, reader);
    await network.run(() => false, 3_000);
    const after = reader.received - reader.stopAt;
    assert.ok(after >= 0 && after <= STREAM_WINDOW_BYTES_MAX, `${after} octets after it had stopped`);
    assert.ok(network.held.total <= 2 * CHUNK.length, "the sender waits as well");
    reader.pause = () => {};
    stream.resume();
    await network.run(() => reader.ended);
    assert.equal(reader.received, octets);
  });

  it("or ten of them leave no more than what all may grow by", async () => {
    const network = new Network(25);
    const readers = Array.from({ length: 10 }, () => new Reader(16 * MIB));
    for (const reader of readers) network.get(64 * MIB, reader);
    await network.run(() => false, 5_000);
    const after = readers.reduce((sum, { received, stopAt }) => sum + received - stopAt, 0);
    assert.ok(readers.every(({ received, stopAt }) => received >= stopAt));
    const most = GROWTH_BYTES_MAX + 10 * defaultHttp2Options.streamWindowBytes;
    assert.ok(after <= most, `${after} octets after they had stopped`);
  });
});

describe("streams of one connection", () => {
  it("get through whatever the others do: stuck readers stop nobody else", async () => {
    const plan = fc.record({
      octets: fc.integer({ min: 1, max: 400_000 }),
      stopAt: fc.oneof(fc.constant(Infinity), fc.integer({ min: 0, max: 200_000 })),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(plan, { minLength: 1, maxLength: 12 }), fc.nat(3), async (plans, oneWayMs) => {
        // A connection's window that a single stuck stream could fill, were it counted there.
        const network = new Network(oneWayMs, { connectionWindowBytes: 70_000 });
        const readers = plans.map(({ stopAt }) => new Reader(stopAt));
        const streams = readers.map((reader, i) => network.get((plans[i] as { octets: number }).octets, reader));
        const fast = readers.filter(({ stopAt }) => stopAt === Infinity);
        await network.run(() => fast.every(({ ended }) => ended));
        assert.ok(fast.every(({ ended }) => ended));
        for (const reader of readers) reader.pause = () => {};
        for (const stream of streams) stream.resume();
        await network.run(() => readers.every(({ ended }) => ended));
        readers.forEach(({ received }, i) => assert.equal(received, plans[i]?.octets));
        assert.equal(network.held.total, 0);
      }),
      { numRuns: 50 },
    );
  });
});
