/** Documents from files and folders: what `resources:` of mesh.yaml and `heddle validate` name. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";

import type { Diagnostic } from "./diagnostic.ts";
import { readText, reasonOf } from "./read-file.ts";
import { parseResources } from "./registry.ts";
import type { Resource } from "./resource.ts";
import { emptyResourceSet, type ResourceSet, resourceSet } from "./resource-set.ts";

/** Files of one mesh. */
export const RESOURCE_FILES_MAX = 1_000;
/** Bytes of all of them. */
export const RESOURCE_BYTES_MAX = 16 * 1024 * 1024;

/** What is read of a folder; other files in it are not documents. */
const DOCUMENT = /\.(ya?ml|json)$/;

export interface LoadedResources {
  /** Empty if a diagnostic is an error: half of the documents could allow what the other half forbids. */
  readonly resources: ResourceSet;
  readonly diagnostics: readonly Diagnostic[];
  /** What was read or should have been, in order: files, and folders with a "/" at the end. */
  readonly files: readonly string[];
}

/**
 * Reads files, and of folders *.yaml, *.yml and *.json in the order of their names, not what is in folders within. Never
 * rejects.
 *
 * @param namespace that of documents that say none
 */
export async function readResources(paths: readonly string[], namespace?: string): Promise<LoadedResources> {
  const diagnostics: Diagnostic[] = [];
  const files: string[] = [];
  const fail = (file: string, message: string, hint: string): unknown =>
    diagnostics.push({ severity: "error", file, line: 1, column: 1, field: "", message, hint });
  for (const path of paths) {
    try {
      files.push(...(await filesAt(path)));
    } catch (error) {
      files.push(path);
      fail(path, ...reasonOf(error));
    }
  }
  const documents = [...new Set(files)].filter((file) => !file.endsWith("/"));
  const surplus = documents[RESOURCE_FILES_MAX];
  if (surplus !== undefined) {
    fail(surplus, `more than ${RESOURCE_FILES_MAX} files, which are not read`, "put several documents into one");
    return { resources: emptyResourceSet, diagnostics, files };
  }
  const all: Resource[] = [];
  let bytes = 0;
  const failed = new Set(diagnostics.map(({ file }) => file));
  for (const file of documents) {
    if (failed.has(file)) continue;
    const read = await readText(file);
    if ("diagnostic" in read) {
      diagnostics.push(read.diagnostic);
      continue;
    }
    bytes += Buffer.byteLength(read.text);
    if (bytes > RESOURCE_BYTES_MAX) {
      fail(file, `with this file the documents have more than ${RESOURCE_BYTES_MAX} bytes, which are not read`, "");
      break;
    }
    const parsed = parseResources(read.text, file, namespace);
    diagnostics.push(...parsed.diagnostics);
    all.push(...parsed.resources);
  }
  const checked = resourceSet(all);
  diagnostics.push(...checked.diagnostics);
  const good = diagnostics.every(({ severity }) => severity !== "error");
  return { resources: good ? checked.resources : emptyResourceSet, diagnostics, files };
}

/** The file itself, or the folder and what is in it. @throws if it cannot be looked at */
async function filesAt(path: string): Promise<string[]> {
  if (!(await stat(path)).isDirectory()) return [path];
  const names = (await readdir(path)).filter((name) => DOCUMENT.test(name)).sort();
  return [`${path}/`, ...names.map((name) => join(path, name))];
}
