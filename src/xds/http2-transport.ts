/**
 * A stream from a sidecar to its control plane: one gRPC call over our own HTTP/2 codec, because a gRPC library would cost
 * every sidecar twenty megabytes.
 */
import type { Clock } from "../net/clock.ts";
import { connect, type Connection } from "../net/connection.ts";
import type {
  ClientOwner,
  ClientStream as HttpStream,
  HeaderList,
  RequestHead,
  ResetCause,
  ResponseHead,
  ResponseReceiver,
} from "../protocol/exchange.ts";
import { decodeGrpcMessage, grpcCodeName, grpcStatusOf, isGrpc } from "../protocol/grpc.ts";
import { Http2ClientConnection } from "../protocol/http2/client.ts";
import { defaultHttp2ClientOptions } from "../protocol/http2/options.ts";
import type { ClientStream, ClientTransport, StreamEvents } from "./client-transport.ts";
import { frameMessage, MessageReader } from "./grpc-frames.ts";

/** Milliseconds until a connection attempt is given up. */
export const CONNECT_TIMEOUT_MS = 3_000;

/** The method that is called unless another is named. */
export const DISCOVERY_METHOD = "envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

interface Address {
  /** An IP address literal. */
  readonly host: string;
  readonly port: number;
}

/**
 * Makes sure that a fresh connection leads to who it should, and that nobody else hears what is said on it. `done` is
 * called once, unless it is given up: without an error the connection is paused; with one it is closed.
 *
 * @returns a function that gives it up
 */
export type Secure = (connection: Connection, done: (error: Error | undefined) => void) => () => void;

/** Opens every stream on a connection of its own: there is only ever one, and when it fails so may its connection have. */
export class Http2Transport implements ClientTransport {
  readonly #address: Address;
  readonly #clock: Clock;
  readonly #method: string;
  readonly #secure: Secure | undefined;

  /**
   * @param method "package.Service/Method", of streams in both directions
   * @param secure undefined: everything is said in plain
   */
  constructor(address: Address, clock: Clock, method = DISCOVERY_METHOD, secure?: Secure) {
    this.#address = address;
    this.#clock = clock;
    this.#method = method;
    this.#secure = secure;
  }

  open(events: StreamEvents): ClientStream {
    return new GrpcCall(this.#address, this.#clock, this.#method, this.#secure, events);
  }
}

/**
 *   connecting ──▶ (securing) ──▶ open ──▶ over       `close` and any failure lead to over from everywhere
 */
class GrpcCall implements ClientStream, ClientOwner, ResponseReceiver {
  readonly #address: Address;
  readonly #method: string;
  readonly #events: StreamEvents;
  readonly #messages: MessageReader;
  readonly #secure: Secure | undefined;
  #giveUpConnecting: () => void;
  #http2: Http2ClientConnection | undefined;
  #stream: HttpStream | undefined;
  #over = false;

  constructor(address: Address, clock: Clock, method: string, secure: Secure | undefined, events: StreamEvents) {
    this.#address = address;
    this.#method = method;
    this.#secure = secure;
    this.#events = events;
    this.#messages = new MessageReader((message) => {
      if (!this.#over) this.#events.onMessage(message);
    });
    this.#giveUpConnecting = connect(
      { address: address.host, port: address.port, timeoutMs: CONNECT_TIMEOUT_MS },
      (error, connection) => {
        if (connection === undefined) this.#fail(error?.message ?? "no connection");
        else if (secure === undefined) this.#begin(connection, clock);
        else this.#giveUpConnecting = secure(connection, (wrong) => this.#secured(connection, clock, wrong));
      },
    );
  }

  send(message: Uint8Array): void {
    // Who does not read our requests gets no chance to make us write more.
    if (this.#stream?.sendData(frameMessage(message), false) === false) this.#stream.pause();
  }

  close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#giveUpConnecting();
    this.#http2?.destroy();
  }

  onAvailable(): void {}

  onHead(head: ResponseHead, end: boolean): void {
    if (head.status < 200) return;
    if (head.status !== 200) this.#fail(`HTTP status ${head.status}`);
    else if (end) this.#ended(head.headers);
    else if (!isGrpc(head.headers)) this.#fail("the answer is not gRPC");
  }

  onData(chunk: Buffer, end: boolean): void {
    try {
      if (!this.#over) this.#messages.push(chunk);
    } catch (error) {
      this.#fail(error instanceof Error ? error.message : String(error));
    }
    if (end) this.#fail("the stream ended without a gRPC status");
  }

  onTrailers(trailers: HeaderList): void {
    this.#ended(trailers);
  }

  onReset(cause: ResetCause): void {
    this.#fail(`${cause.code}: ${cause.detail}`);
  }

  onWritable(): void {
    this.#stream?.resume();
  }

  onClose(error: Error | undefined): void {
    this.#fail(error?.message ?? "the connection was closed");
  }

  #secured(connection: Connection, clock: Clock, wrong: Error | undefined): void {
    this.#giveUpConnecting = () => {};
    if (wrong === undefined) this.#begin(connection, clock);
    else this.#fail(wrong.message);
  }

  #begin(connection: Connection, clock: Clock): void {
    // The stream is always open, so a control plane that vanished without a word is found out by pings.
    this.#http2 = new Http2ClientConnection(connection, this, { ...defaultHttp2ClientOptions, clock });
    connection.resume();
    const { host, port } = this.#address;
    const head: RequestHead = {
      method: "POST",
      scheme: this.#secure === undefined ? "http" : "https",
      authority: host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`,
      path: `/${this.#method}`,
      headers: ["content-type", "application/grpc", "te", "trailers", "user-agent", "heddle"],
      version: "2",
      upgrade: "",
    };
    this.#stream = this.#http2.open(head, false, this);
    this.#events.onOpen();
  }

  #ended(fields: HeaderList): void {
    const status = grpcStatusOf(fields);
    if (status === undefined) this.#fail("the stream ended without a gRPC status");
    else this.#fail(`gRPC status ${grpcCodeName(status)}: ${decodeGrpcMessage(field(fields, "grpc-message"))}`, status);
  }

  #fail(reason: string, status?: number): void {
    if (this.#over) return;
    this.close();
    this.#events.onClose(reason, status);
  }
}

function field(headers: HeaderList, name: string): string {
  for (let index = 0; index < headers.length; index += 2) {
    if (headers[index]?.toLowerCase() === name) return headers[index + 1] ?? "";
  }
  return "";
}
