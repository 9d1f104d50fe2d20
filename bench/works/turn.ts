/** One turn of one subject under load: what it cost, and what the load's core had left. */
import { coresSince, coreTimes, processCpuUs } from "../proc.ts";
import { LOAD_CORE } from "../processes.ts";
import type { Subject } from "../subjects/subject.ts";

export interface Cost {
  /** CPU time of the subject's processes, all threads. */
  readonly cpuUs: number;
  /** Busy time of all cores: whatever the subject pushes onto its neighbours shows here. */
  readonly boxUs: number;
  /** The share of the turn in which the core of generator and back end had nothing to do, 0 to 1. */
  readonly loadCoreIdle: number;
}

export async function costOf<T>({ processes }: Subject, load: () => Promise<T>): Promise<Cost & { readonly load: T }> {
  for (const child of processes) child.check();
  const cores = coreTimes();
  const cpu = subjectCpuUs();
  const result = await load();
  const cpuUs = subjectCpuUs() - cpu;
  const spent = coresSince(cores);
  const { idle, busy } = spent[Number(LOAD_CORE)] ?? { idle: 0, busy: 1 };
  return {
    cpuUs,
    boxUs: spent.reduce((sum, core) => sum + core.busy, 0),
    loadCoreIdle: idle / (idle + busy),
    load: result,
  };

  function subjectCpuUs(): number {
    return processes.reduce((sum, { pid }) => sum + processCpuUs(pid), 0);
  }
}
