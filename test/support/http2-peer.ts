/** A peer that speaks HTTP/2 frame by frame, right or wrong, as a test tells it. */
import { once } from "node:events";
import net from "node:net";

import { acceptConnection, connect, type Connection } from "../../src/net/connection.ts";
import type {
  BodyReceiver,
  HeaderList,
  ProtocolFault,
  RequestHead,
  ResetCause,
  ResponseHead,
  ResponseReceiver,
  ServerStream,
} from "../../src/protocol/exchange.ts";
import { Http2ClientConnection } from "../../src/protocol/http2/client.ts";
import { CLIENT_PREFACE, errorName, Flag, FrameType, readUint32 } from "../../src/protocol/http2/frames.ts";
import { HpackDecoder } from "../../src/protocol/http2/hpack/decoder.ts";
import { writeInteger } from "../../src/protocol/http2/hpack/integer.ts";
import { defaultHttp2Options, type Http2ClientOptions, type Http2Options } from "../../src/protocol/http2/options.ts";
import { Http2ServerConnection } from "../../src/protocol/http2/server.ts";
import { until } from "./until.ts";

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

const NOTHING = Buffer.alloc(0);

/** A frame as bytes. @param length what the header says, if not the truth */
export function frame(
  type: number,
  flags: number,
  streamId: number,
  payload: Uint8Array = NOTHING,
  length = payload.length,
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

export function uint32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => bytes.writeUInt32BE(value >>> 0, 4 * i));
  return bytes;
}

/** A header block of raw literals, never indexed, so it means the same at any time. */
export function headerBlock(...fields: string[]): Buffer {
  const size = fields.reduce((sum, text) => sum + text.length + 8, 0);
  const block = Buffer.alloc(size);
  let at = 0;
  fields.forEach((text, i) => {
    if (i % 2 === 0) block[at++] = 0;
    at = writeInteger(block, at, 7, 0, text.length);
    at += block.write(text, at, "latin1");
  });
  return block.subarray(0, at);
}

export const GET = [":method", "GET", ":scheme", "http", ":path", "/", ":authority", "a.example"];
export const POST = [":method", "POST", ":scheme", "http", ":path", "/", ":authority", "a.example"];

export const frames = {
  headers: (streamId: number, fields: readonly string[], flags: number = Flag.endHeaders | Flag.endStream): Buffer =>
    frame(FrameType.headers, flags, streamId, headerBlock(...fields)),
  data: (streamId: number, content: string | Uint8Array, flags: number = Flag.none): Buffer =>
    frame(FrameType.data, flags, streamId, typeof content === "string" ? Buffer.from(content) : content),
  settings: (...pairs: [number, number][]): Buffer =>
    frame(
      FrameType.settings,
      0,
      0,
      Buffer.concat(pairs.map(([id, value]) => Buffer.concat([Buffer.from([id >> 8, id]), uint32(value)]))),
    ),
  settingsAck: (): Buffer => frame(FrameType.settings, Flag.ack, 0),
  ping: (payload = "01234567", flags: number = Flag.none): Buffer =>
    frame(FrameType.ping, flags, 0, Buffer.from(payload)),
  windowUpdate: (streamId: number, increment: number): Buffer =>
    frame(FrameType.windowUpdate, 0, streamId, uint32(increment)),
  reset: (streamId: number, code: number): Buffer => frame(FrameType.rstStream, 0, streamId, uint32(code)),
  goaway: (lastStreamId: number, code: number): Buffer => frame(FrameType.goaway, 0, 0, uint32(lastStreamId, code)),
  continuation: (streamId: number, block: Uint8Array, flags: number = Flag.none): Buffer =>
    frame(FrameType.continuation, flags, streamId, block),
};

/** The other end of the wire: what it received, frame by frame. */
export class RawPeer {
  readonly frames: Frame[] = [];
  readonly socket: net.Socket;
  closed = false;
  #input = Buffer.alloc(0);
  readonly #decoder = new HpackDecoder();
  #preface: number;

  /** @param afterPreface the other side is a client */
  constructor(socket: net.Socket, afterPreface: boolean) {
    this.socket = socket;
    this.#preface = afterPreface ? CLIENT_PREFACE.length : 0;
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("error", () => {});
    socket.on("end", () => (this.closed = true));
    socket.on("close", () => (this.closed = true));
  }

