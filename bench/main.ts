/** The entry of `npm run bench`: runs the chosen measurements one after the other and prints the report. */
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import { join } from "node:path";

import type { Bench } from "./bench.ts";
import { aboutRun } from "./host.ts";
import { type Options, parseOptions, USAGE, type Work } from "./options.ts";
import { coreTimes } from "./proc.ts";
import { LOAD_CORE, run, stopAll } from "./processes.ts";
import { formatReport, type Report, type Section } from "./report.ts";
import { type Backend, startBackend } from "./subjects/backend.ts";
import { findTools } from "./tools.ts";
import { measureBulk } from "./works/bulk.ts";
import { measureCpu } from "./works/cpu.ts";
import { measureIdle } from "./works/idle.ts";
import { measureLatency } from "./works/latency.ts";

const MEASURE: Readonly<Record<Work, (bench: Bench) => Promise<Section | Section[] | undefined>>> = {
  http1: (bench) => measureCpu(bench, "http1"),
  http2: (bench) => measureCpu(bench, "http2"),
  latency: measureLatency,
  idle: measureIdle,
  bulk: measureBulk,
};

async function measureAll(options: Options): Promise<Report> {
  if (process.platform !== "linux" || os.cpus().length < 2) {
    throw new Error("the bench needs Linux (taskset, procfs) and two cores");
  }
  // This process only waits, but what little it does should not disturb the proxies.
  await run(["taskset", "-a", "-c", "-p", LOAD_CORE, String(process.pid)], { cores: LOAD_CORE }, 5_000);
  const startedAt = new Date();
  const before = coreTimes();
  const load = os.loadavg()[0] ?? 0;
  const tools = await findTools();
  const folder = mkdtempSync(join(os.tmpdir(), "heddle-bench-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  let backend: Promise<Backend> | undefined;
  const bench: Bench = {
    options,
    tools,
    folder,
    async backend() {
      const nginx = tools.path("nginx");
      return nginx === undefined ? undefined : (backend ??= startBackend(nginx, folder));
    },
    progress: (text) => void process.stderr.write(`${elapsed(startedAt)} ${text}\n`),
  };
  const sections: Section[] = [];
  for (const work of options.works) {
    const measured = await MEASURE[work](bench);
    if (measured === undefined) bench.progress(`${work}: left out, since something it needs is missing`);
    else sections.push(...[measured].flat());
  }
  return { about: aboutRun(tools, startedAt, before, load), sections };
}

function elapsed(since: Date): string {
  return `${((Date.now() - since.getTime()) / 1_000).toFixed(0).padStart(4)} s `;
}

async function main(): Promise<number> {
  let options: Options | "help";
  try {
    options = parseOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`bench: ${(error as Error).message}\n\n${USAGE}`);
    return 2;
  }
  if (options === "help") {
    process.stdout.write(USAGE);
    return 0;
  }
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => process.exit(128 + os.constants.signals[signal]));
  }
  try {
    const report = await measureAll(options);
    process.stdout.write(options.output === "json" ? `${JSON.stringify(report, null, 2)}\n` : formatReport(report));
    return 0;
  } catch (error) {
    process.stderr.write(`bench: ${(error as Error).message}\n`);
    return 1;
  } finally {
    await stopAll();
  }
}

process.exitCode = await main();
