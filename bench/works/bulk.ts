/** One large body, as HTTP/1 or as bytes that nobody looks at: CPU per byte, and whether memory stays flat. */
import type { Bench } from "../bench.ts";
import { blocksNote, interleave } from "../blocks.ts";
import { download } from "../load/download.ts";
import { peakRss, resetPeakRss } from "../proc.ts";
import { type Bar, ratioBar, ratioColumns, type Row, type Section, valueBar } from "../report.ts";
import { type Interval, median, pairedRatio } from "../stats.ts";
import { BULK_BYTES, MIB } from "../subjects/backend.ts";
import { startFleet } from "../subjects/fleet.ts";
import { DIRECT, ENVOY, HAPROXY, ONE_SIDECAR, TWO_SIDECARS } from "../subjects/names.ts";
import type { Subject } from "../subjects/subject.ts";
import { type Cost, costOf } from "./turn.ts";

const MB = 1e6;
const PATH = "/bulk";
const PEERS = [HAPROXY, ENVOY];
const DOWNLOAD_TIMEOUT_MS = 30_000;
const WARM_UPS = 3;
/** The bar for each of two sidecars. */
const PEAK_RSS_MAX_MB = 150;
/** The bar for opaque TCP through one sidecar, times HAProxy in TCP mode. */
const TCP_RATIO_MAX = 1.5;

export type BulkTraffic = "http1" | "tcp";

interface Turn extends Cost {
  readonly seconds: number;
  /** Bytes, of the largest of the subject's processes. */
  readonly peakRss: number;
}

export function bulkBlocks(blocks: number, traffic: BulkTraffic): number {
  return traffic === "tcp" ? blocks : Math.ceil(blocks / 3);
}

/** The same answer of the same back end either way: over opaque TCP nobody between sees that it is HTTP. */
export async function measureBulk(bench: Bench, traffic: BulkTraffic): Promise<Section | undefined> {
  const { options, progress } = bench;
  const fleet = await startFleet(bench, traffic);
  if (fleet === undefined) return undefined;
  const { subjects } = fleet;
  for (let round = 0; round < WARM_UPS; round++) {
    for (const { port } of subjects) await download(port, PATH, DOWNLOAD_TIMEOUT_MS);
  }
  const label = traffic === "tcp" ? "tcp" : "bulk";
  const blocks = bulkBlocks(options.blocks, traffic);
  const measured = await interleave(subjects, blocks, turn, (text) => progress(`${label}: ${text}`));
  await fleet.stop();
  return {
    title: `${traffic === "tcp" ? "Opaque TCP" : "HTTP/1"}, one body of ${BULK_BYTES / MIB} MiB on one connection`,
    columns: [
      { key: "cpuUs", label: "CPU µs/MiB", digits: 0 },
      { key: "rate", label: "MiB/s", digits: 0 },
      { key: "peakRss", label: "peak RSS MB", digits: 0 },
    ],
    intervals: ratioColumns(
      "CPU",
      PEERS.filter((peer) => measured.bySubject.has(peer)),
    ),
    rows: subjects.map(({ name }) => toRow(name, measured.bySubject, traffic)),
    notes: [blocksNote(measured), "peak RSS of the larger of two processes, over all turns"],
  };
}

async function turn(subject: Subject): Promise<Turn> {
  const pids = subject.processes.map(({ pid }) => pid);
  for (const pid of pids) resetPeakRss(pid);
  const before = performance.now();
  const cost = await costOf(subject, () => download(subject.port, PATH, DOWNLOAD_TIMEOUT_MS));
  return { ...cost, seconds: (performance.now() - before) / 1_000, peakRss: Math.max(0, ...pids.map(peakRss)) };
}

function toRow(name: string, bySubject: ReadonlyMap<string, readonly Turn[]>, traffic: BulkTraffic): Row {
  const turns = bySubject.get(name) ?? [];
  const peak = Math.max(...turns.map((each) => each.peakRss)) / MB;
  const direct = name === DIRECT;
  const values = {
    cpuUs: direct ? undefined : median(turns.map(({ cpuUs }) => cpuUs / (BULK_BYTES / MIB))),
    rate: median(turns.map(({ seconds }) => BULK_BYTES / MIB / seconds)),
    peakRss: direct ? undefined : peak,
  };
  if (direct || turns.length === 0) return { subject: name, values };
  const ratios: Record<string, Interval> = {};
  for (const peer of PEERS) {
    const theirs = bySubject.get(peer) ?? [];
    if (theirs.length > 0 && peer !== name) ratios[peer] = pairedRatio(turns.map(cpu), theirs.map(cpu));
  }
  if (name !== ONE_SIDECAR && name !== TWO_SIDECARS) return { subject: name, values, intervals: ratios };
  const bars: Bar[] = [valueBar(`each ≤ ${PEAK_RSS_MAX_MB} MB`, PEAK_RSS_MAX_MB, peak, 0)];
  const ratio = ratios[HAPROXY];
  if (name === ONE_SIDECAR && traffic === "tcp" && ratio !== undefined) {
    bars.push(ratioBar(`${HAPROXY} in TCP mode`, TCP_RATIO_MAX, ratio, turns.length));
  }
  return { subject: name, values, intervals: ratios, bars };
}

function cpu({ cpuUs }: Turn): number {
  return cpuUs;
}
