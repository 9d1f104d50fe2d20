/** The programs from Debian packages that the bench uses, and which of them are there. */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

import { ANY_CORE, run } from "./processes.ts";

/** Each with the package it comes in and what prints its version. */
const TOOLS = {
  haproxy: { package: "haproxy", version: ["-v"] },
  nginx: { package: "nginx-light", version: ["-v"] },
  nghttpx: { package: "nghttp2-proxy", version: ["--version"] },
  h2load: { package: "nghttp2-client", version: ["--version"] },
  wrk: { package: "wrk", version: ["-v"] },
  chrt: { package: "util-linux", version: ["--version"] },
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
    const path = find(name);
    if (path === undefined) {
      missing.push(`${name} (package ${tool.package})`);
      continue;
    }
    paths.set(name, path);
    versions.push(await versionOf([path, ...tool.version]));
  }
  return { path: (tool) => paths.get(tool), missing, versions };
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

/** The first line it prints; some print it as an error. */
async function versionOf(command: readonly string[]): Promise<string> {
  const script = '"$@" 2>&1 | head -n 1';
  const line = await run(["sh", "-c", script, "sh", ...command], { cores: ANY_CORE }, 5_000);
  return line.trim().replace(/ - https.*| Copyright.*/, "");
}
