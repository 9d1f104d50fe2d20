/** A line of the log that strangers can cause as often as they like: so that they do not fill the disk, not each is written. */
import type { Clock } from "../net/clock.ts";
import type { LogFields } from "../telemetry/log.ts";

/** Milliseconds between two lines. */
export const RARE_LINE_EVERY_MS = 10_000;

/** @param write called with the first, and then no oftener than that; `others` says how many were not written since */
export function rareLine(clock: Clock, write: (fields: LogFields) => void): (fields: LogFields) => void {
  let writtenAt = -Infinity;
  let unwritten = 0;
  return (fields) => {
    if (clock.now() - writtenAt < RARE_LINE_EVERY_MS) {
      unwritten++;
      return;
    }
    write({ ...fields, others: unwritten === 0 ? undefined : unwritten });
    writtenAt = clock.now();
    unwritten = 0;
  };
}
