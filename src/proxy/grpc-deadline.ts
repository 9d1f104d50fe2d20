/**
 * The time that a gRPC caller gives (grpc-timeout): this hop ends the exchange when it has passed, and the next hop is told
 * what is left of it (PROTOCOL-HTTP2 of the gRPC project). What a request has waited for discovery, an endpoint or a
 * connection is thereby not given to the service a second time.
 *
 * A value that is malformed, or that is there twice, is nobody's limit here and goes on as it is: the service's gRPC
 * library answers it in its own way (grpc-go with INTERNAL, grpc-js with OUT_OF_RANGE, C++ by waiting for ever).
 *
 * There is no grace for the service's own DEADLINE_EXCEEDED to arrive first: the caller's timer does not wait for it
 * either, and work that nobody waits for should end at once.
 */
import type { Clock } from "../net/clock.ts";
import type { ClientStream, HeaderList, RequestHead, ResponseReceiver } from "../protocol/exchange.ts";
import { formatGrpcTimeout, isGrpc, parseGrpcTimeout } from "../protocol/grpc.ts";
import { nameEquals } from "../protocol/headers.ts";
import { failures } from "./failure.ts";
import type { HttpService } from "./service.ts";
import { TimedExchange } from "./timed-exchange.ts";

const TIMEOUT_HEADER = "grpc-timeout";

/** Holds gRPC requests to their callers' deadlines, and lets all others through: HTTP/1 at the price of a comparison. */
export class GrpcDeadlines implements HttpService {
  readonly #next: HttpService;
  readonly #clock: Clock;

  constructor(next: HttpService, clock: Clock) {
    this.#next = next;
    this.#clock = clock;
  }

  open(head: RequestHead, end: boolean, receiver: ResponseReceiver): ClientStream {
    const timeoutMs = head.version === "2" && head.method === "POST" ? timeoutOf(head.headers) : undefined;
    if (timeoutMs === undefined) return this.#next.open(head, end, receiver);
    head.deadline = this.#clock.now() + timeoutMs;
    return new TimedExchange(this.#clock, timeoutMs, failures.deadline, this.#next, head, end, receiver);
  }
}

/** Before a request goes out: whoever gets it shall know how much of its time is left. @param now of the proxy's clock */
export function tellTimeLeft(head: RequestHead, now: number): void {
  if (head.deadline === undefined) return;
  const { headers } = head;
  for (let i = 0; i < headers.length; i += 2) {
    if (!nameEquals(headers[i] as string, TIMEOUT_HEADER)) continue;
    headers[i + 1] = formatGrpcTimeout(Math.max(0, head.deadline - now));
    return;
  }
}

/** Milliseconds; undefined if there is no limit, or none that can be understood in one way. */
function timeoutOf(headers: HeaderList): number | undefined {
  let value: string | undefined;
  for (let i = 0; i < headers.length; i += 2) {
    if (!nameEquals(headers[i] as string, TIMEOUT_HEADER)) continue;
    if (value !== undefined) return undefined;
    value = headers[i + 1] as string;
  }
  return value === undefined || !isGrpc(headers) ? undefined : parseGrpcTimeout(value);
}
