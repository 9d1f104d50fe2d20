/** What the creator of an HTTP/1 codec may set. */
import { type Clock, systemClock } from "../../net/clock.ts";
import { defaultHttpLimits, type HttpLimits } from "../limits.ts";

export interface Http1Options {
  readonly limits: HttpLimits;
  /** Measures `headTimeoutMs`, `idleTimeoutMs` and the grace given to a peer while closing. */
  readonly clock: Clock;
  /** Server side: milliseconds that a connection may stay without a request before it is closed. */
  readonly idleTimeoutMs: number;
}

/** nginx closes an idle keep-alive connection after 75 s, Apache after 5 s, Envoy after an hour. */
export const defaultHttp1Options: Http1Options = {
  limits: defaultHttpLimits,
  clock: systemClock,
  idleTimeoutMs: 60_000,
};
