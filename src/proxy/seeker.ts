/** What passes between a backend and whatever wants one of its endpoints: a request or a byte stream. */
import type { ResetCause } from "../protocol/exchange.ts";
import type { BalancedEndpoint } from "./endpoint.ts";
import type { Place } from "./pool/wait-list.ts";

export interface Seeker {
  /** The balancer has chosen. */
  assign(endpoint: BalancedEndpoint): void;
  /** There is none to be had. */
  fail(cause: ResetCause): void;
}

export interface EndpointSource {
  /** There is one endpoint and never another. */
  readonly single: boolean;
  /**
   * Gives a seeker its endpoint, or a place in the queue, which is returned; or fails it, but not from inside.
   *
   * @param failed the endpoint that it comes from, to be avoided
   * @param cause why it comes from there
   */
  place(seeker: Seeker, failed: BalancedEndpoint | undefined, cause: ResetCause | undefined): Place<Seeker> | undefined;
  /** An endpoint answers again. */
  answered(): void;
  /** A request goes out a second time. */
  repeated(): void;
  /** A request that was taken on has ended. */
  finished(): void;
}
