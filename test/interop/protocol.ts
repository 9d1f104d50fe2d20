/** The interoperability service as grpc-js sees it: what `test.proto` comes to in TypeScript. */
import { join } from "node:path";

import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

export interface Payload {
  readonly body: Buffer;
}

export interface EchoStatus {
  readonly code: number;
  readonly message: string;
}

export interface SimpleRequest {
  readonly responseSize?: number;
  readonly payload?: Payload | null;
  readonly responseStatus?: EchoStatus | null;
}

export interface SimpleResponse {
  readonly payload: Payload | null;
}

export interface InputRequest {
  readonly payload: Payload | null;
}

export interface InputResponse {
  readonly aggregatedPayloadSize: number;
}

export interface OutputRequest {
  readonly responseParameters?: readonly { readonly size: number; readonly intervalUs?: number }[];
  readonly payload?: Payload | null;
  readonly responseStatus?: EchoStatus | null;
}

export interface OutputResponse {
  readonly payload: Payload | null;
}

type Callback<T> = (error: grpc.ServiceError | null, value?: T) => void;
type Unary<Q, A> = (
  request: Q,
  metadata: grpc.Metadata,
  options: grpc.CallOptions,
  callback: Callback<A>,
) => grpc.ClientUnaryCall;

/** The generated clients, as far as they are used. */
export interface UnimplementedClient extends grpc.Client {
  unimplementedCall: Unary<object, object>;
}

export interface TestClient extends UnimplementedClient {
  emptyCall: Unary<object, object>;
  unaryCall: Unary<SimpleRequest, SimpleResponse>;
  streamingOutputCall(request: OutputRequest): grpc.ClientReadableStream<OutputResponse>;
  streamingInputCall(callback: Callback<InputResponse>): grpc.ClientWritableStream<InputRequest> & grpc.ClientUnaryCall;
  fullDuplexCall(
    metadata?: grpc.Metadata,
    options?: grpc.CallOptions,
  ): grpc.ClientDuplexStream<OutputRequest, OutputResponse>;
}

type Constructor<T> = (new (...args: ConstructorParameters<typeof grpc.Client>) => T) & {
  readonly service: grpc.ServiceDefinition;
};

const { testing } = (
  grpc.loadPackageDefinition(loadSync(join(import.meta.dirname, "test.proto"), { defaults: true })) as unknown as {
    grpc: {
      testing: { TestService: Constructor<TestClient>; UnimplementedService: Constructor<UnimplementedClient> };
    };
  }
).grpc;

export const { TestService, UnimplementedService } = testing;

/** Metadata that a server gives back as it got it: in its head, and in its trailers. */
export const ECHO_INITIAL = "x-grpc-test-echo-initial";
export const ECHO_TRAILING = "x-grpc-test-echo-trailing-bin";

export function payload(size: number): Payload {
  return { body: Buffer.alloc(size) };
}
