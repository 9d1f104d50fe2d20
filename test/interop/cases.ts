/**
 * The client's part of the gRPC project's interoperability tests ("interop-test-descriptions"), with grpc-js: what is
 * sent, and what has to come back.
 */
import assert from "node:assert/strict";
import { once } from "node:events";

import * as grpc from "@grpc/grpc-js";

import {
  ECHO_INITIAL,
  ECHO_TRAILING,
  type OutputRequest,
  type OutputResponse,
  payload,
  TestService,
  type TestClient,
  UnimplementedService,
} from "./protocol.ts";

const LARGE_REQUEST = 271_828;
const LARGE_RESPONSE = 314_159;
const REQUEST_SIZES = [27_182, 8, 1_828, 45_904];
const RESPONSE_SIZES = [31_415, 9, 2_653, 58_979];
const STATUS_MESSAGE = "test status message";
const SPECIAL_MESSAGE = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \u{1f608}\t\n";
const INITIAL_VALUE = "test_initial_metadata_value";
const TRAILING_VALUE = Buffer.from([0xab, 0xab, 0xab]);

interface Outcome<T> {
  readonly value: T | undefined;
  readonly status: grpc.StatusObject;
  readonly initial: grpc.Metadata;
}

type UnaryMethod<Q, A> = (
  request: Q,
  metadata: grpc.Metadata,
  options: grpc.CallOptions,
  callback: (error: grpc.ServiceError | null, value?: A) => void,
) => grpc.ClientUnaryCall;

/** Makes a unary call and waits for all of its parts. */
function unary<Q, A>(method: UnaryMethod<Q, A>, request: Q, metadata = new grpc.Metadata()): Promise<Outcome<A>> {
  return new Promise((resolve) => {
    let value: A | undefined;
    let initial = new grpc.Metadata();
    const call = method(request, metadata, {}, (_error, given) => (value = given));
    call.on("metadata", (given: grpc.Metadata) => (initial = given));
    call.on("status", (status: grpc.StatusObject) => setImmediate(() => resolve({ value, status, initial })));
  });
}

function ok({ status }: { readonly status: grpc.StatusObject }): void {
  assert.equal(status.code, grpc.status.OK, status.details);
}

/** The status that a stream ends with; its error event says the same and needs a listener. */
function statusOf(call: grpc.ClientDuplexStream<OutputRequest, OutputResponse>): Promise<grpc.StatusObject> {
  call.on("error", () => {});
  call.resume();
  return new Promise((resolve) => call.once("status", resolve));
}

function echoed(): grpc.Metadata {
  const metadata = new grpc.Metadata();
  metadata.set(ECHO_INITIAL, INITIAL_VALUE);
  metadata.set(ECHO_TRAILING, TRAILING_VALUE);
  return metadata;
}

function assertEchoed(initial: grpc.Metadata, trailing: grpc.Metadata): void {
  assert.deepEqual(initial.get(ECHO_INITIAL), [INITIAL_VALUE]);
  assert.deepEqual(trailing.get(ECHO_TRAILING), [TRAILING_VALUE]);
}

const echo: (client: TestClient, code: number, message: string) => Promise<void> = async (client, code, message) => {
  const responseStatus = { code, message };
  const { status } = await unary(client.unaryCall.bind(client), { responseStatus });
  assert.deepEqual([status.code, status.details], [code, message]);
};

