/** Whatever happens in whatever order: each request ends once, and nothing is left behind. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { RecordedResponse, requestHead } from "../../test/support/exchange-recorder.ts";
import { type ClientStream, ResetCause, type ResetCode } from "../protocol/exchange.ts";
import { FakeWorld, settled } from "./testing/fake-world.ts";

interface Opened {
  readonly stream: ClientStream;
  readonly response: RecordedResponse;
  sent: string;
  requestEnded: boolean;
  given: boolean;
}

const CODES: readonly ResetCode[] = ["refused", "cancelled", "protocol", "closed", "overflow"];

const which = fc.nat(50);
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("open" as const), body: fc.boolean(), safe: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("send" as const), which, bytes: fc.constantFrom(0, 1, 70_000) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("finish" as const), which, trailers: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("give up" as const), which }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("pause" as const), which, on: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("accept" as const), which }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("refuse" as const), which }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("answer" as const), which, end: fc.boolean(), unprocessed: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("data" as const), which, end: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("lose" as const), which, code: fc.constantFrom(...CODES) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("lose connection" as const), which }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("update" as const),
      ports: fc.subarray([1, 2, 3, 4]),
      workload: fc.constantFrom("a", "b"),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("time" as const), ms: fc.constantFrom(1, 50, 200, 1_000, 4_000) }),
  },
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

class Model {
  readonly world: FakeWorld;
  readonly opened: Opened[] = [];
  /** The final head of each exchange has been sent. */
  readonly #answered = new Set<unknown>();

  constructor(meshed: boolean, single: boolean) {
    this.world = new FakeWorld({ policy: { queueCapacity: 5, maxInFlight: 12 }, streamsMax: 3, single });
    this.#meshed = meshed;
  }
  readonly #meshed: boolean;

  run(next: Step): void {
    const { world } = this;
    switch (next.kind) {
      case "open": {
        const response = new RecordedResponse();
        const before = this.#calls(response);
        const stream = world.backend.open(requestHead(next.safe ? "GET" : "POST", "/"), !next.body, response);
        assert.equal(this.#calls(response), before, "no call from inside open");
        this.opened.push({ stream, response, sent: "", requestEnded: !next.body, given: false });
        break;
      }
      case "send": {
        const one = this.#opened(next.which);
        if (one === undefined || one.requestEnded) break;
        const text = String.fromCharCode(97 + (one.sent.length % 26)).repeat(next.bytes);
        one.sent += text;
        one.stream.sendData(Buffer.from(text), false);
        break;
      }
      case "finish": {
        const one = this.#opened(next.which);
        if (one === undefined || one.requestEnded) break;
        one.requestEnded = true;
        if (next.trailers) one.stream.sendTrailers(["t", "1"]);
        else one.stream.sendData(Buffer.alloc(0), true);
        break;
      }
      case "give up": {
        const one = this.#opened(next.which);
        if (one === undefined) break;
        one.given = !one.response.ended && one.response.reset === undefined;
        one.stream.reset(new ResetCause("cancelled", "given up"));
        break;
      }
      case "pause": {
        const one = this.#opened(next.which);
        if (next.on) one?.stream.pause();
        else one?.stream.resume();
        break;
      }
      case "accept":
        world.attempts[next.which % Math.max(1, world.attempts.length)]?.accept();
        break;
      case "refuse":
        world.attempts[next.which % Math.max(1, world.attempts.length)]?.refuse();
        break;
      case "answer": {
        const stream = this.#live(next.which);
        if (stream === undefined || this.#answered.has(stream)) break;
        this.#answered.add(stream);
        if (next.unprocessed) stream.answer(502, next.end, ["heddle-unprocessed", "1"]);
        else stream.answer(200, next.end);
        break;
      }
      case "data": {
        const stream = this.#live(next.which);
        if (stream !== undefined && this.#answered.has(stream)) stream.data("x", next.end);
        break;
      }
      case "lose":
        this.#live(next.which)?.lose(next.code);
        break;
      case "lose connection":
        world.clients[next.which % Math.max(1, world.clients.length)]?.lose("closed");
        break;
      case "update":
        world.update(...next.ports.map((port) => ({ port, workload: next.workload, meshed: this.#meshed })));
        break;
      case "time":
        world.clock.advance(next.ms);
        break;
    }
  }

  check(): void {
    const { backend, made, streams } = this.world;
    for (const { response } of this.opened) assert.equal(response.late, 0, "a call after the end");
    const unfinished = this.opened.filter(
      ({ response, given }) => !response.ended && response.reset === undefined && !given,
    );
    assert.equal(backend.inFlight, unfinished.length);
    assert.ok(backend.queued <= 5 && backend.inFlight <= 12);
    const load = made.reduce((sum, endpoint) => sum + endpoint.inFlight, 0);
    assert.ok(load <= backend.inFlight, `load ${load} of ${backend.inFlight}`);
    assert.ok(made.every((endpoint) => endpoint.inFlight >= 0));
    for (const stream of streams) {
      const whole = this.opened.some(({ sent }) => sent.startsWith(stream.sent));
      assert.ok(whole, "what went out is the beginning of what was sent, in order");
    }
  }

  async end(): Promise<void> {
    this.world.backend.close();
    await settled();
    for (const stream of this.world.streams) stream.lose("closed");
    await settled();
    this.check();
    assert.equal(this.world.backend.inFlight, 0);
    assert.equal(this.world.backend.queued, 0);
    assert.equal(this.world.attempts.length, 0);
    assert.ok(this.world.made.every((endpoint) => endpoint.inFlight === 0));
    assert.ok(this.world.clients.every((client) => !client.usable));
    assert.equal(this.world.clock.pending, 0);
  }

  #calls(response: RecordedResponse): number {
    return (
      response.chunks.length + response.interim.length + (response.reset === undefined ? 0 : 1) + response.writable
    );
  }

  #opened(index: number): Opened | undefined {
    return this.opened[index % Math.max(1, this.opened.length)];
  }

  #live(index: number): FakeWorld["streams"][number] | undefined {
    const live = this.world.streams.filter(({ over }) => !over);
    return live[index % Math.max(1, live.length)];
  }
}

describe("Backend and Dispatch, in any order of events", () => {
  for (const [name, meshed, single] of [
    ["over HTTP/1", false, false],
    ["over HTTP/2 to sidecars", true, false],
    ["with one endpoint and never another", false, true],
  ] as const) {
    it(name, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
          const model = new Model(meshed, single);
          if (single) model.world.update(1);
          for (const next of steps) {
            if (single && next.kind === "update") continue;
            model.run(next);
            await settled();
            model.check();
          }
          await model.end();
        }),
        { numRuns: 300 },
      );
    });
  }
});
