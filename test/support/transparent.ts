/** `heddle up --transparent` in a namespace of its own, which stands for the whole machine. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readlinkSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";

import { type Ran, runHere } from "../../src/cli/init/firewall.ts";
import type { Namespace } from "../../src/cli/up/transparent/namespace.ts";
import { namespace } from "./namespaces.ts";
import { until } from "./until.ts";
import { descendantsOf, heddle, read } from "./up.ts";

/** Long, since nine processes start on a machine that others use as well. */
const START_MS = 120_000;

export interface TransparentMesh {
  readonly machine: Namespace;
  readonly process: ChildProcess;
  readonly meshFile: string;
  output(): string;
  /** Ids of the processes of one instance's program. */
  programs(workload: string): number[];
  /** Runs something as a program of that instance would. */
  inside(workload: string, command: readonly string[]): Promise<Ran>;
  /** Ids of processes that it has started, or that live in network namespaces which it made. */
  left(): number[];
  /** As Ctrl-C does. */
  stop(): Promise<number | null>;
}

export async function transparentMesh(context: TestContext, mesh: string): Promise<TransparentMesh> {
  const machine = await namespace(context);
  const folder = await mkdtemp(join(tmpdir(), "heddle-transparent-"));
  const meshFile = join(folder, "mesh.yaml");
  await writeFile(meshFile, mesh);
  const command = [process.execPath, heddle, "up", "--transparent", "-f", meshFile, "--no-color"];
  const [file = "", ...args] = machine.enter(command, { directory: folder });
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"] });
  const gone = once(child, "close");
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const stop = async (): Promise<number | null> => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGINT");
    await gone;
    return child.exitCode;
  };
  context.after(async () => {
    await stop();
    await rm(folder, { recursive: true, force: true, maxRetries: 10 });
  });
  await until(
    "the mesh is ready",
    () => {
      if (child.exitCode !== null) throw new Error(`heddle up ended with ${child.exitCode}:\n${output}`);
      return / is ready: /.test(output);
    },
    START_MS,
  ).catch((error: unknown) => {
    throw new Error(output, { cause: error });
  });
  const root = child.pid as number;
  const programs = (workload: string): number[] =>
    descendantsOf(root).filter((pid) => read(`/proc/${pid}/environ`).includes(`HEDDLE_WORKLOAD=${workload}\0`));
  const started = new Set(descendantsOf(root));
  const machines = networkOf(root);
  const made = new Set(
    descendantsOf(root)
      .map(networkOf)
      .filter((network) => network !== machines && network !== ""),
  );
  return {
    machine,
    process: child,
    meshFile,
    output: () => output,
    programs,
    inside: async (workload, words) => {
      const [pid] = programs(workload);
      if (pid === undefined) throw new Error(`no program of ${workload} runs`);
      return runHere(["nsenter", "-t", String(pid), "-n", "-m", "--", ...words], "");
    },
    left: () => processes().filter((pid) => started.has(pid) || made.has(networkOf(pid))),
    stop,
  };
}

function processes(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function networkOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return "";
  }
}
