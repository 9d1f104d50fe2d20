/**
 * One endless loop per core in the scheduling class SCHED_IDLE. They run only when nobody else wants the core, and keep a
 * virtual core from going to sleep: its slow wake-up would otherwise be most of the latency at a low rate.
 */
import { availableParallelism } from "node:os";

import { type Child, start } from "../processes.ts";

export function startSpinners(chrt: string): Child[] {
  return Array.from({ length: availableParallelism() }, (_, core) =>
    start(`spinner ${core}`, [chrt, "-i", "0", "sh", "-c", "while :; do :; done"], { cores: String(core) }),
  );
}
