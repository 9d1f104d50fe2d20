/** Between the reasons of a reset and HTTP/2's error codes (RFC 9113 §7). */
import type { ResetCode } from "../exchange.ts";
import { ErrorCode } from "./frames.ts";

/** The error code that tells a peer why we give a stream up. */
export function errorCodeOf(reset: ResetCode): number {
  switch (reset) {
    case "refused":
      return ErrorCode.refusedStream;
    case "cancelled":
    case "timeout":
      return ErrorCode.cancel;
    case "protocol":
      return ErrorCode.protocolError;
    case "connect":
      return ErrorCode.connectError;
    case "overflow":
      return ErrorCode.enhanceYourCalm;
    case "closed":
    case "internal":
      return ErrorCode.internalError;
    default:
      return reset satisfies never;
  }
}

/** What a peer's error code says to the user of a stream. The code itself goes with it. */
export function resetCodeOf(errorCode: number): ResetCode {
  switch (errorCode) {
    case ErrorCode.refusedStream:
      return "refused";
    case ErrorCode.noError:
    case ErrorCode.cancel:
      return "cancelled";
    case ErrorCode.connectError:
      return "closed";
    default:
      return "protocol";
  }
}
