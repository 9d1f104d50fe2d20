/**
 * Fills the cache of compiled code after `npm ci`, by starting and stopping a control plane and a sidecar once. Without it
 * the first mesh of a fresh clone starts half as fast, and its sidecars keep the TypeScript stripper in memory (20 MB each).
 * It never fails an installation.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

const heddle = join(import.meta.dirname, "..", "bin", "heddle");

/** A start takes half a second; one that takes longer than this is left to the first real one. */
const TIMEOUT_MS = 20_000;

for (const words of [
  ["control", "--api", "127.0.0.1:0", "--xds", "127.0.0.1:0"],
  ["proxy", "--workload", "warm", "--admin", "127.0.0.1:0", "--outbound", "127.0.0.1:0"],
  ["proxy", "--workload", "warm", "--admin", "127.0.0.1:0", "--outbound", "127.0.0.1:0", "--workers", "2"],
]) {
  const child = spawn(process.execPath, [heddle, ...words], { stdio: ["ignore", "ignore", "pipe"] });
  const timer = setTimeout(() => child.kill("SIGKILL"), TIMEOUT_MS);
  // Its first line says that it has started; what is compiled is written down when it ends.
  child.stderr.once("data", () => child.kill("SIGTERM"));
  await once(child, "exit").catch(() => {});
  clearTimeout(timer);
}
