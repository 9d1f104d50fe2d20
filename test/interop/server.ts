/** The server of the interoperability tests, with grpc-js. */
import type { EventEmitter } from "node:events";
import { promisify } from "node:util";

import * as grpc from "@grpc/grpc-js";

import {
  ECHO_INITIAL,
  ECHO_TRAILING,
  type EchoStatus,
  type InputRequest,
  type InputResponse,
  type OutputRequest,
  type OutputResponse,
  payload,
  type SimpleRequest,
  type SimpleResponse,
  TestService,
} from "./protocol.ts";

type Duplex = grpc.ServerDuplexStream<OutputRequest, OutputResponse>;

/** What all kinds of calls have. */
type AnyCall = EventEmitter & Pick<grpc.ServerUnaryCall<unknown, unknown>, "getDeadline" | "metadata" | "sendMetadata">;

export interface InteropServer {
  readonly port: number;
  /** Duplex streams that are open. */
  readonly streams: ReadonlySet<Duplex>;
  /** `performance.now()` of each cancellation noticed, of any method. */
  readonly cancelledAt: readonly number[];
  /** Milliseconds that each call that had a deadline was given, as the server saw it. */
  readonly deadlinesMs: readonly number[];
  close(): void;
}

/** Starts on 127.0.0.1. @param wanted the port; 0 for a free one */
export async function startInteropServer(wanted = 0): Promise<InteropServer> {
  const streams = new Set<Duplex>();
  const cancelledAt: number[] = [];
  const deadlinesMs: number[] = [];
  const begin = (call: AnyCall): grpc.Metadata => {
    call.on("cancelled", () => cancelledAt.push(performance.now()));
    const deadline = call.getDeadline();
    if (typeof deadline === "number" && deadline !== Infinity) deadlinesMs.push(deadline - Date.now());
    const initial = call.metadata.get(ECHO_INITIAL)[0];
    if (initial !== undefined) {
      const head = new grpc.Metadata();
      head.set(ECHO_INITIAL, initial);
      call.sendMetadata(head);
    }
    const trailers = new grpc.Metadata();
    const trailing = call.metadata.get(ECHO_TRAILING)[0];
    if (trailing !== undefined) trailers.set(ECHO_TRAILING, trailing);
    return trailers;
  };
  const server = new grpc.Server();
  server.addService(TestService.service, {
    EmptyCall: (call: grpc.ServerUnaryCall<object, object>, done: grpc.sendUnaryData<object>) => {
      done(null, {}, begin(call));
    },
    UnaryCall: (
      call: grpc.ServerUnaryCall<SimpleRequest, SimpleResponse>,
      done: grpc.sendUnaryData<SimpleResponse>,
    ) => {
      const trailers = begin(call);
      const { responseStatus, responseSize = 0 } = call.request;
      if (isFailure(responseStatus)) done(failure(responseStatus, trailers));
      else done(null, { payload: payload(responseSize) }, trailers);
    },
    StreamingOutputCall: (call: grpc.ServerWritableStream<OutputRequest, OutputResponse>) => {
      void answer(call.request, call).then(() => call.end());
    },
    StreamingInputCall: (
      call: grpc.ServerReadableStream<InputRequest, InputResponse>,
      done: grpc.sendUnaryData<InputResponse>,
    ) => {
      let sum = 0;
      call.on("data", ({ payload: part }: InputRequest) => (sum += part?.body.length ?? 0));
      call.on("end", () => done(null, { aggregatedPayloadSize: sum }));
    },
    FullDuplexCall: (call: Duplex) => {
      const trailers = begin(call);
      streams.add(call);
      call.on("cancelled", () => streams.delete(call));
      // What it fails with, if it was cancelled or a test has it fail, grpc-js has told the client.
      const over = converse(call, trailers).catch(() => {});
      void over.then(() => streams.delete(call));
    },
  });
  const bind = promisify(server.bindAsync.bind(server));
  const port = await bind(`127.0.0.1:${wanted}`, grpc.ServerCredentials.createInsecure());
  return { port, streams, cancelledAt, deadlinesMs, close: () => server.forceShutdown() };
}

/** Answers each message, until the client ends or asks for a failure. */
async function converse(call: Duplex, trailers: grpc.Metadata): Promise<void> {
  // The other direction lives on when this one has ended.
  const requests = call.iterator({ destroyOnReturn: false }) as AsyncIterable<OutputRequest>;
  for await (const request of requests) {
    const { responseStatus } = request;
    if (isFailure(responseStatus)) {
      call.emit("error", failure(responseStatus, trailers));
      return;
    }
    await answer(request, call);
  }
  call.end(trailers);
}

async function answer(
  { responseParameters = [] }: OutputRequest,
  call: { write(message: OutputResponse): boolean; once(event: "drain", listener: () => void): unknown },
): Promise<void> {
  for (const { size, intervalUs = 0 } of responseParameters) {
    if (intervalUs > 0) await new Promise((resolve) => setTimeout(resolve, intervalUs / 1_000));
    if (!call.write({ payload: payload(size) })) {
      await new Promise<void>((resolve) => call.once("drain", resolve));
    }
  }
}

function isFailure(status: EchoStatus | null | undefined): status is EchoStatus {
  return status !== null && status !== undefined && status.code !== 0;
}

function failure({ code, message }: EchoStatus, metadata: grpc.Metadata): Partial<grpc.StatusObject> & Error {
  return Object.assign(new Error(message), { code, details: message, metadata });
}
