/**
 * What a request can be sent to. The application behind an inbound listener, a balanced backend, a route: all look the
 * same, so each policy is a piece that is one of these and wraps another.
 */
import type { BodyReceiver, ClientStream, RequestHead, ResponseReceiver } from "../protocol/exchange.ts";

export interface HttpService {
  /**
   * Takes a request on, as a client codec would (same rules: no call on the receiver from inside).
   *
   * @param end the request has no body
   */
  open(head: RequestHead, end: boolean, receiver: ResponseReceiver): ClientStream;
}

/** Receives a request body that nobody wants. */
export const IGNORE_BODY: BodyReceiver = {
  onData() {},
  onTrailers() {},
  onReset() {},
  onWritable() {},
};
