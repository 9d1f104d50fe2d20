/**
 * Latency at fixed rates, timed from when each request was due, and by how much a subject adds to the direct way. At the
 * rate that a bar hangs on, once with the proxy's core left to sleep and once with it kept awake; at the others awake.
 */
import { join } from "node:path";

import type { Bench } from "../bench.ts";
import { blocksNote, interleave, type Measured } from "../blocks.ts";
import { LOAD_SLACK_MS } from "../load/load.ts";
import type { OpenLoopResult } from "../load/schedule.ts";
import { startSpinner } from "../load/spinners.ts";
import type { Options } from "../options.ts";
import { LOAD_CORE, PROXY_CORE, run } from "../processes.ts";
import { type Bar, intervalBar, PAIRS_MIN, type Row, type Section, valueBar } from "../report.ts";
import { type Interval, pairedDifference, quantile, sorted } from "../stats.ts";
import { BODY_BYTES } from "../subjects/backend.ts";
import { startFleet } from "../subjects/fleet.ts";
import { DIRECT, NGINX, TWO_SIDECARS } from "../subjects/names.ts";
import type { Subject } from "../subjects/subject.ts";
import { type Cost, costOf } from "./turn.ts";

/** Requests per second. */
const BAR_RATE = 1_000;
const OTHER_RATES = [500, 2_000];
/** The bar: what two sidecars may add to the direct p99 at that rate. */
const ADDED_P99_MAX_US = 1_000;
const WARM_UP_RATE = 5_000;
const GENERATOR = join(import.meta.dirname, "..", "open-loop.ts");
/** MiB of young generation that a turn's garbage fits into, and no thread beside the one that measures. */
const GENERATOR_FLAGS = ["--max-semi-space-size=128", "--min-semi-space-size=128", "--single-threaded-gc"];
/** Starting the generator and its warm-up, beyond the seconds of its turn. */
const TURN_OVERHEAD_SECONDS = 0.6;

interface Turn extends Cost {
  readonly load: OpenLoopResult;
}

interface Round {
  readonly rate: number;
  readonly awake: boolean;
}

export function latencySeconds(options: Options): number {
  const { seconds, blocks, otherBlocks } = pace(options);
  const subjects = 5;
  const turns = subjects * (2 * blocks + OTHER_RATES.length * otherBlocks);
  return 6 + subjects * (options.quick ? 1 : 3) + turns * (seconds + TURN_OVERHEAD_SECONDS);
}

export async function measureLatency(bench: Bench): Promise<Section[] | undefined> {
  const { options, tools, progress } = bench;
  const fleet = await startFleet(bench, "http1");
  if (fleet === undefined) return undefined;
  // nginx would tell little that HAProxy does not, and the run is bounded.
  const subjects = fleet.subjects.filter(({ name }) => name !== NGINX);
  const chrt = tools.path("chrt");
  for (const subject of subjects) {
    progress(`latency: warming up ${subject.name}`);
    await generate(chrt, subject, WARM_UP_RATE, options.quick ? 1 : 3);
  }
  const { blocks, otherBlocks, seconds } = pace(options);
  const sections: Section[] = [];
  const others = OTHER_RATES.map((rate) => ({ rate, awake: chrt !== undefined }));
  const rounds = [{ rate: BAR_RATE, awake: false }, ...(chrt === undefined ? [] : [{ rate: BAR_RATE, awake: true }])];
  for (const round of [...rounds, ...others]) {
    const spinner = round.awake && chrt !== undefined ? startSpinner(chrt, PROXY_CORE) : undefined;
    const measured = await interleave(
      subjects,
      round.rate === BAR_RATE ? blocks : otherBlocks,
      (subject) => costOf(subject, () => generate(chrt, subject, round.rate, seconds)),
      (text) => progress(`latency, ${describeRound(round)}: ${text}`),
    );
    await spinner?.stop();
    sections.push(toSection(round, subjects, measured, seconds));
  }
  await fleet.stop();
  return sections;
}