  send(...bytes: Uint8Array[]): void {
    this.socket.write(Buffer.concat(bytes));
  }

  of(type: number, streamId?: number): Frame[] {
    return this.frames.filter((each) => each.type === type && (streamId === undefined || each.streamId === streamId));
  }

  /** Waits for a frame of this type. */
  async next(type: number, streamId?: number): Promise<Frame> {
    await until(
      `a frame of type ${type}${streamId === undefined ? "" : ` on ${streamId}`}`,
      () => this.of(type, streamId).length > 0,
    );
    return this.of(type, streamId)[0] as Frame;
  }

  /** Everything sent before has been looked at: a PING has come back. */
  async settled(): Promise<void> {
    const answers = (): number => this.of(FrameType.ping).filter((each) => each.flags === Flag.ack).length;
    const before = answers();
    this.send(frames.ping());
    await until("a PING came back", () => answers() > before);
  }

  /** The error code of the GOAWAY that ended the connection, by name. */
  async goaway(): Promise<string> {
    return errorName(readUint32((await this.next(FrameType.goaway)).payload, 4));
  }

  /** The error code of the RST_STREAM on this stream, by name. */
  async reset(streamId: number): Promise<string> {
    return errorName(readUint32((await this.next(FrameType.rstStream, streamId)).payload, 0));
  }

  /** Content received on a stream. */
  content(streamId: number): string {
    return this.of(FrameType.data, streamId)
      .map((each) => each.payload.toString("latin1"))
      .join("");
  }

