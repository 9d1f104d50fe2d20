/** What the kernel says about processes and cores (Linux procfs, proc(5)). */
import { readFileSync, writeFileSync } from "node:fs";

/** Microseconds of one tick in which procfs counts time: USER_HZ is 100 on every architecture Node runs on. */
const TICK_US = 10_000;

/** Microseconds of CPU that a process used so far, all its threads together. */
export function processCpuUs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  // The name, in parentheses, may hold spaces; the fields after it are counted from the third.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_US;
}

/** Microseconds since the start, by what a core did. */
export interface CoreTimes {
  readonly busy: number;
  readonly idle: number;
  readonly steal: number;
}

/** The cores by number. */
export function coreTimes(): CoreTimes[] {
  const lines = readFileSync("/proc/stat", "latin1").split("\n");
  return lines.filter((line) => /^cpu\d/.test(line)).map(parseCore);
}

function parseCore(line: string): CoreTimes {
  const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0] = line
    .split(/\s+/)
    .slice(1)
    .map((ticks) => Number(ticks) * TICK_US);
  return { busy: user + nice + system + irq + softirq, idle: idle + iowait, steal };
}

export function coresSince(before: readonly CoreTimes[]): CoreTimes[] {
  return coreTimes().map(({ busy, idle, steal }, core) => {
    const then = before[core] ?? { busy: 0, idle: 0, steal: 0 };
    return { busy: busy - then.busy, idle: idle - then.idle, steal: steal - then.steal };
  });
}

/** The share of all cores' time that the hypervisor gave to others, 0 to 1. */
export function stolenShare(cores: readonly CoreTimes[]): number {
  const total = cores.reduce((sum, { busy, idle, steal }) => sum + busy + idle + steal, 0);
  const stolen = cores.reduce((sum, { steal }) => sum + steal, 0);
  return total === 0 ? 0 : stolen / total;
}

export interface Memory {
  /** Bytes that are this process's share: private pages, and shared ones divided by their users. */
  readonly pss: number;
  /** Bytes that this process wrote and nobody shares. */
  readonly privateDirty: number;
  readonly rss: number;
}

export function memory(pid: number): Memory {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "latin1");
  return { pss: kib(rollup, "Pss"), privateDirty: kib(rollup, "Private_Dirty"), rss: kib(rollup, "Rss") };
}

/** How many files and sockets a process may at most raise its limit to. */
export function openFilesMax(): number {
  const found = /^Max open files +\S+ +(\S+)/m.exec(readFileSync("/proc/self/limits", "latin1"))?.[1];
  return found === undefined || found === "unlimited" ? Number.POSITIVE_INFINITY : Number(found);
}

/** From now on {@link peakRss} counts anew. */
export function resetPeakRss(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
}

/** Bytes of memory that a process held at most. */
export function peakRss(pid: number): number {
  return kib(readFileSync(`/proc/${pid}/status`, "latin1"), "VmHWM");
}

function kib(text: string, name: string): number {
  const found = new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text);
  if (found === null) throw new Error(`procfs says no ${name}`);
  return Number(found[1]) * 1_024;
}