/** Four rounds are done of it: fewer blocks than elsewhere keep the whole run short, fewest where no bar hangs on them. */
function pace({ blocks, seconds }: Options): Record<"blocks" | "otherBlocks" | "seconds", number> {
  return { blocks: Math.min(blocks, PAIRS_MIN), otherBlocks: Math.min(blocks, 3), seconds };
}

async function generate(
  chrt: string | undefined,
  { port }: Subject,
  rate: number,
  seconds: number,
): Promise<OpenLoopResult> {
  // Where there is no SCHED_IDLE, the weakest of the ordinary class.
  const behind = chrt === undefined ? ["nice", "-n", "19"] : [chrt, "-i", "0"];
  const program = [process.execPath, ...GENERATOR_FLAGS, GENERATOR, String(port), String(rate), String(seconds)];
  const output = await run([...behind, ...program], { cores: LOAD_CORE }, seconds * 1_000 + LOAD_SLACK_MS);
  return JSON.parse(output) as OpenLoopResult;
}

function describeRound({ rate, awake }: Round): string {
  return `${rate} req/s, the proxy's core ${awake ? "kept awake" : "may sleep"}`;
}

function toSection(round: Round, subjects: readonly Subject[], measured: Measured<Turn>, seconds: number): Section {
  const { bySubject } = measured;
  const lags = sorted([...bySubject.values()].flat().flatMap(({ load }) => load.lags));
  const [lag50, lag99] = [quantile(lags, 0.5).toFixed(0), quantile(lags, 0.99).toFixed(0)];
  return {
    title: `Latency, HTTP/1, ${BODY_BYTES} B body (open loop, ${describeRound(round)})`,
    columns: [
      { key: "p50", label: "p50 µs", digits: 0 },
      { key: "p99", label: "p99 µs", digits: 0 },
      { key: "p999", label: "p99.9 µs", digits: 0 },
      { key: "cpuUs", label: "CPU µs/req", digits: 1 },
      { key: "failures", label: "failed", digits: 0 },
    ],
    intervals: [
      { key: "p50", label: "p50 − direct [95 % CI]", digits: 0 },
      { key: "p99", label: "p99 − direct [95 % CI]", digits: 0 },
    ],
    rows: subjects.map(({ name }) => toRow(name, bySubject, round)),
    notes: [
      blocksNote(measured),
      `${round.rate * seconds} requests a turn; percentiles over all turns, what is added over pairs of turns`,
      `included in all: the generator's own lag, p50 ${lag50} µs, p99 ${lag99} µs`,
    ],
  };
}

function toRow(name: string, bySubject: ReadonlyMap<string, readonly Turn[]>, { rate }: Round): Row {
  const turns = bySubject.get(name) ?? [];
  const latencies = sorted(turns.flatMap(({ load }) => load.latencies));
  const values = {
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
    p999: quantile(latencies, 0.999),
    // Over all turns: in one of them the kernel's ticks of 10 ms would be coarse.
    cpuUs: name === DIRECT ? undefined : sum(turns.map(({ cpuUs }) => cpuUs)) / latencies.length,
    failures: sum(turns.map(({ load }) => load.failures)),
  };
  const direct = bySubject.get(DIRECT) ?? [];
  if (name === DIRECT || turns.length === 0) return { subject: name, values };
  const intervals = { p50: added(turns, direct, 0.5), p99: added(turns, direct, 0.99) };
  if (name !== TWO_SIDECARS || rate !== BAR_RATE) return { subject: name, values, intervals };
  return { subject: name, values, intervals, bars: [verdict(intervals.p99, values.failures, turns.length)] };
}

function verdict(addedP99: Interval, failures: number, blocks: number): Bar {
  if (failures > 0) return valueBar("no failed request", 0, failures, 0);
  return intervalBar(`p99 ≤ ${ADDED_P99_MAX_US} µs over direct`, ADDED_P99_MAX_US, addedP99, blocks, 0);
}

function added(turns: readonly Turn[], direct: readonly Turn[], q: number): Interval {
  const of = ({ load }: Turn): number => quantile(sorted(load.latencies), q);
  return pairedDifference(turns.map(of), direct.map(of));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
