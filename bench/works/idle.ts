/** What a sidecar costs before it does anything: memory of ten that idle side by side, and time to /ready. */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import type { Bench } from "../bench.ts";
import { awaitOk, freePort } from "../ports.ts";
import { memory } from "../proc.ts";
import { ANY_CORE, type Child } from "../processes.ts";
import { type Row, type Section, valueBar } from "../report.ts";
import { median } from "../stats.ts";
import { type Control, launchSidecar, startControl } from "../subjects/heddle.ts";

const SIDECARS = 10;
const MB = 1e6;
const PRIVATE_DIRTY_MAX_MB = 50;
const PSS_MAX_MB = 55;
const READY_MAX_MS = 500;

export async function measureIdle(bench: Bench): Promise<Section[]> {
  const control = await startControl();
  try {
    return [await measureMemory(bench, control), await measureStart(bench, control)];
  } finally {
    await control.child.stop();
  }
}

async function measureMemory({ options, progress }: Bench, control: Control): Promise<Section> {
  progress(`idle: starting ${SIDECARS} sidecars`);
  const sidecars: Child[] = [];
  const started = await Promise.all(Array.from({ length: SIDECARS }, (_, i) => launch(control, `idle-${i}`)));
  for (const { child, admin } of started) {
    await awaitOk(child, admin, "/ready");
    sidecars.push(child);
  }
  progress("idle: letting them settle");
  await sleep(options.quick ? 3_000 : 10_000);
  for (const child of sidecars) child.check();
  const memories = sidecars.map(({ pid }) => memory(pid));
  await Promise.all(sidecars.map((child) => child.stop()));
  const dirty = memories.map(({ privateDirty }) => privateDirty / MB);
  const pss = memories.map((each) => each.pss / MB);
  const rss = memories.map((each) => each.rss / MB);
  const row = (subject: string, of: (values: number[]) => number) => ({
    subject,
    values: { privateDirty: of(dirty), pss: of(pss), rss: of(rss) },
  });
  return {
    title: `Memory of an idle sidecar among ${SIDECARS}`,
    columns: [
      { key: "privateDirty", label: "private dirty MB", digits: 1 },
      { key: "pss", label: "PSS MB", digits: 1 },
      { key: "rss", label: "RSS MB", digits: 1 },
    ],
    rows: [
      {
        ...row("median", median),
        bars: [
          valueBar(`private dirty ≤ ${PRIVATE_DIRTY_MAX_MB} MB`, PRIVATE_DIRTY_MAX_MB, median(dirty)),
          valueBar(`PSS ≤ ${PSS_MAX_MB} MB`, PSS_MAX_MB, median(pss)),
        ],
      },
      row("largest", (values) => Math.max(...values)),
    ],
    notes: ["each with one inbound and one outbound listener, connected to a control plane; 1 MB = 1,000,000 bytes"],
  };
}

async function measureStart({ options, folder, progress }: Bench, control: Control): Promise<Section> {
  const rounds = options.quick ? 3 : 9;
  const cold: number[] = [];
  const warm: number[] = [];
  for (let round = 0; round < rounds; round++) {
    progress(`idle: start ${round + 1} of ${rounds}`);
    const cache = mkdtempSync(join(folder, "compile-cache-"));
    cold.push(await startTime(control, cache));
    warm.push(await startTime(control, cache));
    rmSync(cache, { recursive: true });
  }
  return {
    title: "Start of a sidecar to /ready",
    columns: [
      { key: "median", label: "median ms", digits: 0 },
      { key: "worst", label: "worst ms", digits: 0 },
    ],
    rows: [startRow("first start ever (no compiled code kept)", cold), startRow("any later start", warm)],
    notes: [`${rounds} starts each, from spawning the process to its first 200, the control plane's answer included`],
  };
}

function startRow(subject: string, times: readonly number[]): Row {
  return {
    subject,
    values: { median: median(times), worst: Math.max(...times) },
    bars: [valueBar(`≤ ${READY_MAX_MS} ms`, READY_MAX_MS, median(times))],
  };
}

/** Milliseconds to /ready. The orderly end afterwards writes the compiled code into the cache. */
async function startTime(control: Control, cache: string): Promise<number> {
  const before = performance.now();
  const { child, admin } = await launch(control, "starting", { NODE_COMPILE_CACHE: cache });
  await awaitOk(child, admin, "/ready");
  const time = performance.now() - before;
  await child.stop();
  return time;
}

async function launch(
  control: Control,
  workload: string,
  env: Record<string, string> = {},
): Promise<{ child: Child; admin: number }> {
  const inbound = { port: await freePort(), target: await freePort(), protocol: "http" } as const;
  const outbound = await freePort();
  return launchSidecar({ workload, service: "idle", xds: control.xds, inbound, outbound, cores: ANY_CORE, env });
}
