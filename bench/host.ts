/** What the figures were taken on. */
import { readFileSync } from "node:fs";
import os from "node:os";
import { join } from "node:path";

import { type CoreTimes, coresSince, stolenShare } from "./proc.ts";
import type { Tools } from "./tools.ts";

/** @param before the cores' times when the run began */
export function aboutRun(
  tools: Tools,
  startedAt: Date,
  before: readonly CoreTimes[],
  load: number,
): Record<string, string> {
  const cores = os.cpus();
  const steal = (100 * stolenShare(coresSince(before))).toFixed(2);
  return {
    Date: `${startedAt.toISOString()}, took ${Math.round((Date.now() - startedAt.getTime()) / 1_000)} s`,
    Heddle: `${version()} on Node ${process.versions.node}`,
    Peers: tools.versions.join("; "),
    ...(tools.missing.length === 0 ? {} : { Missing: `${tools.missing.join(", ")}: what needs them is left out` }),
    Kernel: `${os.type()} ${os.release()}`,
    CPU: `${cores.length} × ${cores[0]?.model.trim() ?? "unknown"}`,
    Noise: `${steal} % steal; load average when it began ${load.toFixed(2)}`,
  };
}

function version(): string {
  const text = readFileSync(join(import.meta.dirname, "..", "package.json"), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
