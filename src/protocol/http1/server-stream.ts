/** The answering end of one exchange on a server connection. One object per request, so that a late call meets a closed one. */
import type { Connection } from "../../net/connection.ts";
import {
  type BodyReceiver,
  type HeaderList,
  type RequestHead,
  ResetCause,
  type ResponseHead,
  type ServerStream,
} from "../exchange.ts";
import { type BodyWriter, REFUSED, WAIT } from "./body-writer.ts";
import { EMPTY, FRAMING_CLOSE } from "./framing.ts";
import { type AnswerContext, writeInterimHead, writeResponseHead, written } from "./head-writer.ts";

/** What the stream asks of its connection. */
export interface ServerStreamOwner {
  readonly connection: Connection;
  /** Shared by the exchanges of the connection, which follow one another. */
  readonly bodyWriter: BodyWriter;
  /** No further request is taken. */
  readonly closing: boolean;
  /** A tunnel was granted: all that follows is opaque. */
  switched(stream: Http1ServerStream): void;
  /** The response is complete. */
  responseEnded(stream: Http1ServerStream): void;
  /** The exchange cannot be finished; the client must be able to tell. */
  abort(stream: Http1ServerStream): void;
  pauseRequest(stream: Http1ServerStream): void;
  resumeRequest(stream: Http1ServerStream): void;
}

/** Until `onRequest` has set the receiver. */
const nobody: BodyReceiver = {
  onData() {},
  onTrailers() {},
  onReset() {},
  onWritable() {},
};

export class Http1ServerStream implements ServerStream, AnswerContext {
  receiver: BodyReceiver = nobody;

  /** False once the exchange is over: every call does nothing. */
  open = true;
  headSent = false;
  requestEnded: boolean;
  responseEnded = false;
  /** All that follows is opaque bytes. */
  tunnel = false;
  keepAlive: boolean;
  readonly isHead: boolean;
  readonly http10: boolean;
  readonly upgrade: boolean;
  readonly #connect: boolean;
  /** The client holds its body back until it sees a 100. */
  awaits100: boolean;

  readonly #owner: ServerStreamOwner;

  constructor(
    owner: ServerStreamOwner,
    head: RequestHead,
    requestEnded: boolean,
    keepAlive: boolean,
    awaits100: boolean,
  ) {
    this.#owner = owner;
    this.requestEnded = requestEnded;
    this.keepAlive = keepAlive;
    this.isHead = head.method === "HEAD";
    this.http10 = head.version === "1.0";
    this.upgrade = head.upgrade !== "";
    this.#connect = head.method === "CONNECT";
    this.awaits100 = awaits100;
  }

  sendHead(head: ResponseHead, end: boolean): void {
    if (!this.open || this.headSent) return;
    if (head.upgrade !== "") {
      this.#grant(head);
      return;
    }
    if (head.status < 200) {
      this.#sendInterim(head);
      return;
    }
    if (this.#connect && head.status < 300) {
      this.#fail("a 2xx to CONNECT that grants nothing");
      return;
    }
    const owner = this.#owner;
    // An upgrade that is not granted leaves a request without a body.
    if (this.upgrade) this.requestEnded = true;
    // A client that was never told to send its body may send it or not: what follows could not be told apart.
    if (owner.closing || (this.awaits100 && !this.requestEnded)) this.keepAlive = false;
    if (!writeResponseHead(owner.connection, head, end, this)) {
      this.#fail("the response head cannot be written in HTTP/1");
      return;
    }
    this.headSent = true;
    if (written.framing === FRAMING_CLOSE) this.keepAlive = false;
    owner.bodyWriter.start(written.framing, written.length);
    if (end) this.#end();
  }

  sendData(chunk: Uint8Array, end: boolean): boolean {
    if (!this.open || this.responseEnded) return true;
    if (!this.headSent) {
      this.#fail("response data before a head");
      return true;
    }
    const owner = this.#owner;
    const result = owner.bodyWriter.data(owner.connection, chunk, end);
    if (result === REFUSED) {
      this.#fail("the response body is not as long as its Content-Length");
      return true;
    }
    if (end) this.#end();
    return result !== WAIT;
  }

  sendTrailers(trailers: HeaderList): void {
    if (!this.open || this.responseEnded) return;
    if (this.tunnel) {
      this.sendData(EMPTY, true);
      return;
    }
    const owner = this.#owner;
    if (!this.headSent || owner.bodyWriter.trailers(owner.connection, trailers) === REFUSED) {
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
    if (this.open && !this.requestEnded) this.#owner.pauseRequest(this);
  }

  resume(): void {
    if (this.open && !this.requestEnded) this.#owner.resumeRequest(this);
  }

  /** The connection was lost or the request is spoilt: the receiver is told, the owner does the rest. */
  lost(cause: ResetCause): void {
    if (!this.open) return;
    this.open = false;
    this.receiver.onReset(cause);
  }

  #sendInterim(head: ResponseHead): void {
    const owner = this.#owner;
    if (head.status === 101) {
      this.#fail("a 101 that switches to nothing");
      return;
    }
    // HTTP/1.0 knows no interim heads (RFC 9110 §15.2).
    if (this.http10) return;
    if (!writeInterimHead(owner.connection, head)) {
      this.#fail("the interim head cannot be written in HTTP/1");
      return;
    }
    if (head.status === 100) this.awaits100 = false;
  }

  #grant(head: ResponseHead): void {
    const owner = this.#owner;
    const { status } = head;
    if (!this.upgrade || (this.#connect ? status < 200 || status > 299 : status !== 101)) {
      this.#fail(`a tunnel that the client did not ask for, with status ${status}`);
      return;
    }
    if (!writeInterimHead(owner.connection, head)) {
      this.#fail("the head cannot be written in HTTP/1");
      return;
    }
    this.headSent = true;
    this.tunnel = true;
    this.keepAlive = false;
    owner.bodyWriter.start(FRAMING_CLOSE, 0);
    owner.switched(this);
  }

  #end(): void {
    this.responseEnded = true;
    // A request that is still arriving is of no interest any more; the owner drains it.
    if (!this.tunnel || this.requestEnded) this.open = false;
    this.#owner.responseEnded(this);
  }

  #fail(detail: string): void {
    this.open = false;
    this.#owner.abort(this);
    this.receiver.onReset(new ResetCause("internal", detail));
  }
}