export const cases: Record<string, (client: TestClient) => Promise<void>> = {
  empty_unary: async (client) => {
    const outcome = await unary(client.emptyCall.bind(client), {});
    ok(outcome);
    assert.deepEqual(outcome.value, {});
  },

  large_unary: async (client) => {
    const request = { responseSize: LARGE_RESPONSE, payload: payload(LARGE_REQUEST) };
    const outcome = await unary(client.unaryCall.bind(client), request);
    ok(outcome);
    assert.deepEqual(outcome.value?.payload?.body, Buffer.alloc(LARGE_RESPONSE));
  },

  client_streaming: (client) =>
    new Promise((resolve, reject) => {
      const call = client.streamingInputCall((error, sum) => {
        if (error !== null) return reject(error);
        assert.equal(sum?.aggregatedPayloadSize, 74_922);
        resolve();
      });
      for (const size of REQUEST_SIZES) call.write({ payload: payload(size) });
      call.end();
    }),

  server_streaming: async (client) => {
    const call = client.streamingOutputCall({ responseParameters: RESPONSE_SIZES.map((size) => ({ size })) });
    const sizes: number[] = [];
    for await (const { payload: part } of call as AsyncIterable<OutputResponse>) sizes.push(part?.body.length ?? -1);
    assert.deepEqual(sizes, RESPONSE_SIZES);
  },

  ping_pong: async (client) => {
    const call = client.fullDuplexCall();
    const answers = (call as AsyncIterable<OutputResponse>)[Symbol.asyncIterator]();
    for (const [i, size] of REQUEST_SIZES.entries()) {
      const wanted = RESPONSE_SIZES[i] as number;
      call.write({ responseParameters: [{ size: wanted }], payload: payload(size) });
      const { value } = (await answers.next()) as { value: OutputResponse | undefined };
      assert.equal(value?.payload?.body.length, wanted);
    }
    call.end();
    assert.equal((await answers.next()).done, true);
  },

  empty_stream: async (client) => {
    const call = client.fullDuplexCall();
    call.end();
    for await (const message of call as AsyncIterable<OutputResponse>) assert.fail(`got ${JSON.stringify(message)}`);
  },

  custom_metadata: async (client) => {
    const request = { responseSize: LARGE_RESPONSE, payload: payload(LARGE_REQUEST) };
    const outcome = await unary(client.unaryCall.bind(client), request, echoed());
    ok(outcome);
    assertEchoed(outcome.initial, outcome.status.metadata);
    const call = client.fullDuplexCall(echoed());
    const head = once(call, "metadata") as Promise<[grpc.Metadata]>;
    const end = statusOf(call);
    call.end({ responseParameters: [{ size: LARGE_RESPONSE }], payload: payload(LARGE_REQUEST) });
    const status = await end;
    ok({ status });
    assertEchoed((await head)[0], status.metadata);
  },

  status_code_and_message: async (client) => {
    await echo(client, grpc.status.UNKNOWN, STATUS_MESSAGE);
    const call = client.fullDuplexCall();
    const end = statusOf(call);
    call.write({ responseStatus: { code: grpc.status.UNKNOWN, message: STATUS_MESSAGE } });
    call.end();
    const status = await end;
    assert.deepEqual([status.code, status.details], [grpc.status.UNKNOWN, STATUS_MESSAGE]);
  },

  special_status_message: (client) => echo(client, grpc.status.UNKNOWN, SPECIAL_MESSAGE),

  unimplemented_method: async (client) => {
    const { status } = await unary(client.unimplementedCall.bind(client), {});
    assert.equal(status.code, grpc.status.UNIMPLEMENTED);
  },

  unimplemented_service: async (client) => {
    const other = new UnimplementedService("unused", grpc.credentials.createInsecure(), {
      channelOverride: client.getChannel(),
    });
    const { status } = await unary(other.unimplementedCall.bind(other), {});
    assert.equal(status.code, grpc.status.UNIMPLEMENTED);
  },

  cancel_after_begin: (client) =>
    new Promise((resolve, reject) => {
      const call = client.streamingInputCall((error) => {
        if (error?.code === grpc.status.CANCELLED) resolve();
        else reject(error ?? new Error("it was answered"));
      });
      setImmediate(() => call.cancel());
    }),

  cancel_after_first_response: async (client) => {
    const call = client.fullDuplexCall();
    call.write({ responseParameters: [{ size: 31_415 }], payload: payload(27_182) });
    call.once("data", () => call.cancel());
    assert.equal((await statusOf(call)).code, grpc.status.CANCELLED);
  },

  timeout_on_sleeping_server: async (client) => {
    const call = client.fullDuplexCall(new grpc.Metadata(), { deadline: Date.now() + 1 });
    call.write({ payload: payload(27_182) });
    assert.equal((await statusOf(call)).code, grpc.status.DEADLINE_EXCEEDED);
  },
};

/** @param authority what the client says it calls; by default, the address */
export function connectInterop(address: string, authority?: string, options: grpc.ChannelOptions = {}): TestClient {
  return new TestService(address, grpc.credentials.createInsecure(), {
    // So that two clients of one address do not share a connection.
    "grpc.use_local_subchannel_pool": 1,
    ...(authority === undefined ? {} : { "grpc.default_authority": authority }),
    ...options,
  });
}
