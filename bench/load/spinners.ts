/**
 * An endless loop in the scheduling class SCHED_IDLE. It runs only when nobody else wants the core, and keeps a virtual
 * core from going to sleep: its slow wake-up would otherwise be most of the latency at a low rate.
 */
import { type Child, start } from "../processes.ts";

export function startSpinner(chrt: string, core: string): Child {
  return start(`spinner ${core}`, [chrt, "-i", "0", "sh", "-c", "while :; do :; done"], { cores: core });
}
