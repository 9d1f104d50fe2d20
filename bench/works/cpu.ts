/** CPU per request in a closed loop at a fixed concurrency, HTTP/1 by wrk and HTTP/2 by h2load. */
import type { Bench } from "../bench.ts";
import { blocksNote, interleave } from "../blocks.ts";
import { H2_CONNECTIONS, H2_STREAMS, h2load } from "../load/h2load.ts";
import type { LoadResult } from "../load/load.ts";
import { wrk, WRK_CONNECTIONS } from "../load/wrk.ts";
import { ratioBar, type Row, type Section, valueBar } from "../report.ts";
import { median, pairedRatio } from "../stats.ts";
import { DIRECT, startFleet } from "../subjects/fleet.ts";
import { ONE_SIDECAR, TWO_SIDECARS } from "../subjects/heddle.ts";
import type { Protocol } from "../subjects/subject.ts";
import { type Cost, costOf } from "./turn.ts";

/** The bar for one sidecar, on both protocols. */
const RATIO_MAX = 1.5;
/** Below this share of idle time the load's core, not the subject, sets the pace. */
const LOAD_CORE_IDLE_MIN = 0.15;

interface Turn extends Cost {
  readonly load: LoadResult;
}

interface Plan {
  readonly tool: "wrk" | "h2load";
  readonly peer: string;
  readonly shape: string;
  readonly load: (program: string, port: number, seconds: number) => Promise<LoadResult>;
}

const PLANS: Readonly<Record<Protocol, Plan>> = {
  http1: { tool: "wrk", peer: "HAProxy", shape: `wrk, ${WRK_CONNECTIONS} connections`, load: wrk },
  http2: {
    tool: "h2load",
    peer: "nghttpx",
    shape: `h2load, ${H2_CONNECTIONS} connections × ${H2_STREAMS} streams`,
    load: h2load,
  },
};

/** @returns undefined where the generator or the back end is missing */
export async function measureCpu(bench: Bench, protocol: Protocol): Promise<Section | undefined> {
  const { options, tools, progress } = bench;
  const plan = PLANS[protocol];
  const program = tools.path(plan.tool);
  const fleet = program === undefined ? undefined : await startFleet(bench, protocol);
  if (program === undefined || fleet === undefined) return undefined;
  const { subjects } = fleet;
  for (const { name, port } of subjects) {
    progress(`${protocol}: warming up ${name}`);
    // V8 compiles while it warms up; programs that are compiled already only need their connections' memory.
    const compiles = name === ONE_SIDECAR || name === TWO_SIDECARS;
    await plan.load(program, port, compiles && !options.quick ? 4 : 1);
  }
  const measured = await interleave(
    subjects,
    options.blocks,
    (subject) => costOf(subject, () => plan.load(program, subject.port, options.seconds)),
    (text) => progress(`${protocol}: ${text}`),
  );
  await fleet.stop();
  const rows = subjects.map(({ name }) => toRow(name, measured.bySubject, plan.peer));
  return {
    title: `CPU per request, ${protocol === "http1" ? "HTTP/1" : "HTTP/2"} (${plan.shape}, 200 B body, closed loop)`,
    columns: [
      { key: "cpuUs", label: "CPU µs/req", digits: 1 },
      { key: "boxUs", label: "machine µs/req", digits: 1 },
      { key: "rate", label: "req/s", digits: 0 },
      { key: "loadIdle", label: "load core idle %", digits: 0 },
      { key: "failures", label: "failed", digits: 0 },
    ],
    ratioLabel: `CPU ÷ ${plan.peer} [95 % CI]`,
    rows,
    notes: [blocksNote(measured), ...idleNotes(rows)],
  };
}

function toRow(name: string, bySubject: ReadonlyMap<string, readonly Turn[]>, peer: string): Row {
  const turns = bySubject.get(name) ?? [];
  const values = {
    cpuUs: name === DIRECT ? undefined : median(turns.map(cpuPerRequest)),
    boxUs: median(turns.map(({ boxUs, load }) => boxUs / load.requests)),
    rate: median(turns.map(({ load }) => load.rate)),
    loadIdle: 100 * median(turns.map(({ loadCoreIdle }) => loadCoreIdle)),
    failures: turns.reduce((sum, { load }) => sum + load.failures, 0),
  };
  const theirs = bySubject.get(peer) ?? [];
  if (name === DIRECT || name === peer || turns.length === 0 || theirs.length === 0) return { subject: name, values };
  const ratio = pairedRatio(turns.map(cpuPerRequest), theirs.map(cpuPerRequest));
  if (name !== ONE_SIDECAR) return { subject: name, values, ratio };
  // A proxy that refuses requests is cheap: its figure counts for nothing.
  const bar =
    values.failures === 0
      ? ratioBar(peer, RATIO_MAX, ratio, turns.length)
      : valueBar("no failed request", 0, values.failures);
  return { subject: name, values, ratio, bars: [bar] };
}

function cpuPerRequest({ cpuUs, load }: Turn): number {
  return cpuUs / load.requests;
}

function idleNotes(rows: readonly Row[]): string[] {
  const busy = rows.filter(({ values }) => (values["loadIdle"] ?? 100) < 100 * LOAD_CORE_IDLE_MIN);
  if (busy.length === 0) return [];
  const names = busy.map(({ subject }) => subject).join(", ");
  return [`req/s of ${names} is what generator and back end could do, not what the subject could: compare CPU`];
}
