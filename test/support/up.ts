/** `heddle up` as a user runs it: its own process, on ports that are free. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { freePorts } from "./ports.ts";
import { until } from "./until.ts";

export const root = join(import.meta.dirname, "..", "..");
export const heddle = join(root, "bin", "heddle");

export interface Up {
  readonly process: ChildProcess;
  /** "http://127.0.0.1:port" of the keyboard sidecar. */
  readonly outbound: string;
  readonly api: string;
  readonly xds: string;
  readonly admin: string;
  /** What all pages of the control plane and of the keyboard's sidecar say. */
  pages(): Promise<string[]>;
  /** What a workload's sidecar exposes. */
  metrics(workload: string): Promise<string>;
  /** Everything printed so far. */
  output(): string;
  /** Ids of the processes of this mesh whose environment has HEDDLE_WORKLOAD=workload. */
  processesOf(workload: string): number[];
  /** Ids of all processes started by this `heddle up`, directly or not. */
  descendants(): number[];
  /** Program and arguments of a process, "" if it is gone. */
  commandLine(pid: number): string;
  /** As Ctrl-C does; resolves when the process is gone. */
  stop(): Promise<void>;
}

const API_PAGES = [
  "version",
  "services",
  "endpoints",
  "workloads",
  "proxies",
  "sources",
  "stat",
  "edges",
  "authz",
  "identity",
];

/** Starts a mesh and waits until it says that it is ready. @param env what it has besides our own environment */
export async function up(meshFile: string, env: Readonly<Record<string, string>> = {}): Promise<Up> {
  const [outbound, admin, api, xds, base] = await freePorts(5);
  const state = await mkdtemp(join(tmpdir(), "heddle-test-"));
  const child = spawn(
    process.execPath,
    [heddle, "up", "-f", meshFile, "--state-dir", state, "--base-port", `${base}`, "--no-color"].concat([
      "--outbound",
      `127.0.0.1:${outbound}`,
      "--admin",
      `127.0.0.1:${admin}`,
      "--api",
      `127.0.0.1:${api}`,
      "--xds",
      `127.0.0.1:${xds}`,
    ]),
    { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } },
  );
  let output = "";
  child.stdout.on("data", (chunk) => (output += String(chunk)));
  child.stderr.on("data", (chunk) => (output += String(chunk)));
  await until(
    "the mesh is ready",
    () => {
      if (child.exitCode !== null) throw new Error(`heddle up ended with ${child.exitCode}:\n${output}`);
      return / is ready: /.test(output);
    },
    30_000,
  ).catch((error: unknown) => {
    child.kill("SIGKILL");
    throw error;
  });
  const descendants = (): number[] => descendantsOf(child.pid as number);
  return {
    process: child,
    outbound: `http://127.0.0.1:${outbound}`,
    admin: `http://127.0.0.1:${admin}`,
    api: `127.0.0.1:${api}`,
    pages: () => {
      const urls = [
        ...API_PAGES.map((path) => `http://127.0.0.1:${api}/api/v1/${path}`),
        `http://127.0.0.1:${api}/metrics`,
        ...["metrics", "env.json", "env.json?HEDDLE_JOIN_TOKEN"].map((path) => `http://127.0.0.1:${admin}/${path}`),
      ];
      return Promise.all(urls.map(async (url) => (await fetch(url)).text()));
    },
    xds: `127.0.0.1:${xds}`,
    metrics: async (workload) => {
      const workloads = await (await fetch(`http://127.0.0.1:${api}/api/v1/workloads`)).json();
      const found = (workloads as { name: string; admin: string }[]).find(({ name }) => name === workload);
      return (await fetch(`http://${found?.admin}/metrics`)).text();
    },
    output: () => output,
    descendants,
    commandLine: (pid) => read(`/proc/${pid}/cmdline`).replaceAll("\0", " "),
    processesOf: (workload) =>
      descendants().filter((pid) => read(`/proc/${pid}/environ`).split("\0").includes(`HEDDLE_WORKLOAD=${workload}`)),
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) {
        const gone = once(child, "exit");
        child.kill("SIGINT");
        await gone;
      }
      await rm(state, { recursive: true, force: true });
    },
  };
}

/** Ids of all processes that a process has started, directly or not. */
export function descendantsOf(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const parent = /\) \S (\d+)/.exec(read(`/proc/${name}/stat`))?.[1];
    if (parent !== undefined) parents.set(Number(name), Number(parent));
  }
  const found = new Set([pid]);
  for (let before = 0; before !== found.size;) {
    before = found.size;
    for (const [child, parent] of parents) if (found.has(parent)) found.add(child);
  }
  found.delete(pid);
  return [...found];
}

/** A process may end while it is looked at. */
export function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
