/** Any sequence of requests, ends and policies on real HTTP/2 codecs, against a model of who must still be there. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as fc from "fast-check";

import { responseHead } from "../../../test/support/exchange-recorder.ts";
import { frames } from "../../../test/support/http2-peer.ts";
import { MemoryConnection } from "../../../test/support/memory-connection.ts";
import { sidecar } from "../../../test/support/mesh.ts";
import { onPath, policyOf, rule } from "../../../test/support/policed.ts";
import { type InboundPolicy, openPolicy } from "../../model/inbound-policy.ts";
import { VirtualClock } from "../../net/virtual-clock.ts";
import type {
  ClientStream,
  RequestHead,
  ResetCause,
  ResponseReceiver,
  ServerConnection,
} from "../../protocol/exchange.ts";
import { CLIENT_PREFACE, Flag, FrameType } from "../../protocol/http2/frames.ts";
import { Logger } from "../../telemetry/log.ts";
import { ProxyContext } from "../context.ts";
import { type HttpContext, reviewHttp, serveHttp } from "../http-session.ts";
import { ProxyMetrics } from "../metrics.ts";
import type { HttpService } from "../service.ts";
import { settled } from "../testing/fake-world.ts";
import { Guard } from "./guard.ts";
import { GuardedService } from "./guarded-service.ts";
import { reviewRequests } from "./live-requests.ts";

const PATHS = ["/a", "/b", "/c"] as const;
type Path = (typeof PATHS)[number];

/** Takes everything, and answers when the test says. */
class Application implements HttpService {
  readonly opened: { readonly head: RequestHead; readonly receiver: ResponseReceiver; reset: boolean }[] = [];

  open(head: RequestHead, _end: boolean, receiver: ResponseReceiver): ClientStream {
    const call = { head, receiver, reset: false };
    this.opened.push(call);
    return {
      sendData: () => true,
      sendTrailers() {},
      reset: (_cause: ResetCause) => void (call.reset = true),
      pause() {},
      resume() {},
    };
  }
}

interface Request {
  readonly path: Path;
  readonly on: Line;
  readonly id: number;
  readonly call: Application["opened"][number];
  answered: boolean;
}

/** One connection, with the ids of the streams that its peer has seen the end of. */
interface Line {
  readonly peer: MemoryConnection;
  readonly codec: ServerConnection;
  readonly over: Set<number>;
  nextId: number;
}

class Port {
  readonly application = new Application();
  readonly #lines: Line[] = [];
  readonly #guard: Guard;
  readonly #http: HttpContext;
  readonly #metrics = new ProxyMetrics();
  #watcher: ((policy: InboundPolicy) => void) | undefined;

  constructor(lines: number) {
    const clock = new VirtualClock();
    const logger = new Logger({ level: "error", format: "plain", sink: { write: () => true } });
    const source = {
      current: openPolicy,
      watch: (listener: (policy: InboundPolicy) => void) => {
        this.#watcher = listener;
        return () => {};
      },
    };
    const context = new ProxyContext(sidecar("price-1", {}), clock, Math.random, this.#metrics, logger, source);
    const guard = new Guard({ service: "price", port: 80 }, context);
    this.#guard = guard;
    this.#http = {
      speaker: { direction: "inbound", workload: "price-1.shop" },
      metrics: this.#metrics,
      logger,
      clock,
      service: this.application,
      guard: {
        get open() {
          return guard.open;
        },
        shut: false,
        serviceFor: (connection) => new GuardedService(guard, connection, this.application),
        review: (connection, exchanges) => reviewRequests(guard, connection, exchanges),
      },
    };
    for (let i = 0; i < lines; i++) this.#lines.push(this.#line());
  }

  get terminated(): number {
    const text = this.#metrics.registry.expose();
    return [...text.matchAll(/^inbound_http_authz_terminate_total\{.*\} (\d+)$/gm)].reduce(
      (n, [, v]) => n + Number(v),
      0,
    );
  }

  line(number: number): Line {
    return this.#lines[number % this.#lines.length] as Line;
  }

