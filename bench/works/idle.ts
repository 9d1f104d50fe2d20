/** What a sidecar costs before it does anything: memory of ten that idle side by side, and time to /ready. */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import type { Bench } from "../bench.ts";
import { awaitOk, freePort } from "../ports.ts";
import type { Options } from "../options.ts";
import { type Memory, memory } from "../proc.ts";
import { ANY_CORE, type Child } from "../processes.ts";
import { type Row, type Section, valueBar } from "../report.ts";
import { median } from "../stats.ts";
import { type Control, launchSidecar, startControl, register } from "../subjects/heddle.ts";

const SIDECARS = 10;
const MB = 1e6;
/** Whether Node finds code that an earlier run compiled; if not, it strips types itself, which takes time and memory. */
const COLD = "first start ever (no compiled code kept)";
const WARM = "any later start";
const PRIVATE_DIRTY_MAX_MB = 40;
const PSS_MAX_MB = 45;
/** The bar that the project set itself for the start. */
const READY_MAX_MS = 500;
/** How long they are left alone before their memory is read. */
const SETTLE_MS = 10_000;
const QUICK_SETTLE_MS = 3_000;

export function idleSeconds({ quick }: Options): number {
  const memories = 2 * (5 + (quick ? QUICK_SETTLE_MS : SETTLE_MS) / 1_000);
  return memories + 2 * startRounds(quick);
}

function startRounds(quick: boolean): number {
  return quick ? 3 : 9;
}

export async function measureIdle(bench: Bench): Promise<Section[]> {
  const control = await startControl();
  try {
    return [await measureMemory(bench, control), await measureStart(bench, control)];
  } finally {
    await control.child.stop();
  }
}

async function measureMemory(bench: Bench, control: Control): Promise<Section> {
  const cache = mkdtempSync(join(bench.folder, "compile-cache-"));
  const cold = await memoriesOfTen(bench, control, cache);
  const warm = await memoriesOfTen(bench, control, cache);
  return {
    title: `Memory of an idle sidecar, median of ${SIDECARS} started at once`,
    columns: [
      { key: "privateDirty", label: "private dirty MB", digits: 1 },
      { key: "largest", label: "largest", digits: 1 },
      { key: "pss", label: "PSS MB", digits: 1 },
      { key: "rss", label: "RSS MB", digits: 1 },
    ],
    rows: [memoryRow(COLD, cold), memoryRow(WARM, warm)],
    notes: ["each with one inbound and one outbound listener, connected to a control plane; 1 MB = 1,000,000 bytes"],
  };
}

async function memoriesOfTen({ options, progress }: Bench, control: Control, cache: string): Promise<Memory[]> {
  progress(`idle: starting ${SIDECARS} sidecars`);
  const env = { NODE_COMPILE_CACHE: cache };
  for (let i = 0; i < SIDECARS; i++) await register(control, `idle-${i}`, []);
  const started = await Promise.all(Array.from({ length: SIDECARS }, (_, i) => launch(control, `idle-${i}`, env)));
  for (const { child, admin } of started) await awaitOk(child, admin, "/ready");
  progress("idle: letting them settle");
  await sleep(options.quick ? QUICK_SETTLE_MS : SETTLE_MS);
  for (const { child } of started) child.check();
  const memories = started.map(({ child }) => memory(child.pid));
  // The orderly end writes the compiled code into the cache.
  await Promise.all(started.map(({ child }) => child.stop()));
  return memories;
}

function memoryRow(subject: string, memories: readonly Memory[]): Row {
  const dirty = memories.map(({ privateDirty }) => privateDirty / MB);
  const pss = median(memories.map((each) => each.pss / MB));
  const rss = median(memories.map((each) => each.rss / MB));
  return {
    subject,
    values: { privateDirty: median(dirty), largest: Math.max(...dirty), pss, rss },
    bars: [
      valueBar(`private dirty ≤ ${PRIVATE_DIRTY_MAX_MB} MB`, PRIVATE_DIRTY_MAX_MB, median(dirty)),
      valueBar(`PSS ≤ ${PSS_MAX_MB} MB`, PSS_MAX_MB, pss),
    ],
  };
}

async function measureStart({ options, folder, progress }: Bench, control: Control): Promise<Section> {
  const rounds = startRounds(options.quick);
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
    rows: [startRow(COLD, cold), startRow(WARM, warm)],
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
  await register(control, "starting", []);
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
  const inbound = [{ port: await freePort(), target: await freePort(), protocol: "http" as const }];
  const outbound = await freePort();
  return launchSidecar({ workload, service: "idle", xds: control.xds, inbound, outbound, cores: ANY_CORE, env });
}
