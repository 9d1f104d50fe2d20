import { readFileSync } from "node:fs";

/** The most memory that a process ever had resident. */
export function peakResidentBytes(pid: number): number {
  const match = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(match?.[1]) * 1024;
}

/** The memory that a process has written to and nobody shares. */
export function privateDirtyBytes(pid: number): number {
  const match = /Private_Dirty:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"));
  return Number(match?.[1]) * 1024;
}
