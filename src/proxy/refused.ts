/** A request that goes nowhere. */
import type { ClientStream, ResetCause, ResponseReceiver } from "../protocol/exchange.ts";

/** @returns a stream whose receiver is told why, once the caller has it */
export function refuse(receiver: ResponseReceiver, cause: ResetCause): ClientStream {
  const stream = new Refused();
  queueMicrotask(() => {
    if (!stream.over) receiver.onReset(cause);
  });
  return stream;
}

class Refused implements ClientStream {
  over = false;
  sendData(): boolean {
    return true;
  }
  sendTrailers(): void {}
  reset(): void {
    this.over = true;
  }
  pause(): void {}
  resume(): void {}
}
