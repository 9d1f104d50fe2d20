/** One large body: CPU per byte, and whether memory stays flat. */
import type { Bench } from "../bench.ts";
import { blocksNote, interleave } from "../blocks.ts";
import { download } from "../load/download.ts";
import { peakRss, resetPeakRss } from "../proc.ts";
import { type Row, type Section, valueBar } from "../report.ts";
import { median, pairedRatio } from "../stats.ts";
import { BULK_BYTES, BULK_PATH } from "../subjects/backend.ts";
import { DIRECT, startFleet } from "../subjects/fleet.ts";
import { ONE_SIDECAR, TWO_SIDECARS } from "../subjects/heddle.ts";
import type { Subject } from "../subjects/subject.ts";
import { type Cost, costOf } from "./turn.ts";

const MIB = 1024 * 1024;
const MB = 1e6;
const PEER = "HAProxy";
const DOWNLOAD_TIMEOUT_MS = 30_000;
/** The bar for each of two sidecars. */
const PEAK_RSS_MAX_MB = 150;

interface Turn extends Cost {
  readonly seconds: number;
  /** Bytes, of the largest of the subject's processes. */
  readonly peakRss: number;
}

export async function measureBulk(bench: Bench): Promise<Section | undefined> {
  const { options, progress } = bench;
  const fleet = await startFleet(bench, "http1");
  if (fleet === undefined) return undefined;
  const { subjects } = fleet;
  for (const { port } of subjects) await download(port, BULK_PATH, DOWNLOAD_TIMEOUT_MS);
  const measured = await interleave(subjects, Math.ceil(options.blocks / 3), turn, (text) => progress(`bulk: ${text}`));
  await fleet.stop();
  return {
    title: `One body of ${BULK_BYTES / MIB} MiB, HTTP/1`,
    columns: [
      { key: "cpuUs", label: "CPU µs/MiB", digits: 0 },
      { key: "rate", label: "MiB/s", digits: 0 },
      { key: "peakRss", label: "peak RSS MB", digits: 0 },
    ],
    ratioLabel: `CPU ÷ ${PEER} [95 % CI]`,
    rows: subjects.map(({ name }) => toRow(name, measured.bySubject)),
    notes: [blocksNote(measured), "peak RSS of the larger of two processes, over all turns"],
  };
}

async function turn(subject: Subject): Promise<Turn> {
  const pids = subject.processes.map(({ pid }) => pid);
  for (const pid of pids) resetPeakRss(pid);
  const before = performance.now();
  const cost = await costOf(subject, () => download(subject.port, BULK_PATH, DOWNLOAD_TIMEOUT_MS));
  return { ...cost, seconds: (performance.now() - before) / 1_000, peakRss: Math.max(0, ...pids.map(peakRss)) };
}

function toRow(name: string, bySubject: ReadonlyMap<string, readonly Turn[]>): Row {
  const turns = bySubject.get(name) ?? [];
  const peak = Math.max(...turns.map((each) => each.peakRss)) / MB;
  const direct = name === DIRECT;
  const values = {
    cpuUs: direct ? undefined : median(turns.map(({ cpuUs }) => cpuUs / (BULK_BYTES / MIB))),
    rate: median(turns.map(({ seconds }) => BULK_BYTES / MIB / seconds)),
    peakRss: direct ? undefined : peak,
  };
  const theirs = bySubject.get(PEER) ?? [];
  if (direct || name === PEER || turns.length === 0 || theirs.length === 0) return { subject: name, values };
  const ratio = pairedRatio(
    turns.map(({ cpuUs }) => cpuUs),
    theirs.map(({ cpuUs }) => cpuUs),
  );
  if (name !== ONE_SIDECAR && name !== TWO_SIDECARS) return { subject: name, values, ratio };
  return { subject: name, values, ratio, bars: [valueBar(`each ≤ ${PEAK_RSS_MAX_MB} MB`, PEAK_RSS_MAX_MB, peak)] };
}
