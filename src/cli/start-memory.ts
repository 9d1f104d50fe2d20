/**
 * Gives back what starting took. A sidecar that has just started holds 36 MB of its own, of which 12 are garbage and code
 * that ran once; V8 would keep them until it needs room, which an idle sidecar never does.
 *
 * The collection that finds all of it stops the process for 50 to 100 ms, so it is made once, and only while nobody is
 * connected. A sidecar that is in use from its first second on keeps what it has.
 */
import { flushCompileCache } from "node:module";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import type { Clock } from "../net/clock.ts";

/** Milliseconds between two looks at whether anybody is connected. */
export const LOOK_MS = 1_000;

/** Looks after which it is given up. */
export const LOOKS_MAX = 60;

/** @param connections how many are open; what starting took is given back when there are none */
export function giveBackWhenIdle(clock: Clock, connections: () => Promise<number>, giveBack = collectAll): void {
  let looks = 0;
  const look = (): void => {
    void connections().then((open) => {
      if (open === 0) giveBack();
      else if (++looks < LOOKS_MAX) clock.after(LOOK_MS, look);
    });
  };
  clock.after(LOOK_MS, look);
}

/** Collects garbage and compiled code as V8 does before it would run out of memory. */
function collectAll(): void {
  // Compiled code that is dropped now could not be kept on disk at the end.
  flushCompileCache();
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as NodeJS.GCFunction;
  setFlagsFromString("--no-expose-gc");
  collect({ type: "major", execution: "sync", flavor: "last-resort" });
}
