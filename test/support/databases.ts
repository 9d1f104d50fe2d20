/** Meshes with real databases in them, and what their clients need. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { metricSum } from "./mesh.ts";
import { up, type Up } from "./up.ts";

export const TEN_MIB = 10 * 1024 * 1024;

/** A database starts in a second or a few. */
export const RESTART_TIMEOUT_MS = 30_000;

export interface Running {
  readonly mesh: Up;
  /** Where the caller finds a service, as it is told in its environment. */
  readonly upstream: (service: string) => string;
  readonly stop: () => Promise<void>;
}

/** A mesh of `services` (YAML), all of which a program called "app" may call. */
export async function running(
  name: string,
  services: readonly string[],
  text: (folder: string) => string,
): Promise<Running> {
  const folder = await mkdtemp(join(tmpdir(), "heddle-databases-"));
  // Not we, but somebody who is not root, keeps the data in it.
  await chmod(folder, 0o777);
  const app = `  app: { run: exec tail -f /dev/null, ports: [], upstreams: [${services.join(", ")}] }`;
  await writeFile(join(folder, "mesh.yaml"), `name: ${name}\nservices:\n${text(folder)}\n${app}\n`);
  const mesh = await up(join(folder, "mesh.yaml"));
  const pid = mesh.processesOf("app-1")[0];
  const environment = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
  return {
    mesh,
    upstream: (service) => {
      const variable = `HEDDLE_UPSTREAM_${service.toUpperCase().replaceAll("-", "_")}=127.0.0.1:`;
      return environment.find((entry) => entry.startsWith(variable))?.slice(variable.length) ?? "";
    },
    stop: async () => {
      await mesh.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A client that stays connected, written to and read from line by line. */
export class Held {
  readonly child: ChildProcess;
  text = "";
  closed = false;

  constructor(program: string, args: readonly string[]) {
    this.child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
    this.child.stdin?.on("error", () => {});
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on("data", (chunk: Buffer) => (this.text += chunk.toString()));
    }
    this.child.on("close", () => (this.closed = true));
  }

  say(line: string): void {
    this.child.stdin?.write(`${line}\n`);
  }

  async stop(): Promise<void> {
    if (this.closed) return;
    this.child.kill("SIGKILL");
    await once(this.child, "close");
  }
}

export function digest(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The connections between the two sidecars and what they carried are in both sidecars' metrics. */
export async function assertCounted(mesh: Up, service: string, bytesMin: number): Promise<void> {
  const outbound = await mesh.metrics("app-1");
  const inbound = await mesh.metrics(`${service}-1`);
  const authority = `dst_service="${service}"`;
  assert.ok(metricSum(outbound, "tcp_write_bytes_total", 'peer="dst"', authority) >= bytesMin, "bytes to the service");
  assert.ok(metricSum(outbound, "tcp_read_bytes_total", 'peer="dst"', authority) >= bytesMin, "bytes from the service");
  assert.ok(metricSum(inbound, "tcp_read_bytes_total", 'direction="inbound"', 'peer="src"') >= bytesMin);
  assert.ok(metricSum(inbound, "tcp_write_bytes_total", 'direction="inbound"', 'peer="src"') >= bytesMin);
  assert.ok(metricSum(outbound, "tcp_connection_duration_ms_count", authority) > 0, "how long they lasted");
}

/** Databases refuse to run as root. */
export const AS_OTHER = process.getuid?.() === 0 ? "setpriv --reuid=nobody --regid=nogroup --clear-groups " : "";

/** Connections that a workload's sidecar has looked at, with what result if one is given. */
export async function detections(mesh: Up, workload: string, result = ""): Promise<number> {
  const text = await mesh.metrics(workload);
  const families = ["inbound", "outbound"].map((direction) => `${direction}_tcp_detect_http_results_total`);
  return families.reduce((sum, family) => sum + metricSum(text, family, `result="${result}`), 0);
}
