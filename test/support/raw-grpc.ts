/** gRPC without a gRPC library: a client that keeps no deadlines of its own, and a server that does as it is told. */
import { once } from "node:events";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";

export const GRPC_HEADERS = { "content-type": "application/grpc", te: "trailers" };

export interface RawAnswer {
  readonly headers: http2.IncomingHttpHeaders;
  readonly trailers: http2.IncomingHttpHeaders;
  readonly body: Buffer;
  /** The error code that the stream was closed with; 0 for a proper end. */
  readonly resetCode: number;
  /** Milliseconds from the request to the end. */
  readonly tookMs: number;
}

/** One call over a connection of its own. @param body undefined: the request does not end */
export async function rawCall(
  origin: string,
  headers: http2.OutgoingHttpHeaders,
  body: Buffer | undefined,
): Promise<RawAnswer> {
  const session = http2.connect(origin);
  const begun = performance.now();
  const stream = session.request({ ":method": "POST", ":path": "/a.B/C", ...GRPC_HEADERS, ...headers });
  let answered: http2.IncomingHttpHeaders = {};
  let trailers: http2.IncomingHttpHeaders = {};
  const chunks: Buffer[] = [];
  stream.on("response", (given) => (answered = given));
  stream.on("trailers", (given) => (trailers = given));
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  stream.on("error", () => {});
  if (body !== undefined) stream.end(body);
  await once(stream, "close");
  const tookMs = performance.now() - begun;
  session.destroy();
  return { headers: answered, trailers, body: Buffer.concat(chunks), resetCode: stream.rstCode ?? 0, tookMs };
}

export interface RawServer {
  readonly port: number;
  /** Calls so far, the oldest first. */
  readonly calls: readonly RawCall[];
  /** What is done with each call. */
  answer: (call: RawCall) => void;
  close(): void;
}

export interface RawCall {
  readonly stream: http2.ServerHttp2Stream;
  readonly headers: http2.IncomingHttpHeaders;
  /** `performance.now()` of the end of the stream, and how it ended. */
  readonly closed: Promise<{ readonly at: number; readonly resetCode: number }>;
}

export async function startRawServer(): Promise<RawServer> {
  const calls: RawCall[] = [];
  const sessions = new Set<http2.ServerHttp2Session>();
  const server = http2.createServer();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
    session.on("error", () => {});
  });
  server.on("stream", (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
    stream.on("error", () => {});
    const { promise, resolve } = Promise.withResolvers<{ at: number; resetCode: number }>();
    stream.on("close", () => resolve({ at: performance.now(), resetCode: stream.rstCode ?? 0 }));
    const call = { stream, headers, closed: promise };
    calls.push(call);
    raw.answer(call);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const raw: RawServer = {
    port: (server.address() as AddressInfo).port,
    calls,
    answer: () => {},
    close: () => {
      server.close();
      for (const session of sessions) session.destroy();
    },
  };
  return raw;
}

/** A message in gRPC's frame. */
export function grpcFrame(message: Buffer, compressed = false): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(compressed ? 1 : 0, 0);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}
