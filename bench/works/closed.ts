/** CPU for one piece of work (a request, a message, a connection) in a closed loop at a fixed concurrency. */
import type { Bench } from "../bench.ts";
import { blocksNote, interleave } from "../blocks.ts";
import type { LoadResult } from "../load/load.ts";
import { type Bar, ratioBar, ratioColumns, type Row, type Section, valueBar } from "../report.ts";
import { type Interval, median, pairedRatio } from "../stats.ts";
import { startFleet } from "../subjects/fleet.ts";
import { DIRECT, ONE_SIDECAR, TWO_SIDECARS } from "../subjects/names.ts";
import type { Subject, Traffic } from "../subjects/subject.ts";
import { type Cost, costOf } from "./turn.ts";

/** Below this share of idle time the load's core, not the subject, sets the pace. */
const LOAD_CORE_IDLE_MIN = 0.15;

export type Load = (port: number, seconds: number) => Promise<LoadResult>;

/** The bar for one sidecar: at most so many times the peer's CPU. */
export interface PeerBar {
  readonly peer: string;
  readonly limit: number;
}

export interface ClosedLoop {
  /** For the progress. */
  readonly name: string;
  readonly title: string;
  readonly traffic: Traffic;
  /** What is counted: "req", "message". */
  readonly unit: string;
  /** Peers that one sidecar is compared with, those with a bar among them. */
  readonly peers: readonly string[];
  readonly bars?: readonly PeerBar[];
  readonly blocks: number;
  readonly seconds: number;
  /** Seconds for which a program that compiles while it runs is warmed up. */
  readonly warmUp: number;
  readonly load: Load;
  /** @throws Error if what comes back by this port is not as it should be */
  readonly check?: (port: number) => Promise<void>;
}

interface Turn extends Cost {
  readonly load: LoadResult;
}

/** Measures several loops with the same subjects. @returns undefined where the back end is missing */
export async function measureClosed(bench: Bench, loops: readonly ClosedLoop[]): Promise<Section[] | undefined> {
  const [first] = loops;
  const fleet = first === undefined ? undefined : await startFleet(bench, first.traffic);
  if (fleet === undefined) return undefined;
  const sections: Section[] = [];
  for (const loop of loops) sections.push(await measureLoop(bench.progress, loop, fleet.subjects, loop === first));
  await fleet.stop();
  return sections;
}

/** @param cold nothing has gone through the subjects yet */
export async function measureLoop(
  progress: Bench["progress"],
  loop: ClosedLoop,
  subjects: readonly Subject[],
  cold: boolean,
): Promise<Section> {
  const { name: what, unit, blocks, seconds } = loop;
  const able: Subject[] = [];
  const unable: { readonly name: string; readonly reason: string }[] = [];
  for (const subject of subjects) {
    progress(`${what}: warming up ${subject.name}`);
    const reason = cold || compiles(subject) ? await warmUp(loop, subject) : undefined;
    if (reason === undefined) able.push(subject);
    else unable.push({ name: subject.name, reason });
  }
  const measured = await interleave(
    able,
    blocks,
    (subject) => costOf(subject, () => loop.load(subject.port, seconds)),
    (text) => progress(`${what}: ${text}`),
  );
  const rows = able.map(({ name }) => toRow(name, measured.bySubject, loop));
  return {
    title: loop.title,
    columns: [
      { key: "cpuUs", label: `CPU µs/${unit}`, digits: 1 },
      { key: "boxUs", label: `machine µs/${unit}`, digits: 1 },
      { key: "rate", label: `${unit}/s`, digits: 0 },
      { key: "loadIdle", label: "load core idle %", digits: 0 },
      { key: "failures", label: "failed", digits: 0 },
    ],
    intervals: ratioColumns(
      "CPU",
      loop.peers.filter((peer) => able.some(({ name }) => name === peer)),
    ),
    rows: [...rows, ...unable.map(({ name }) => unableRow(name))],
    notes: [
      blocksNote(measured),
      ...idleNotes(rows, `${unit}/s`),
      ...unable.map(({ name, reason }) => `${name} does not carry it: ${reason}`),
    ],
  };
}

/** V8 compiles while it warms up; programs that are compiled already only need their connections' memory. */
function compiles({ name }: Subject): boolean {
  return name === ONE_SIDECAR || name === TWO_SIDECARS;
}

/** @returns why it cannot carry this; undefined: it can */
async function warmUp(loop: ClosedLoop, subject: Subject): Promise<string | undefined> {
  const { name, port } = subject;
  try {
    await loop.check?.(port);
    const { requests, failures } = await loop.load(port, compiles(subject) ? loop.warmUp : 1);
    return requests === 0 ? `nothing came back, ${failures} failed` : undefined;
  } catch (error) {
    if (name === DIRECT) throw error;
    return (error as Error).message;
  }
}

function toRow(name: string, bySubject: ReadonlyMap<string, readonly Turn[]>, loop: ClosedLoop): Row {
  const turns = bySubject.get(name) ?? [];
  const values = {
    cpuUs: name === DIRECT ? undefined : median(turns.map(cpuPerPiece)),
    boxUs: median(turns.map(({ boxUs, load }) => boxUs / load.requests)),
    rate: median(turns.map(({ load }) => load.rate)),
    loadIdle: 100 * median(turns.map(({ loadCoreIdle }) => loadCoreIdle)),
    failures: turns.reduce((sum, { load }) => sum + load.failures, 0),
  };
  if (name === DIRECT || turns.length === 0) return { subject: name, values };
  const ratios: Record<string, Interval> = {};
  for (const peer of loop.peers) {
    const theirs = bySubject.get(peer) ?? [];
    if (theirs.length > 0 && peer !== name) ratios[peer] = pairedRatio(turns.map(cpuPerPiece), theirs.map(cpuPerPiece));
  }
  const { bars = [] } = loop;
  if (name !== ONE_SIDECAR || bars.length === 0) return { subject: name, values, intervals: ratios };
  return { subject: name, values, intervals: ratios, bars: verdicts(bars, ratios, values.failures, turns.length) };
}

/** A proxy that refuses requests is cheap: its figure counts for nothing. */
function verdicts(
  bars: readonly PeerBar[],
  ratios: Readonly<Record<string, Interval>>,
  failures: number,
  blocks: number,
): Bar[] {
  if (failures > 0) return [valueBar("no failed request", 0, failures, 0)];
  return bars.flatMap(({ peer, limit }) => {
    const ratio = ratios[peer];
    return ratio === undefined ? [] : [ratioBar(peer, limit, ratio, blocks)];
  });
}

/** Heddle has to carry everything. */
function unableRow(name: string): Row {
  const ours = name === ONE_SIDECAR || name === TWO_SIDECARS;
  const missed: Bar = { text: "carries it", figure: "no", verdict: "missed" };
  return { subject: name, values: {}, ...(ours ? { bars: [missed] } : {}) };
}

function cpuPerPiece({ cpuUs, load }: Turn): number {
  return cpuUs / load.requests;
}

function idleNotes(rows: readonly Row[], rate: string): string[] {
  const busy = rows.filter(({ values }) => (values["loadIdle"] ?? 100) < 100 * LOAD_CORE_IDLE_MIN);
  if (busy.length === 0) return [];
  const names = busy.map(({ subject }) => subject).join(", ");
  return [`${rate} of ${names} is what generator and back end could do, not what the subject could: compare CPU`];
}
