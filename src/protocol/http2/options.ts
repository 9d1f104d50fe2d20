/** What can be set about an HTTP/2 connection. */
import { type Clock, systemClock } from "../../net/clock.ts";
import { defaultHttpLimits, type HttpLimits } from "../limits.ts";

export interface Http2Options {
  readonly limits: HttpLimits;
  readonly clock: Clock;
  /** Octets that a peer may send on one stream ahead of its reader: 65,535 to 2^31-1. */
  readonly streamWindowBytes: number;
  /** Octets that a peer may have in flight on the connection: 65,535 to 2^31-1. */
  readonly connectionWindowBytes: number;
}

/** Linkerd's connection window is 1 MiB as well; its stream window of 64 KiB holds a single fast stream back. */
export const defaultHttp2Options: Http2Options = {
  limits: defaultHttpLimits,
  clock: systemClock,
  streamWindowBytes: 256 * 1024,
  connectionWindowBytes: 1024 * 1024,
};

/** How a client finds out that a server has vanished without a word. */
export interface KeepAliveTimes {
  /** Milliseconds of silence from the peer after which it is pinged. Linkerd: 10,000. */
  readonly intervalMs: number;
  /** Milliseconds until a PING without answer means that the connection is dead. Linkerd: 3,000. */
  readonly timeoutMs: number;
  /** Also while no exchange is open. */
  readonly whileIdle: boolean;
}

export interface Http2ClientOptions extends Http2Options {
  /** Absent: the peer is never pinged. */
  readonly keepAlive?: KeepAliveTimes;
}

export const defaultHttp2ClientOptions: Http2ClientOptions = {
  ...defaultHttp2Options,
  keepAlive: { intervalMs: 10_000, timeoutMs: 3_000, whileIdle: false },
};
