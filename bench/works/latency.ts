/** Latency at a fixed rate, timed from when each request was due; with virtual cores left to sleep and kept awake. */
import { join } from "node:path";

import type { Bench } from "../bench.ts";
import { blocksNote, interleave, type Measured } from "../blocks.ts";
import { LOAD_SLACK_MS } from "../load/load.ts";
import type { OpenLoopResult } from "../load/schedule.ts";
import { startSpinners } from "../load/spinners.ts";
import { LOAD_CORE, run } from "../processes.ts";
import type { Row, Section } from "../report.ts";
import { pairedRatio, quantile, sorted } from "../stats.ts";
import { DIRECT, startFleet } from "../subjects/fleet.ts";
import type { Subject } from "../subjects/subject.ts";
import { type Cost, costOf } from "./turn.ts";

const RATE = 1_000;
const WARM_UP_RATE = 5_000;
const PEER = "HAProxy";
const GENERATOR = join(import.meta.dirname, "..", "open-loop.ts");

interface Turn extends Cost {
  readonly load: OpenLoopResult;
}

export async function measureLatency(bench: Bench): Promise<Section[]> {
  const { options, tools, progress } = bench;
  const fleet = await startFleet(bench, "http1");
  if (fleet === undefined) return [];
  // nginx would tell little that HAProxy does not, and the run is bounded.
  const subjects = fleet.subjects.filter(({ name }) => name !== "nginx");
  for (const subject of subjects) {
    progress(`latency: warming up ${subject.name}`);
    await generate(subject, WARM_UP_RATE, options.quick ? 1 : 3);
  }
  // All is done twice here: half the blocks and shorter turns keep the whole run under ten minutes.
  const blocks = Math.ceil(options.blocks / 2);
  const seconds = Math.max(1, options.seconds - 1);
  const sections: Section[] = [];
  const chrt = tools.path("chrt");
  for (const awake of chrt === undefined ? [false] : [false, true]) {
    const spinners = awake && chrt !== undefined ? startSpinners(chrt) : [];
    const cores = awake ? "cores kept awake" : "cores may sleep";
    const measured = await interleave(
      subjects,
      blocks,
      (subject) => costOf(subject, () => generate(subject, RATE, seconds)),
      (text) => progress(`latency, ${cores}: ${text}`),
    );
    await Promise.all(spinners.map((spinner) => spinner.stop()));
    sections.push(toSection(cores, subjects, measured, seconds));
  }
  await fleet.stop();
  return sections;
}

async function generate({ port }: Subject, rate: number, seconds: number): Promise<OpenLoopResult> {
  const command = [process.execPath, GENERATOR, String(port), String(rate), String(seconds)];
  const output = await run(command, { cores: LOAD_CORE }, seconds * 1_000 + LOAD_SLACK_MS);
  return JSON.parse(output) as OpenLoopResult;
}

function toSection(cores: string, subjects: readonly Subject[], measured: Measured<Turn>, seconds: number): Section {
  const { bySubject } = measured;
  const all = [...bySubject.values()].flat();
  const lags = sorted(all.flatMap(({ load }) => load.lags));
  const [lag50, lag99] = [quantile(lags, 0.5).toFixed(0), quantile(lags, 0.99).toFixed(0)];
  return {
    title: `Latency, HTTP/1 (open loop, ${RATE} req/s, 200 B body, ${cores})`,
    columns: [
      { key: "p50", label: "p50 µs", digits: 0 },
      { key: "p99", label: "p99 µs", digits: 0 },
      { key: "p999", label: "p99.9 µs", digits: 0 },
      { key: "cpuUs", label: "CPU µs/req", digits: 1 },
      { key: "failures", label: "failed", digits: 0 },
    ],
    ratioLabel: `p99 ÷ ${PEER} [95 % CI]`,
    rows: subjects.map(({ name }) => toRow(name, bySubject)),
    notes: [
      blocksNote(measured),
      `${RATE * seconds} requests a turn; percentiles over all turns, the ratio over pairs of turns`,
      `included in all: the generator's own lag, p50 ${lag50} µs, p99 ${lag99} µs`,
    ],
  };
}

function toRow(name: string, bySubject: ReadonlyMap<string, readonly Turn[]>): Row {
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
  const theirs = bySubject.get(PEER) ?? [];
  if (name === PEER || turns.length === 0 || theirs.length === 0) return { subject: name, values };
  return { subject: name, values, ratio: pairedRatio(turns.map(p99), theirs.map(p99)) };
}

function p99({ load }: Turn): number {
  return quantile(sorted(load.latencies), 0.99);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
