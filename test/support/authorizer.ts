/** An external authorizer: a real gRPC server with Envoy's full definitions, that answers as the test says. */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";

import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

/** As proto-loader gives messages, as far as tests look at them. */
export interface CheckRequest {
  readonly attributes: {
    readonly source: { readonly address: unknown; readonly principal: string };
    readonly destination: { readonly address: unknown };
    readonly request: {
      readonly time: { readonly seconds: string };
      readonly http: {
        readonly method: string;
        readonly path: string;
        readonly host: string;
        readonly scheme: string;
        readonly protocol: string;
        readonly size: string;
        readonly headers: Readonly<Record<string, string>>;
      } | null;
    };
  };
}

export interface Authorizer {
  readonly address: string;
  readonly requests: CheckRequest[];
  /** Gives a CheckResponse; undefined: there is none, unless `later` is called with one. @throws for a gRPC error */
  answer: (request: CheckRequest, later: (said: object) => void) => object | undefined;
  stop(): void;
}

const root = dirname(createRequire(import.meta.url).resolve("@grpc/grpc-js-xds/package.json"));
const definitions = loadSync("envoy/service/auth/v3/external_auth.proto", {
  keepCase: true,
  longs: String,
  defaults: true,
  oneofs: true,
  includeDirs: ["envoy-api", "xds", "googleapis", "protoc-gen-validate"].map((name) => join(root, "deps", name)),
});

export async function startAuthorizer(context: TestContext, answer: Authorizer["answer"]): Promise<Authorizer> {
  const server = new grpc.Server();
  const service = definitions["envoy.service.auth.v3.Authorization"] as grpc.ServiceDefinition;
  const state: Authorizer = { address: "", requests: [], answer, stop: () => server.forceShutdown() };
  server.addService(service, {
    Check(call: grpc.ServerUnaryCall<CheckRequest, object>, done: grpc.sendUnaryData<object>) {
      state.requests.push(call.request);
      try {
        const said = state.answer(call.request, (late) => done(null, late));
        if (said !== undefined) done(null, said);
      } catch (error) {
        done({ code: grpc.status.INTERNAL, details: String(error) });
      }
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  context.after(() => server.forceShutdown());
  return Object.assign(state, { address: `127.0.0.1:${port}` });
}
