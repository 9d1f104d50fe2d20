/**
 * What is counted, not timed: system calls for each request, by strace, and what our own sidecar allocates for one, by
 * V8's own account of its collections. Both slow the subject down, so no time is taken from these runs.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

import type { Bench } from "../bench.ts";
import { parseGcTrace } from "../load/gc-trace.ts";
import { parseStrace, type SyscallCounts } from "../load/strace.ts";
import type { Options } from "../options.ts";
import { ANY_CORE, start } from "../processes.ts";
import type { Row, Section } from "../report.ts";
import { startFleet } from "../subjects/fleet.ts";
import { startOneSidecar } from "../subjects/heddle.ts";
import { ONE_SIDECAR, TWO_SIDECARS } from "../subjects/names.ts";
import type { Subject } from "../subjects/subject.ts";
import type { ClosedLoop } from "./closed.ts";
import { grpc, http1, http2 } from "./loops.ts";

const SECONDS = 1;
/** Long enough for V8 to compile what is to be counted. */
const WARM_UP_SECONDS = 2;
/** System calls that are named in the notes, the most frequent first. */
const NAMED = 5;
const TRACE_FLAGS = ["--trace-gc", "--trace-gc-nvp"];

export function countsSeconds({ quick }: Options): number {
  const subjects = 5;
  const syscalls = 4 + subjects * (SECONDS + 1) + (quick ? 0 : 2);
  return 3 * (syscalls + 1 + SECONDS + WARM_UP_SECONDS);
}

export async function measureCounts(bench: Bench): Promise<Section[] | undefined> {
  const loops = [http1, http2, grpc].flatMap((of) => of(bench));
  const sections: Section[] = [];
  const allocations: Row[] = [];
  for (const loop of loops) {
    sections.push(...(await measureSyscalls(bench, loop)));
    allocations.push(...(await measureAllocations(bench, loop)));
  }
  if (allocations.length === 0) return undefined;
  return [
    ...sections,
    {
      title: "What one sidecar allocates on V8's heap",
      columns: [
        { key: "bytes", label: "B/req", digits: 0 },
        { key: "gcMs", label: "GC ms per 1,000 req", digits: 2 },
        { key: "collections", label: "collections per 1,000 req", digits: 2 },
      ],
      rows: allocations,
      notes: ["buffers outside of V8's heap do not count; GC ms is the time in which the sidecar stood still for it"],
    },
  ];
}

async function measureSyscalls(bench: Bench, loop: ClosedLoop): Promise<Section[]> {
  const strace = bench.tools.path("strace");
  const fleet = strace === undefined ? undefined : await startFleet(bench, loop.traffic);
  if (strace === undefined || fleet === undefined) return [];
  const rows: Row[] = [];
  const notes = ["by strace in a run of its own, which slows the subject down and so makes its batches larger"];
  for (const subject of fleet.subjects.filter(({ processes }) => processes.length > 0)) {
    bench.progress(`counts, ${loop.name}: system calls of ${subject.name}`);
    const compiles = subject.name === ONE_SIDECAR || subject.name === TWO_SIDECARS;
    await loop.load(subject.port, compiles && !bench.options.quick ? WARM_UP_SECONDS : 1);
    const counted = await countSyscalls(bench, strace, subject, loop);
    if (counted instanceof Error) {
      // Not everywhere may one process look into another.
      notes.push(`${subject.name}: not counted, ${counted.message.trim()}`);
      continue;
    }
    const { calls, byName, requests } = counted;
    rows.push({ subject: subject.name, values: { calls: calls / requests } });
    const most = [...byName].sort(([, a], [, b]) => b - a).slice(0, NAMED);
    notes.push(
      `${subject.name}: ${most.map(([name, count]) => `${name} ${(count / requests).toFixed(2)}`).join(", ")}`,
    );
  }
  await fleet.stop();
  return [
    {
      title: `System calls, ${loop.title}`,
      columns: [{ key: "calls", label: "calls/req", digits: 2 }],
      rows,
      notes,
    },
  ];
}

async function countSyscalls(
  { folder }: Bench,
  strace: string,
  { name, port, processes }: Subject,
  { load }: ClosedLoop,
): Promise<(SyscallCounts & { readonly requests: number }) | Error> {
  const file = join(folder, `strace-${processes[0]?.pid}`);
  const pids = processes.flatMap(({ pid }) => ["-p", String(pid)]);
  const tracer = start(`strace of ${name}`, [strace, "-c", "-f", "-q", "-o", file, ...pids], { cores: ANY_CORE });
  // What comes before it is attached is not counted, neither as calls nor, being a small part, as requests.
  const { requests } = await load(port, SECONDS);
  try {
    tracer.check();
    await tracer.stop();
    return { ...parseStrace(readFileSync(file, "utf8")), requests };
  } catch (error) {
    return error as Error;
  }
}

async function measureAllocations(bench: Bench, loop: ClosedLoop): Promise<Row[]> {
  const backend = await bench.backends.port(loop.traffic);
  if (backend === undefined) return [];
  bench.progress(`counts, ${loop.name}: allocations of ${ONE_SIDECAR}`);
  const subject = await startOneSidecar(loop.traffic, backend, TRACE_FLAGS);
  await loop.load(subject.port, WARM_UP_SECONDS);
  const [child] = subject.processes;
  const before = child?.output().length ?? 0;
  const { requests } = await loop.load(subject.port, SECONDS);
  const { allocatedBytes, pauseMs, collections } = parseGcTrace(child?.output().slice(before) ?? "");
  await child?.stop();
  const thousands = requests / 1_000;
  return [
    {
      subject: loop.title,
      values: { bytes: allocatedBytes / requests, gcMs: pauseMs / thousands, collections: collections / thousands },
    },
  ];
}
