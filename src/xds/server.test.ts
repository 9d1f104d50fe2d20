import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Code, ConnectError, type ConnectRouter, type ContextValues, createContextValues } from "@connectrpc/connect";
import { create, type MessageInitShape } from "@bufbuild/protobuf";

import { until } from "../../test/support/until.ts";
import {
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
} from "./gen/envoy/service/discovery/v3/discovery_pb.ts";
import { ENDPOINTS, LISTENER } from "./resource-types.ts";
import { AdsServer, STREAMS_MAX } from "./server.ts";
import { memoryLogger } from "./testing/served-mesh.ts";
import { world } from "./testing/worlds.ts";

type Handler = (
  requests: AsyncIterable<DeltaDiscoveryRequest>,
  context: { readonly signal: AbortSignal; readonly values: ContextValues },
) => AsyncGenerator<DeltaDiscoveryResponse>;

/** The delta method as connect would call it. */
function deltaOf(server: AdsServer): Handler {
  let found: Handler | undefined;
  const router = {
    service: (_service: unknown, methods: { deltaAggregatedResources: Handler }) =>
      (found = methods.deltaAggregatedResources),
  };
  server.register(router as unknown as ConnectRouter);
  assert.ok(found);
  return found;
}

/** One call to it. */
class Call {
  readonly abort = new AbortController();
  readonly responses: AsyncGenerator<DeltaDiscoveryResponse>;
  readonly #requests: DeltaDiscoveryRequest[] = [];
  #wake = Promise.withResolvers<void>();
  #ended = false;

  constructor(delta: Handler) {
    this.responses = delta(this.#read(), { signal: this.abort.signal, values: createContextValues() });
  }

  send(request: MessageInitShape<typeof DeltaDiscoveryRequestSchema>): void {
    this.#requests.push(create(DeltaDiscoveryRequestSchema, request));
    this.#wake.resolve();
  }

  end(): void {
    this.#ended = true;
    this.#wake.resolve();
  }

  async next(): Promise<DeltaDiscoveryResponse> {
    const result = await this.responses.next();
    assert.ok(result.done !== true, "the stream has ended");
    return result.value;
  }

  async *#read(): AsyncGenerator<DeltaDiscoveryRequest> {
    for (;;) {
      yield* this.#requests.splice(0);
      if (this.#ended) return;
      await this.#wake.promise;
      this.#wake = Promise.withResolvers<void>();
    }
  }
}

const P = "price.default:80";

function setup() {
  const { logger } = memoryLogger();
  const server = new AdsServer({ logger, version: "1.2.3", now: () => new Date(1_000) });
  server.setMesh(world({ price: ["10.0.0.1"] }));
  const delta = deltaOf(server);
  return { server, delta, call: () => new Call(delta) };
}

function withCode(code: Code): (error: unknown) => boolean {
  return (error) => error instanceof ConnectError && error.code === code;
}

describe("AdsServer", () => {
  it("serves, pushes changes, and shows who is there", async () => {
    const { server, call } = setup();
    const stream = call();
    stream.send({
      node: {
        id: "a.default",
        metadata: { workload: "a", admin: "127.0.0.1:1" },
        userAgentName: "envoy",
        userAgentVersionType: { case: "userAgentVersion", value: "1.30.1" },
      },
      typeUrl: ENDPOINTS,
      resourceNamesSubscribe: [P],
    });
    const first = await stream.next();
    assert.equal(first.controlPlane?.identifier, "heddle/1.2.3");
    const next = stream.next();
    server.setMesh(world({ price: ["10.0.0.2"] }));
    assert.notEqual((await next).resources[0]?.version, first.resources[0]?.version);
    assert.deepEqual(server.nodes(), [
      {
        id: "a.default",
        identity: "",
        program: "envoy",
        version: "1.30.1",
        workload: "a",
        namespace: "",
        service: "",
        admin: "127.0.0.1:1",
        connectedSince: new Date(1_000),
        subscriptions: 1,
        acked: 0,
        nacked: 0,
        lastNack: null,
        refused: [],
      },
    ]);
    stream.end();
    assert.equal((await stream.responses.next()).done, true);
    assert.deepEqual(server.nodes(), []);
  });

  it("sends a client that is slow to read only the newest state", async () => {
    const { server, call } = setup();
    const stream = call();
    stream.send({ typeUrl: ENDPOINTS, resourceNamesSubscribe: [P] });
    await stream.next();
    for (let index = 0; index < 100; index++) server.setMesh(world({ price: [`10.0.1.${index}`] }));
    await stream.next();
    const none = stream.responses.next();
    stream.end();
    assert.equal((await none).done, true, "one response for a hundred changes");
  });

  it("ends a stream whose client has gone", async () => {
    const { server, call } = setup();
    const stream = call();
    const waiting = stream.responses.next();
    await until("it is there", () => server.nodes().length === 1);
    stream.abort.abort();
    assert.equal((await waiting).done, true);
    assert.deepEqual(server.nodes(), []);
  });

  it("ends a stream that asks for too much, with the reason", async () => {
    const stream = setup().call();
    stream.send({ typeUrl: LISTENER, resourceNamesSubscribe: ["x".repeat(2_000)] });
    await assert.rejects(stream.responses.next(), withCode(Code.InvalidArgument));
  });

  it("ends all streams when it closes, and takes no more", async () => {
    const { server, call } = setup();
    const waiting = call().responses.next();
    await until("it is there", () => server.nodes().length === 1);
    server.close();
    assert.equal((await waiting).done, true);
    await assert.rejects(call().responses.next(), withCode(Code.Unavailable));
  });

  it("takes no more streams than its bound", async () => {
    const { server, call } = setup();
    const waiting = Array.from({ length: STREAMS_MAX }, () => call().responses.next());
    assert.equal(server.nodes().length, STREAMS_MAX);
    await assert.rejects(call().responses.next(), withCode(Code.ResourceExhausted));
    server.close();
    await Promise.all(waiting);
    assert.deepEqual(server.nodes(), []);
  });
});