  set(policy: InboundPolicy): void {
    this.#watcher?.(policy);
    for (const { codec, peer } of this.#lines) reviewHttp(codec, peer.connection, this.#http);
  }

  /** Asks; undefined if the application does not hear of it. */
  ask(on: Line, path: Path): Request | undefined {
    const id = on.nextId;
    on.nextId += 2;
    const before = this.application.opened.length;
    const fields = [":method", "GET", ":scheme", "http", ":path", path, ":authority", "price"];
    on.peer.feed(frames.headers(id, fields));
    const call = this.application.opened[before];
    return call === undefined ? undefined : { path, on, id, call, answered: false };
  }

  /** What the peers have been sent since. */
  async look(): Promise<void> {
    await settled();
    for (const { peer, over } of this.#lines) {
      const bytes = peer.take();
      for (let at = 0; at < bytes.length; at += 9 + bytes.readUIntBE(at, 3)) {
        const type = bytes[at + 3] as number;
        const ends = ((bytes[at + 4] as number) & Flag.endStream) !== 0;
        const carries = type === FrameType.headers || type === FrameType.data;
        if (type === FrameType.rstStream || (carries && ends)) over.add(bytes.readUInt32BE(at + 5));
      }
    }
  }

  close(): void {
    this.#guard.close();
    for (const { codec } of this.#lines) codec.destroy();
  }

  #line(): Line {
    const peer = new MemoryConnection();
    const codec = serveHttp(peer.connection, "http2", this.#http, () => {});
    peer.connection.resume();
    peer.feed(Buffer.concat([Buffer.from(CLIENT_PREFACE), frames.settings()]));
    peer.take();
    return { peer, codec, over: new Set(), nextId: 1 };
  }
}

function allowing(paths: readonly Path[]): InboundPolicy {
  if (paths.length === PATHS.length) return openPolicy;
  return policyOf(
    "deny",
    paths.map((path) => rule("allow", path.slice(1), onPath(path))),
  );
}

type Step =
  | { readonly kind: "ask"; readonly line: number; readonly path: Path }
  | { readonly kind: "answer" | "end" | "leave"; readonly which: number }
  | { readonly kind: "policy"; readonly paths: readonly Path[] };

const path = fc.constantFrom(...PATHS);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("ask" as const), line: fc.nat(2), path }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom("answer", "end", "leave"), which: fc.nat(1_000) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("policy" as const), paths: fc.subarray([...PATHS]) }) },
);

describe("requests under way", () => {
  it("are cut exactly if the policy does not let them in, whatever comes in whatever order, and nothing is kept", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const port = new Port(3);
        let allowed: readonly Path[] = PATHS;
        let live: Request[] = [];
        let cuts = 0;
        for (const one of steps) {
          if (one.kind === "ask") {
            const on = port.line(one.line);
            const request = port.ask(on, one.path);
            assert.equal(request !== undefined, allowed.includes(one.path));
            if (request !== undefined) live.push(request);
          } else if (one.kind === "policy") {
            allowed = one.paths;
            port.set(allowing(allowed));
            const cut = live.filter((request) => !allowed.includes(request.path));
            live = live.filter((request) => allowed.includes(request.path));
            cuts += cut.length;
            await port.look();
            for (const { call, on, id } of cut) assert.deepEqual([call.reset, on.over.has(id)], [true, true]);
          } else {
            const [request] = live.splice(one.which % Math.max(1, live.length), 1);
            if (request === undefined) continue;
            const { call, on, id } = request;
            if (one.kind === "leave") {
              on.peer.feed(frames.reset(id, 8));
              assert.ok(call.reset);
            } else if (request.answered) {
              call.receiver.onData(Buffer.alloc(0), true);
            } else {
              call.receiver.onHead(responseHead(200), one.kind === "end");
              request.answered = true;
              if (one.kind === "answer") live.push(request);
            }
          }
          await port.look();
          for (const { call, on, id } of live) assert.deepEqual([call.reset, on.over.has(id)], [false, false]);
          for (let line = 0; line < 3; line++) {
            const on = port.line(line);
            assert.equal(on.codec.receivers().length, live.filter((request) => request.on === on).length);
          }
        }
        assert.equal(port.terminated, cuts);
        port.close();
      }),
      { numRuns: 150 },
    );
  });
});
