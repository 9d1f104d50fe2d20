/** What can be set about an HTTP/2 connection. */
import { type Clock, systemClock } from "../../net/clock.ts";
import { defaultHttpLimits, type HttpLimits } from "../limits.ts";
import { type HeldBytes, processHeldBytes } from "./held-bytes.ts";

export interface Http2Options {
  readonly limits: HttpLimits;
  readonly clock: Clock;
  /** Octets that a peer may at first send on one stream ahead of its reader: 65,535 to 2^31-1. */
  readonly streamWindowBytes: number;
  /** Octets that a peer may have in flight on the connection: 65,535 to 2^31-1. */
  readonly connectionWindowBytes: number;
  /** Counts, with other connections, what is held for peers whose windows are closed. */
  readonly held: HeldBytes;
}

/**
 * Streams begin with Linkerd's and gRPC's 64 KiB and grow (`receive-windows.ts`). The connection's window does not hold
 * memory, since what a reader does not take is withheld from its own stream alone, so that it stops no other: it only has
 * to be as large as a few fast streams over a slow link want it.
 */
export const defaultHttp2Options: Http2Options = {
  limits: defaultHttpLimits,
  clock: systemClock,
  streamWindowBytes: 64 * 1024,
  connectionWindowBytes: 16 * 1024 * 1024,
  held: processHeldBytes,
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
