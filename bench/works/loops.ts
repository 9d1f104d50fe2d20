/** The closed loops: what goes through the subjects, how much at once, and against whom it is measured. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import type { Bench } from "../bench.ts";
import { checkGrpc, GRPC_MESSAGE, GRPC_PATH } from "../load/grpc-call.ts";
import { grpcStreamLoad, STREAM_CONNECTIONS, STREAMS } from "../load/grpc-stream.ts";
import { H2_CONNECTIONS, H2_STREAMS, h2load, type H2loadShape } from "../load/h2load.ts";
import { MESSAGE_BYTES, webSocketLoad, WEBSOCKETS } from "../load/websocket.ts";
import { wrk, type WrkShape } from "../load/wrk.ts";
import type { Options } from "../options.ts";
import { PAIRS_MIN } from "../report.ts";
import { BODY_BYTES } from "../subjects/backend.ts";
import { ENVOY, HAPROXY, NGHTTPX } from "../subjects/names.ts";
import type { Traffic } from "../subjects/subject.ts";
import type { ClosedLoop, Load } from "./closed.ts";

const CONNECTIONS = 32;
/** The bars of the project for one sidecar. */
const FASTEST_PEER_MAX = 1.25;
const ENVOY_MAX = 0.6;
const MIB_BODY_MAX = 1.5;

/** @returns no loops where a generator is missing */
export type Loops = (bench: Bench) => readonly ClosedLoop[];

const overHttp1 = { traffic: "http1", peers: [HAPROXY, ENVOY], unit: "req" } as const;
const overHttp2 = { peers: [NGHTTPX, ENVOY], unit: "req" } as const;
const http2Shape = `${H2_CONNECTIONS} connections × ${H2_STREAMS} streams`;

/** What bars hang on has the run's blocks and seconds. */
export function careful({ blocks, seconds, quick }: Options): Pick<ClosedLoop, "blocks" | "seconds" | "warmUp"> {
  return { blocks, seconds, warmUp: quick ? 1 : 4 };
}

/** The rest is content with less: the fewest blocks that can decide anything. */
export function brief({ blocks, quick }: Options): Pick<ClosedLoop, "blocks" | "seconds" | "warmUp"> {
  return { blocks: Math.min(blocks, PAIRS_MIN), seconds: 1, warmUp: quick ? 1 : 2 };
}

export const http1: Loops = (bench) =>
  withWrk(bench, { connections: CONNECTIONS, path: "/" }, (load) => ({
    ...overHttp1,
    ...careful(bench.options),
    name: "http1",
    title: `HTTP/1, ${BODY_BYTES} B body (wrk, ${CONNECTIONS} connections)`,
    bars: [
      { peer: HAPROXY, limit: FASTEST_PEER_MAX },
      { peer: ENVOY, limit: ENVOY_MAX },
    ],
    load,
  }));

export const http2: Loops = (bench) =>
  withH2load(bench, { path: "/" }, (load) => ({
    ...overHttp2,
    ...careful(bench.options),
    name: "http2",
    title: `HTTP/2, ${BODY_BYTES} B body (h2load, ${http2Shape})`,
    traffic: "http2" satisfies Traffic,
    bars: [
      { peer: NGHTTPX, limit: FASTEST_PEER_MAX },
      { peer: ENVOY, limit: ENVOY_MAX },
    ],
    load,
  }));

export const grpc: Loops = (bench) => {
  const body = join(bench.folder, "grpc-message");
  writeFileSync(body, GRPC_MESSAGE);
  const headers = ["content-type: application/grpc", "te: trailers"];
  return withH2load(bench, { path: GRPC_PATH, headers, body }, (load) => ({
    ...overHttp2,
    ...careful(bench.options),
    name: "grpc",
    title: `gRPC unary, ${GRPC_MESSAGE.length} B echoed (h2load, ${http2Shape})`,
    traffic: "grpc" satisfies Traffic,
    bars: [
      { peer: NGHTTPX, limit: FASTEST_PEER_MAX },
      { peer: ENVOY, limit: ENVOY_MAX },
    ],
    load,
    check: checkGrpc,
  }));
};

export const stream: Loops = ({ options }) => [
  {
    ...brief(options),
    name: "stream",
    title: `gRPC streaming, messages of ${GRPC_MESSAGE.length} B echoed one by one (${STREAM_CONNECTIONS} connections × ${STREAMS} streams)`,
    traffic: "grpc",
    unit: "message",
    peers: [NGHTTPX, ENVOY],
    load: grpcStreamLoad,
    check: checkGrpc,
  },
];

export const websocket: Loops = ({ options }) => [
  {
    ...brief(options),
    name: "websocket",
    title: `WebSocket, messages of ${MESSAGE_BYTES} B echoed one by one (${WEBSOCKETS} connections)`,
    traffic: "websocket",
    unit: "message",
    peers: [HAPROXY, ENVOY],
    load: webSocketLoad,
  },
];

export const bodies: Loops = (bench) => [
  ...withWrk(bench, { connections: CONNECTIONS, path: "/16k" }, (load) => ({
    ...overHttp1,
    ...brief(bench.options),
    name: "bodies of 16 KiB",
    title: `HTTP/1, 16 KiB body (wrk, ${CONNECTIONS} connections)`,
    load,
  })),
  ...withWrk(bench, { connections: 8, path: "/1m" }, (load) => ({
    ...overHttp1,
    ...brief(bench.options),
    name: "bodies of 1 MiB",
    title: "HTTP/1, 1 MiB body (wrk, 8 connections)",
    unit: "MiB",
    bars: [{ peer: HAPROXY, limit: MIB_BODY_MAX }],
    load,
  })),
];

export const connections: Loops = (bench) =>
  [1, 64, 1_024].flatMap((count) =>
    withWrk(bench, { connections: count, path: "/" }, (load) => ({
      ...overHttp1,
      ...brief(bench.options),
      name: `${count} connections`,
      title: `HTTP/1, ${BODY_BYTES} B body over ${count} connection${count === 1 ? "" : "s"} (wrk)`,
      load,
    })),
  );

export const churn: Loops = (bench) =>
  withWrk(bench, { connections: CONNECTIONS, path: "/", churn: true }, (load) => ({
    ...overHttp1,
    ...brief(bench.options),
    name: "churn",
    title: `HTTP/1, a new connection for each request (wrk, Connection: close, ${CONNECTIONS} at once)`,
    unit: "connection",
    load,
  }));

function withWrk({ tools }: Bench, shape: WrkShape, loop: (load: Load) => ClosedLoop): ClosedLoop[] {
  const program = tools.path("wrk");
  return program === undefined ? [] : [loop((port, seconds) => wrk(program, port, seconds, shape))];
}

function withH2load({ tools }: Bench, shape: H2loadShape, loop: (load: Load) => ClosedLoop): ClosedLoop[] {
  const program = tools.path("h2load");
  return program === undefined ? [] : [loop((port, seconds) => h2load(program, port, seconds, shape))];
}