  /** Fields of a HEADERS frame. Must be called for each, in their order, since they share a table. */
  fields(head: Frame): string[] {
    const fields: string[] = [];
    const error = this.#decoder.decode(head.payload, 0, head.payload.length, {
      onField: (name, value) => void fields.push(name, value),
    });
    if (error !== undefined) throw new Error(error);
    return fields;
  }

  #read(chunk: Buffer): void {
    this.#input = Buffer.concat([this.#input, chunk]);
    if (this.#preface > 0) {
      if (this.#input.length < this.#preface) return;
      this.#input = this.#input.subarray(this.#preface);
      this.#preface = 0;
    }
    while (this.#input.length >= 9) {
      const length = this.#input.readUIntBE(0, 3);
      if (this.#input.length < 9 + length) return;
      this.frames.push({
        type: this.#input[3] as number,
        flags: this.#input[4] as number,
        streamId: this.#input.readUInt32BE(5),
        payload: Buffer.from(this.#input.subarray(9, 9 + length)),
      });
      this.#input = this.#input.subarray(9 + length);
    }
  }
}

/** Writes down what a receiver is told. */
export class Recorder implements ResponseReceiver {
  heads: ResponseHead[] = [];
  content = Buffer.alloc(0);
  ended = false;
  trailers: HeaderList | undefined;
  resets: ResetCause[] = [];
  writable = 0;

  onHead(head: ResponseHead, end: boolean): void {
    this.heads.push(head);
    this.ended ||= end;
  }

  onData(chunk: Buffer, end: boolean): void {
    this.content = Buffer.concat([this.content, chunk]);
    this.ended ||= end;
  }

  onTrailers(trailers: HeaderList): void {
    this.trailers = trailers;
    this.ended = true;
  }

  onReset(cause: ResetCause): void {
    this.resets.push(cause);
  }

  onWritable(): void {
    this.writable++;
  }
}

export interface Served {
  readonly stream: ServerStream;
  readonly head: RequestHead;
  readonly end: boolean;
  readonly receiver: Recorder;
}

export interface ServerUnderTest {
  readonly peer: RawPeer;
  readonly server: Http2ServerConnection;
  readonly connection: Connection;
  readonly requests: Served[];
  readonly faults: ProtocolFault[];
  readonly closed: () => boolean;
}

const openSockets: { destroy(): void }[] = [];
const listeners: net.Server[] = [];

/** For `afterEach`: nothing of a test is left. */
export function closeAll(): void {
  for (const socket of openSockets.splice(0)) socket.destroy();
  for (const server of listeners.splice(0)) server.close();
}

/** A server codec with a raw client. Its settings are exchanged, unless `silent`. */
export async function serverUnderTest(
  options: Partial<Http2Options> = {},
  onRequest?: (request: Served) => void,
  silent = false,
): Promise<ServerUnderTest> {
  const requests: Served[] = [];
  const faults: ProtocolFault[] = [];
  let closed = false;
  let accepted: { server: Http2ServerConnection; connection: Connection } | undefined;
  const port = await listen((connection) => {
    const server = new Http2ServerConnection(
      connection,
      {
        onRequest(stream, head, end) {
          const receiver = new Recorder();
          stream.receiver = receiver satisfies BodyReceiver;
          const request = { stream, head, end, receiver };
          requests.push(request);
          onRequest?.(request);
        },
        onFault(fault) {
          faults.push(fault);
          return { head: { status: fault.status, reason: "", headers: [], upgrade: "" }, body: fault.kind };
        },
        onClose: () => (closed = true),
      },
      { ...defaultHttp2Options, ...options },
    );
    accepted = { server, connection };
    connection.resume();
  });
  const socket = net.connect({ host: "127.0.0.1", port, noDelay: true });
  openSockets.push(socket);
  await once(socket, "connect");
  await until("the server has accepted", () => accepted !== undefined);
  const peer = new RawPeer(socket, false);
  if (!silent) peer.send(Buffer.from(CLIENT_PREFACE), frames.settings(), frames.settingsAck());
  const { server, connection } = accepted as unknown as { server: Http2ServerConnection; connection: Connection };
  return { peer, server, connection, requests, faults, closed: () => closed };
}

export interface ClientUnderTest {
  readonly peer: RawPeer;
  readonly client: Http2ClientConnection;
  readonly connection: Connection;
  /** Calls of the owner. */
  readonly owner: { available: number; closed: number; error: Error | undefined };
}

/** A client codec with a raw server. Its settings are exchanged, unless `silent`. */
export async function clientUnderTest(
  options: Partial<Http2ClientOptions> = {},
  silent = false,
  firstStreamId = 1,
): Promise<ClientUnderTest> {
  const sockets: net.Socket[] = [];
  const server = net.createServer((socket) => sockets.push(socket.setNoDelay(true)));
  listeners.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const connection = await dial((server.address() as net.AddressInfo).port);
  await until("the raw server has accepted", () => sockets.length > 0);
  const socket = sockets[0] as net.Socket;
  openSockets.push(socket);
  const peer = new RawPeer(socket, true);
  const owner = { available: 0, closed: 0, error: undefined as Error | undefined };
  const client = new Http2ClientConnection(
    connection,
    {
      onAvailable: () => owner.available++,
      onClose: (error) => {
        owner.closed++;
        owner.error = error;
      },
    },
    { ...defaultHttp2Options, ...options },
    firstStreamId,
  );
  connection.resume();
  if (!silent) {
    peer.send(frames.settings(), frames.settingsAck());
    await until("the client has our settings", () => owner.available > 0);
  }
  return { peer, client, connection, owner };
}

/** Listens for connections of ours, on a port that the system chooses. */
export async function listen(onConnection: (connection: Connection) => void): Promise<number> {
  const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
    const connection = acceptConnection(socket);
    openSockets.push(connection);
    onConnection(connection);
  });
  listeners.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as net.AddressInfo).port;
}

export function dial(port: number): Promise<Connection> {
  return new Promise((resolve, reject) => {
    connect({ address: "127.0.0.1", port, timeoutMs: 2_000 }, (error, connection) => {
      if (connection === undefined) return reject(error ?? new Error("no connection"));
      openSockets.push(connection);
      return resolve(connection);
    });
  });
}

/** A request head as a proxy would have it. */
export function requestHead(changes: Partial<RequestHead> = {}): RequestHead {
  return {
    method: "GET",
    scheme: "http",
    authority: "a.example",
    path: "/",
    headers: [],
    version: "1.1",
    upgrade: "",
    ...changes,
  };
}

export function responseHead(status: number, headers: HeaderList = []): ResponseHead {
  return { status, reason: "", headers, upgrade: "" };
}
