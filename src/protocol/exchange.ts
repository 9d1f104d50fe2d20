/**
 * One request and its answer, as both HTTP codecs give it and take it: streaming both ways, with trailers, interim
 * answers, cancellation and back-pressure. Everything that a mesh does to a request (route, balance, retry, mirror, time
 * out, tap, authorize) is a small piece that sits between two of these ends and knows no protocol.
 *
 * The two ends of an exchange:
 *
 *   server codec ──onRequest──▶ receiver          client codec ◀──open──  caller
 *                ◀─sendHead───                                 ──onHead─▶
 *                ──onData────▶                                 ◀sendData─
 *                ◀─sendData───                                 ──onData─▶
 *
 * Rules that every implementation keeps and every user may rely on:
 *
 * 1. No call is made from inside `open`; the receiver's first call comes in a later callback. Otherwise calls may come
 *    from inside calls of one's own (`sendData` may lead to `onReset`), so change your own state before you call.
 * 2. A chunk is valid only during the call. Who keeps it copies it.
 * 3. `end` is true on the last call of a direction; trailers end it as well. Nothing of that direction follows.
 * 4. After `onReset` nothing follows on the receiver, and every call on the stream does nothing. After `reset` likewise:
 *    who resets is not told about it. A stream that has ended in both directions is never reset.
 * 5. `sendData` answering false is a request, not a refusal: the bytes are taken. Wait for `onWritable` before sending
 *    more. `pause` likewise asks the peer to wait: what is already in flight (at most one read, or one HTTP/2 window)
 *    still arrives.
 * 6. Tunnels: a request head whose `upgrade` is not empty opens with `end` false and carries no body; nothing of its
 *    direction is sent before the answer. A final head with `upgrade` set (`end` false) grants it: both directions turn
 *    into opaque bytes, each closed by `end`. On any other final head the request direction counts as ended, on both
 *    ends, without a further call.
 * 7. An HTTP/1 exchange is over when its final answer has ended, even if the request has not: the rest of the request is
 *    thrown away without a further call on the receiver, and sending it does nothing.
 */

/** Field names and values by turns: [name, value, name, value, …], in the order and case received. */
export type HeaderList = string[];

/** The HTTP version that a head was received in. */
export type HttpVersion = "1.0" | "1.1" | "2";

/**
 * The head of a request. Hop-by-hop fields (RFC 9110 §7.6.1: Connection and what it names, Keep-Alive, Proxy-Connection,
 * TE other than "trailers", Transfer-Encoding, Upgrade) are taken out by the codec that read it and put back, as its own
 * connection needs them, by the codec that writes it. Content-Length stays.
 */
export interface RequestHead {
  method: string;
  /** "http" or "https". */
  scheme: string;
  /**
   * Host and optional port: from :authority, the absolute-form target or Host (RFC 9112 §3.3); "" for an HTTP/1.0
   * request without Host. For CONNECT the target. A Host field, where there was one, stays in `headers` at its place.
   */
  authority: string;
  /** Origin form with query ("/a?b"), "*" for OPTIONS *, "" for CONNECT. */
  path: string;
  headers: HeaderList;
  version: HttpVersion;
  /**
   * What the request asks its connection or stream to turn into, else "": the protocols of the Upgrade field of an
   * HTTP/1.1 request ("websocket"), the :protocol of an extended CONNECT (RFC 8441), for which `method` is "GET" as it
   * would be in HTTP/1, or "connect" with the method CONNECT. Whether it is a CONNECT is told by `method` alone.
   */
  upgrade: string;
  /**
   * When the caller stops waiting, in milliseconds of `Clock.now`, where it has said so in a way that whoever sends the
   * request on must repeat with what is left. No codec sets or reads it.
   */
  deadline?: number;
  /** What was judged when it was let in, for whoever has to judge it again while it lasts. No codec sets or reads it. */
  judged?: object;
}

/** The head of an answer. Interim ones have a status below 200 and are followed by another. */
export interface ResponseHead {
  /** 100 to 999. */
  status: number;
  /** The reason phrase of HTTP/1; "" where there is none. */
  reason: string;
  headers: HeaderList;
  /** The tunnel is granted: the protocol switched to with status 101, "connect" with a 2xx to CONNECT. Else "". */
  upgrade: string;
}

/** Why an exchange ended before its time. */
export type ResetCode =
  /** Not processed by the peer at all, so it may be tried elsewhere, whatever the method (RFC 9113 §8.7). */
  | "refused"
  /** The other side lost interest. */
  | "cancelled"
  /** The peer broke the protocol. */
  | "protocol"
  /** The connection ended before the message did. */
  | "closed"
  /** No connection could be made: refused, unreachable, timed out. Nothing was sent. */
  | "connect"
  /** A time limit passed. */
  | "timeout"
  /** A bound of ours was reached. */
  | "overflow"
  /** A fault of our own. */
  | "internal";

