/** Whether the memory of two sidecars stays flat while traffic of every kind goes through them for minutes. */
import { setTimeout as sleep } from "node:timers/promises";

import type { Bench } from "../bench.ts";
import { download } from "../load/download.ts";
import type { LoadResult } from "../load/load.ts";
import type { Options } from "../options.ts";
import { type Memory, memory } from "../proc.ts";
import type { Child } from "../processes.ts";
import { type Bar, type Row, type Section, valueBar } from "../report.ts";
import { median, theilSenSlope } from "../stats.ts";
import { BULK_BYTES, MIB } from "../subjects/backend.ts";
import { startControl, startMixedSidecars } from "../subjects/heddle.ts";
import type { Traffic } from "../subjects/subject.ts";
import type { Load } from "./closed.ts";
import { bodies, churn, grpc, http1, http2, stream, websocket } from "./loops.ts";

const MB = 1e6;
/** Seconds of one round of one load: then it opens its connections anew. */
const ROUND_SECONDS = 5;
const SAMPLE_MS = 2_000;
/** The first part of the run, in which heaps and code grow to their size, does not count. */
const WARM_UP_SHARE = 0.25;
/** What counts as flat: growth by the slope, over the part that counts, as a share of the median. */
const GROWTH_MAX_PERCENT = 5;
/** In a shorter run the noise of collections is more than that. */
const DECIDING_MINUTES = 10;
const DOWNLOAD_TIMEOUT_MS = 60_000;

interface MixedLoad {
  readonly name: string;
  readonly traffic: Traffic;
  readonly load: Load;
}

export interface Sample {
  /** Minutes since the beginning. */
  readonly at: number;
  readonly memories: readonly Memory[];
}

interface Tally {
  requests: number;
  failures: number;
  failed: string | undefined;
}

export function soakSeconds({ minutes }: Options): number {
  return 60 * minutes + 2 * ROUND_SECONDS;
}

export async function measureSoak(bench: Bench): Promise<Section | undefined> {
  const { minutes } = bench.options;
  const loads = [...[http1, bodies, churn, http2, grpc, stream, websocket].flatMap((of) => of(bench)), tcp];
  const backends = new Map<Traffic, number>();
  for (const { traffic } of loads) {
    const port = await bench.backends.port(traffic);
    if (port === undefined) return undefined;
    backends.set(traffic, port);
  }
  const control = await startControl();
  const { ports, caller, callee } = await startMixedSidecars(backends, control);
  const deadline = performance.now() + minutes * 60_000;
  const tallies = loads.map((): Tally => ({ requests: 0, failures: 0, failed: undefined }));
  const running = loads.map(async ({ traffic, load }, index) => {
    const tally = tallies[index];
    if (tally !== undefined) await keepUp(load, ports.get(traffic) ?? 0, deadline, tally);
  });
  const samples = await sample([caller, callee], minutes, (text) => bench.progress(`soak: ${text}`));
  await Promise.all(running);
  await Promise.all([caller, callee, control.child].map((child) => child.stop()));
  return {
    title: `Memory of two sidecars over ${minutes} minutes of mixed load`,
    columns: [
      { key: "median", label: "private dirty MB, median", digits: 1 },
      { key: "max", label: "max", digits: 1 },
      { key: "last", label: "last", digits: 1 },
      { key: "slope", label: "slope MB/h", digits: 1 },
      { key: "growth", label: "growth %", digits: 1 },
      { key: "rss", label: "RSS MB, median", digits: 1 },
      { key: "rssMax", label: "max", digits: 1 },
    ],
    rows: ["the caller's sidecar", "the callee's sidecar"].map((name, index) => soakRow(name, index, samples, minutes)),
    notes: [
      `${samples.length} samples, the first ${100 * WARM_UP_SHARE} % of the time left out; slope by Theil and Sen, growth is what it makes of the rest`,
      ...loads.map(({ name }, index) => describe(name, tallies[index])),
    ],
  };
}

const tcp: MixedLoad = {
  name: "tcp",
  traffic: "tcp",
  async load(port, seconds) {
    const until = performance.now() + seconds * 1_000;
    let requests = 0;
    while (performance.now() < until) {
      await download(port, "/bulk", DOWNLOAD_TIMEOUT_MS);
      requests += BULK_BYTES / MIB;
    }
    return { requests, rate: requests / seconds, failures: 0 };
  },
};

async function keepUp(load: Load, port: number, deadline: number, tally: Tally): Promise<void> {
  while (performance.now() < deadline) {
    try {
      const { requests, failures }: LoadResult = await load(port, ROUND_SECONDS);
      tally.requests += requests;
      tally.failures += failures;
    } catch (error) {
      // One that cannot be carried is told of and does not spoil the others.
      tally.failed = (error as Error).message;
      return;
    }
  }
}

async function sample(children: readonly Child[], minutes: number, progress: Bench["progress"]): Promise<Sample[]> {
  const samples: Sample[] = [];
  const begun = performance.now();
  for (let at = 0; at < minutes;) {
    await sleep(SAMPLE_MS);
    for (const child of children) child.check();
    at = (performance.now() - begun) / 60_000;
    const memories = children.map(({ pid }) => memory(pid));
    samples.push({ at, memories });
    const dirty = memories.map(({ privateDirty }) => (privateDirty / MB).toFixed(1)).join(" and ");
    if (samples.length % 15 === 1) progress(`${at.toFixed(1)} of ${minutes} minutes, ${dirty} MB private dirty`);
  }
  return samples;
}

/** @param index of the process in each sample */
export function soakRow(subject: string, index: number, samples: readonly Sample[], minutes: number): Row {
  const counted = samples.filter(({ at }) => at >= WARM_UP_SHARE * minutes);
  const of = (kind: keyof Memory): number[] => counted.map(({ memories }) => (memories[index]?.[kind] ?? 0) / MB);
  const dirty = of("privateDirty");
  const slope = theilSenSlope(counted.map(({ at }, i) => ({ x: at, y: dirty[i] ?? 0 })));
  const growth = (100 * slope * (1 - WARM_UP_SHARE) * minutes) / median(dirty);
  const text = `grows by ≤ ${GROWTH_MAX_PERCENT} %`;
  const judged = valueBar(text, GROWTH_MAX_PERCENT, growth);
  const bar: Bar = minutes < DECIDING_MINUTES ? { ...judged, verdict: "undecided" } : judged;
  return {
    subject,
    values: {
      median: median(dirty),
      max: Math.max(...dirty),
      last: dirty.at(-1),
      slope: 60 * slope,
      growth,
      rss: median(of("rss")),
      rssMax: Math.max(...of("rss")),
    },
    bars: [bar],
  };
}

function describe(name: string, tally: Tally | undefined): string {
  const { requests, failures, failed } = tally ?? { requests: 0, failures: 0, failed: "not begun" };
  const end = failed === undefined ? "" : `, then ended: ${failed}`;
  return `${name}: ${requests.toLocaleString("en")} carried, ${failures} failed${end}`;
}
