/** A client codec without a connection: the test says what the server does. It checks the rules of the exchange. */
import assert from "node:assert/strict";

import type {
  ClientConnection,
  ClientOwner,
  ClientStream,
  HeaderList,
  RequestHead,
  ResponseHead,
  ResponseReceiver,
} from "../../protocol/exchange.ts";
import { ResetCause, type ResetCode } from "../../protocol/exchange.ts";

export class FakeStream implements ClientStream {
  readonly head: RequestHead;
  readonly receiver: ResponseReceiver;
  readonly chunks: Buffer[] = [];
  requestEnded: boolean;
  trailers: HeaderList | undefined;
  /** Why the caller gave it up. */
  given: ResetCause | undefined;
  paused = false;
  /** What `sendData` answers. */
  writable = true;
  readonly #client: FakeClient;
  #tunnel = false;
  #responseEnded = false;
  #over = false;

  constructor(client: FakeClient, head: RequestHead, end: boolean, receiver: ResponseReceiver) {
    this.#client = client;
    this.head = head;
    this.requestEnded = end;
    this.receiver = receiver;
  }

  get over(): boolean {
    return this.#over;
  }

  get sent(): string {
    return Buffer.concat(this.chunks).toString();
  }

  // What the caller does.

  sendData(chunk: Uint8Array, end: boolean): boolean {
    if (this.#over) return true;
    assert.ok(!this.requestEnded, "data after the end of the request");
    assert.ok(this.head.upgrade === "" || this.#tunnel, "data before the tunnel was granted");
    this.chunks.push(Buffer.from(chunk));
    if (end) this.#endRequest();
    return this.writable;
  }

  sendTrailers(trailers: HeaderList): void {
    if (this.#over) return;
    assert.ok(!this.requestEnded, "trailers after the end of the request");
    this.trailers = trailers;
    this.#endRequest();
  }

  reset(cause: ResetCause): void {
    if (this.#over) return;
    this.given = cause;
    this.#end();
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  // What the server does.

  answer(status: number, end: boolean, headers: HeaderList = [], upgrade = ""): void {
    if (this.#over) return;
    const head: ResponseHead = { status, reason: "", headers, upgrade };
    if (upgrade !== "") this.#tunnel = true;
    else if (status >= 200 && this.head.upgrade !== "") this.requestEnded = true;
    if (end) this.#endResponse();
    this.receiver.onHead(head, end);
  }

  data(text: string, end: boolean): void {
    if (this.#over) return;
    if (end) this.#endResponse();
    this.receiver.onData(Buffer.from(text), end);
  }

  endWithTrailers(trailers: HeaderList): void {
    if (this.#over) return;
    this.#endResponse();
    this.receiver.onTrailers(trailers);
  }

  lose(code: ResetCode, detail = "lost"): void {
    if (this.#over) return;
    this.#end();
    this.receiver.onReset(new ResetCause(code, detail));
  }

  #endRequest(): void {
    this.requestEnded = true;
    if (this.#responseEnded) this.#end();
  }

  #endResponse(): void {
    this.#responseEnded = true;
    if (!this.#tunnel || this.requestEnded) this.#end();
  }

  #end(): void {
    this.#over = true;
    this.#client.gone(this);
  }
}

export class FakeClient implements ClientConnection {
  reused = false;
  usable = true;
  readonly streams = new Set<FakeStream>();
  readonly #owner: ClientOwner;
  readonly #streamsMax: number;
  readonly #onOpen: (stream: FakeStream) => void;
  #closed = false;

  constructor(owner: ClientOwner, streamsMax: number, onOpen: (stream: FakeStream) => void) {
    this.#owner = owner;
    this.#streamsMax = streamsMax;
    this.#onOpen = onOpen;
  }

  get active(): number {
    return this.streams.size;
  }

  get available(): number {
    return this.usable ? this.#streamsMax - this.streams.size : 0;
  }

  open(head: RequestHead, end: boolean, receiver: ResponseReceiver): ClientStream {
    assert.ok(this.available > 0, "opened on a connection without room");
    const stream = new FakeStream(this, head, end, receiver);
    this.streams.add(stream);
    this.#onOpen(stream);
    return stream;
  }

  gone(stream: FakeStream): void {
    this.streams.delete(stream);
    this.reused = true;
    // As a codec does: after the receiver has been told.
    queueMicrotask(() => {
      if (this.#closed) return;
      if (!this.usable && this.streams.size === 0) this.close();
      else this.#owner.onAvailable();
    });
  }

  shutdown(): void {
    this.usable = false;
    if (this.streams.size === 0) this.close();
  }

  destroy(): void {
    this.lose("closed");
  }

  /** The connection breaks. */
  lose(code: ResetCode): void {
    this.usable = false;
    for (const stream of this.streams) stream.lose(code);
    this.close();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.usable = false;
    this.#owner.onClose(undefined);
  }
}