/** The reason of a reset, for the other side, the log and the metrics. Not an Error: no stack is collected. */
export class ResetCause {
  readonly code: ResetCode;
  /** For humans: what happened, with the values that matter. */
  readonly detail: string;
  /** The HTTP/2 error code received or to be sent, when the cause has one (RFC 9113 §7). */
  readonly http2Code: number | undefined;

  constructor(code: ResetCode, detail: string, http2Code?: number) {
    this.code = code;
    this.detail = detail;
    this.http2Code = http2Code;
  }
}

/** What a receiver of the far side's bytes implements, whichever direction it stands in. */
export interface BodyReceiver {
  onData(chunk: Buffer, end: boolean): void;
  /** Trailer fields; ends the direction. */
  onTrailers(trailers: HeaderList): void;
  /** The exchange is over before its time, in both directions. */
  onReset(cause: ResetCause): void;
  /** After `sendData` answered false: send on. */
  onWritable(): void;
}

/** What the caller of a client codec implements. */
export interface ResponseReceiver extends BodyReceiver {
  /** Called for each interim head and once for the final one. */
  onHead(head: ResponseHead, end: boolean): void;
}

/** The common part of both ends. */
export interface HttpStream {
  /** @returns false when the caller should wait for `onWritable`. An empty chunk with `end` just ends. */
  sendData(chunk: Uint8Array, end: boolean): boolean;
  /** Sends trailer fields and ends the direction. */
  sendTrailers(trailers: HeaderList): void;
  /** Gives the exchange up, in both directions. Idempotent; does nothing once both directions have ended. */
  reset(cause: ResetCause): void;
  /** Asks the peer to wait with its body. Idempotent. */
  pause(): void;
  /** Lets the peer send again. Idempotent. */
  resume(): void;
}

/** The end that a server codec hands out: receives the request, sends the answer. */
export interface ServerStream extends HttpStream {
  /** Must be set before `onRequest` returns. */
  receiver: BodyReceiver;
  /** Sends an interim (status below 200, `end` false) or the final head. */
  sendHead(head: ResponseHead, end: boolean): void;
}

/** The end that a client codec gives for a request: its head went with `open`. */
export type ClientStream = HttpStream;

/** Input that a codec refused. The codec itself closes the connection (HTTP/1, HTTP/2 GOAWAY) or the stream. */
export interface ProtocolFault {
  /** The HTTP status that says it best: 400, 408, 413, 414, 431, 501 or 505. */
  readonly status: number;
  /** Short and stable, for a metric label: "bad_request_line", "headers_too_large", … */
  readonly kind: string;
  /** For humans, with what was found. */
  readonly detail: string;
}

/** What the user of a server codec implements. */
export interface ServerHandler {
  /** A request head has arrived. Set `stream.receiver` before returning. */
  onRequest(stream: ServerStream, head: RequestHead, end: boolean): void;
  /**
   * The peer broke the protocol outside any request that was handed out, or (HTTP/1) in the body of one that has not been
   * answered yet, whose receiver has had its `onReset` just before.
   *
   * @returns the answer for an HTTP/1 peer, whole and self-made; the codec adds framing and `Connection: close`.
   */
  onFault(fault: ProtocolFault): { readonly head: ResponseHead; readonly body: string };
  /** The connection is gone. Streams still open have had their `onReset`. */
  onClose(): void;
}

/** A server codec at work on one connection. */
export interface ServerConnection {
  /** Exchanges that have not ended. */
  readonly active: number;
  /** The receivers of the exchanges that have not ended; a copy. */
  receivers(): BodyReceiver[];
  /** Finishes what has begun, takes nothing new (GOAWAY, `Connection: close`), then closes. Idempotent. */
  shutdown(): void;
  /** Closes at once; open exchanges are reset. */
  destroy(): void;
}

/** What the owner (the pool) of a client codec implements. */
export interface ClientOwner {
  /** `available` may have changed: an exchange ended, the peer changed its limits, or said goodbye. */
  onAvailable(): void;
  /** The connection is gone; its exchanges have had their `onReset`. */
  onClose(error: Error | undefined): void;
}

/** A client codec at work on one connection. */
export interface ClientConnection {
  /** Exchanges that could be opened now: 0 or 1 for HTTP/1; 0 for good once the connection is closing. */
  readonly available: number;
  /** Exchanges that have not ended. */
  readonly active: number;
  /** False once it is closing: it will never take another exchange. */
  readonly usable: boolean;
  /** True if at least one exchange was completed before: a request lost on such a connection may just have met an idle close. */
  readonly reused: boolean;
  /**
   * Begins an exchange. Only while `available` is above 0.
   *
   * @param end the request has no body
   */
  open(head: RequestHead, end: boolean, receiver: ResponseReceiver): ClientStream;
  /** Finishes what has begun, then closes. Idempotent. */
  shutdown(): void;
  /** Closes at once; open exchanges are reset. */
  destroy(): void;
}
