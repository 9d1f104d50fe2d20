/** The entry of `npm run bench`: runs the chosen measurements one after the other and prints the report. */
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import { join } from "node:path";

import { aboutRun } from "./host.ts";
import { type Options, parseOptions, USAGE } from "./options.ts";
import { coreTimes } from "./proc.ts";
import { LOAD_CORE, run, stopAll } from "./processes.ts";
import type { Report, Section } from "./report.ts";
import { writeResults } from "./report-markdown.ts";
import { formatReport } from "./report-text.ts";
import { Backends } from "./subjects/backend.ts";
import { findTools } from "./tools.ts";
import { estimate, MEASUREMENTS } from "./works.ts";

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
  const progress = (text: string): void => void process.stderr.write(`${elapsed(startedAt)} ${text}\n`);
  const about = `${options.works.join(", ")}: about ${Math.ceil(estimate(options) / 60)} min`;
  progress(tools.missing.length === 0 ? about : `${about}, less what is missing (${tools.missing.join(", ")})`);
  let backends = new Backends(tools, folder);
  const sections: Section[] = [];
  const failed: string[] = [];
  for (const work of options.works) {
    const begun = performance.now();
    try {
      const measured = await MEASUREMENTS[work].measure({ options, tools, folder, backends, progress });
      const took = `took ${Math.round((performance.now() - begun) / 1_000)} s`;
      if (measured === undefined) progress(`${work}: left out, since something it needs is missing`);
      else progress(`${work}: ${took}, expected ${Math.round(MEASUREMENTS[work].seconds(options))} s`);
      sections.push(...[measured ?? []].flat());
    } catch (error) {
      // What has been measured, and what is still to come, is worth having all the same.
      const reason = (error as Error).message;
      progress(`${work}: failed: ${reason}`);
      failed.push(work);
      sections.push({ title: `${work}: failed`, columns: [], rows: [], notes: [reason] });
      await stopAll();
      backends = new Backends(tools, folder);
    }
  }
  return { about: aboutRun(tools, startedAt, before, load), sections, failed };
}

function elapsed(since: Date): string {
  return `${((Date.now() - since.getTime()) / 1_000).toFixed(0).padStart(4)} s `;
}

async function main(): Promise<number> {
  let options: Options | "help";
  const words = process.argv.slice(2);
  try {
    options = parseOptions(words);
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
    if (options.write !== undefined) {
      writeResults(options.write, report, ["npm run bench --", ...words].join(" "));
      process.stderr.write(`bench: written to ${options.write}\n`);
    }
    return report.failed.length === 0 ? 0 : 1;
  } catch (error) {
    process.stderr.write(`bench: ${(error as Error).message}\n`);
    return 1;
  } finally {
    await stopAll();
  }
}

process.exitCode = await main();
