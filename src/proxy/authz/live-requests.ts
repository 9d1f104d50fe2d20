/** The requests of one connection that are under way when the policy changes. */
import type { Connection } from "../../net/connection.ts";
import type { Exchange } from "../exchange.ts";
import type { Guard } from "./guard.ts";
import { LiveCall } from "./live-call.ts";

/** Judges them again: those that would not be let in any more are cut. */
export function reviewRequests(guard: Guard, connection: Connection, exchanges: Iterable<Exchange>): void {
  const bytes = guard.bytesCall(connection);
  for (const exchange of exchanges) {
    const { request } = exchange;
    // Nobody wanted to know when it came.
    request.judged ??= new LiveCall(bytes, request, false);
    if (request.judged instanceof LiveCall) request.judged.review(guard, exchange, request);
  }
}
