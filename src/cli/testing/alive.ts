/** Is a process still there? */
import { spawnSync } from "node:child_process";

/** A zombie is gone all the same: in a container it may be that nobody ever buries it. */
export function isAlive(pid: number): boolean {
  const { stdout } = spawnSync("ps", ["-o", "stat=", "-p", String(pid)], { encoding: "utf8" });
  const state = stdout.trim();
  return state !== "" && !state.startsWith("Z");
}
