/** A request whose service is not known yet. */
import type { ClientStream, ResponseReceiver } from "../../protocol/exchange.ts";
import { failureCause, failures } from "../failure.ts";
import { HeldRequest } from "../held-request.ts";
import type { KnownService, Resolution } from "./services.ts";

/**
 * Holds a request while its service is looked up.
 *
 * @param resolve asks what the name stands for
 * @param begin sends the request on once that is known
 */
export function lookUp(
  resolve: (done: (resolution: Resolution) => void) => () => void,
  begin: (service: KnownService) => ClientStream,
  authority: string,
  receiver: ResponseReceiver,
): ClientStream {
  const held = new HeldRequest(receiver);
  const settle = (resolution: Resolution): void => {
    if (held.over) return;
    if (resolution === "absent") {
      held.fail(failureCause(failures.unknownService, "refused", `"${authority}" is no service of the mesh`));
    } else if (resolution === "timeout") {
      held.fail(failureCause(failures.discoveryTimeout, "timeout", `"${authority}" could not be looked up in time`));
    } else {
      held.begin(begin(resolution));
    }
  };
  // `resolve` may know at once, but nothing may be called from inside `open`.
  held.onGiveUp = resolve((resolution) => queueMicrotask(() => settle(resolution)));
  return held;
}
