/** The asking end of one exchange on a client connection. One object per request, so that a late call meets a closed one. */
import type { Connection } from "../../net/connection.ts";
import { type ClientStream, type HeaderList, ResetCause, type ResponseReceiver } from "../exchange.ts";
import { type BodyWriter, REFUSED, WAIT } from "./body-writer.ts";
import { EMPTY } from "./framing.ts";

/** What the stream asks of its connection. */
export interface ClientStreamOwner {
  readonly connection: Connection;
  /** Shared by the exchanges of the connection, which follow one another. */
  readonly bodyWriter: BodyWriter;
  requestEnded(stream: Http1ClientStream): void;
  /** The exchange cannot be finished; the server must be able to tell. */
  abort(stream: Http1ClientStream): void;
  pauseResponse(stream: Http1ClientStream): void;
  resumeResponse(stream: Http1ClientStream): void;
}

export class Http1ClientStream implements ClientStream {
  /** False once the exchange is over: every call does nothing. */
  open = true;
  requestEnded: boolean;
  responseEnded = false;
  /** All that follows is opaque bytes. */
  tunnel = false;
  readonly upgrade: boolean;
  readonly receiver: ResponseReceiver;

  readonly #owner: ClientStreamOwner;

  constructor(owner: ClientStreamOwner, receiver: ResponseReceiver, upgrade: boolean, requestEnded: boolean) {
    this.#owner = owner;
    this.receiver = receiver;
    this.upgrade = upgrade;
    this.requestEnded = requestEnded;
  }

  sendData(chunk: Uint8Array, end: boolean): boolean {
    if (!this.open || this.requestEnded) return true;
    if (this.upgrade && !this.tunnel) {
      this.#fail("request data before the upgrade was granted");
      return true;
    }
    const owner = this.#owner;
    const result = owner.bodyWriter.data(owner.connection, chunk, end);
    if (result === REFUSED) {
      this.#fail("the request body is not as long as its Content-Length");
      return true;
    }
    if (end) this.#end();
    return result !== WAIT;
  }

  sendTrailers(trailers: HeaderList): void {
    if (!this.open || this.requestEnded) return;
    if (this.upgrade) {
      this.sendData(EMPTY, true);
      return;
    }
    const owner = this.#owner;
    if (owner.bodyWriter.trailers(owner.connection, trailers) === REFUSED) {
      this.#fail("the trailers cannot be written in HTTP/1");
      return;
    }
    this.#end();
  }

  reset(_cause: ResetCause): void {
    if (!this.open) return;
    this.open = false;
    this.#owner.abort(this);
  }

  pause(): void {
    if (this.open && !this.responseEnded) this.#owner.pauseResponse(this);
  }

  resume(): void {
    if (this.open && !this.responseEnded) this.#owner.resumeResponse(this);
  }

  /** The connection was lost or the response is spoilt: the receiver is told, the owner does the rest. */
  lost(cause: ResetCause): void {
    if (!this.open) return;
    this.open = false;
    this.receiver.onReset(cause);
  }

  #end(): void {
    this.requestEnded = true;
    if (this.tunnel && this.responseEnded) this.open = false;
    this.#owner.requestEnded(this);
  }

  #fail(detail: string): void {
    this.open = false;
    this.#owner.abort(this);
    this.receiver.onReset(new ResetCause("internal", detail));
  }
}
