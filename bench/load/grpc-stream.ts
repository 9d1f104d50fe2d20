/** Many small gRPC messages on long streams, in a closed loop: each stream sends its next one when the last is back. */
import type { Socket } from "node:net";

import { GRPC_MESSAGE, GRPC_PATH } from "./grpc-call.ts";
import { END_HEADERS, END_STREAM, Frame, frame, type FrameHandler, headerBlock, Http2Peer } from "./http2-peer.ts";
import type { LoadResult } from "./load.ts";
import { connect } from "./sockets.ts";

export const STREAM_CONNECTIONS = 8;
export const STREAMS = 10;

/** How long the last messages and the trailers may take. */
const ENDING_TIMEOUT_MS = 2_000;

const REQUEST = headerBlock(
  ...[":method", "POST", ":scheme", "http", ":path", GRPC_PATH, ":authority", "bench"],
  ...["content-type", "application/grpc", "te", "trailers"],
);

/** Each stream sends its next message when the last has come back; at the end all are closed in good order. */
export async function grpcStreamLoad(port: number, seconds: number): Promise<LoadResult> {
  let failures = 0;
  let ending = false;
  const connections = await Promise.all(
    Array.from({ length: STREAM_CONNECTIONS }, () =>
      StreamingConnection.open(port, () => (failures += ending ? 0 : 1)),
    ),
  );
  const begun = performance.now();
  for (const connection of connections) connection.begin();
  await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
  const took = (performance.now() - begun) / 1_000;
  const echoed = connections.reduce((sum, connection) => sum + connection.echoed, 0);
  ending = true;
  const unended = await Promise.all(connections.map((connection) => connection.end()));
  return { requests: echoed, rate: echoed / took, failures: failures + unended.reduce((sum, count) => sum + count, 0) };
}

class StreamingConnection implements FrameHandler {
  /** Messages that came back. */
  echoed = 0;
  readonly #socket: Socket;
  readonly #peer: Http2Peer;
  /** By stream. */
  readonly #messages = new Map<number, Buffer>();
  /** Bytes of the message under way that have come back, by stream: a proxy may cut DATA as it likes. */
  readonly #partial = new Map<number, number>();
  readonly #ended = Promise.withResolvers<void>();
  #ending = false;

  static async open(port: number, onLost: () => void): Promise<StreamingConnection> {
    let opened: StreamingConnection | undefined;
    const socket = await connect(
      port,
      (chunk) => opened?.push(chunk),
      () => {
        opened?.lost();
        onLost();
      },
    );
    opened = new StreamingConnection(socket);
    return opened;
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#peer = new Http2Peer(socket, "client", this);
  }

  push(chunk: Buffer): void {
    this.#peer.push(chunk);
  }

  lost(): void {
    this.#ended.resolve();
  }

  begin(): void {
    for (let stream = 0; stream < STREAMS; stream++) {
      const id = 1 + 2 * stream;
      const message = frame(Frame.data, 0, id, GRPC_MESSAGE);
      this.#messages.set(id, message);
      this.#partial.set(id, 0);
      this.#peer.sendHeaders(frame(Frame.headers, END_HEADERS, id, REQUEST));
      this.#peer.sendData(message);
    }
    this.#peer.flush();
  }

  /** @returns how many streams did not end as they should */
  async end(): Promise<number> {
    this.#ending = true;
    for (const id of this.#messages.keys()) this.#peer.sendData(frame(Frame.data, END_STREAM, id, Buffer.alloc(0)));
    this.#peer.flush();
    const timer = setTimeout(this.#ended.resolve, ENDING_TIMEOUT_MS);
    await this.#ended.promise;
    clearTimeout(timer);
    this.#socket.destroy();
    return this.#messages.size;
  }

  onFrame(type: number, flags: number, id: number, payload: Buffer): void {
    if (type === Frame.data) this.#onData(id, payload.length);
    // The answer's head does not end the stream, its trailers do.
    if (type !== Frame.headers || (flags & END_STREAM) === 0 || !this.#ending) return;
    this.#messages.delete(id);
    if (this.#messages.size === 0) this.#ended.resolve();
  }

  #onData(id: number, bytes: number): void {
    const message = this.#messages.get(id);
    const came = (this.#partial.get(id) ?? 0) + bytes;
    const whole = message !== undefined && came >= GRPC_MESSAGE.length;
    this.#partial.set(id, whole ? 0 : came);
    if (!whole) return;
    this.echoed++;
    if (!this.#ending) this.#peer.sendData(message);
  }
}
