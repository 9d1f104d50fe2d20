/** Documents from files and folders: what `resources:` of mesh.yaml and `heddle validate` name. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";

import type { Diagnostic } from "./diagnostic.ts";
import { readText, reasonOf } from "./read-file.ts";
import { parseResources } from "./registry.ts";
import type { Resource } from "./resource.ts";
import { emptyResourceSet, type ResourceSet } from "./resource-index.ts";
import { resourceSet } from "./resource-set.ts";

/** Files of one mesh. */
export const RESOURCE_FILES_MAX = 1_000;
/** Bytes of all of them. */
export const RESOURCE_BYTES_MAX = 16 * 1024 * 1024;

/** What is read of a folder; other files in it are not documents. */
const DOCUMENT = /\.(ya?ml|json)$/;

export interface LoadedResources {
  /** Empty if a diagnostic is an error: half of the documents could allow what the other half forbids. */
  readonly resources: ResourceSet;
  /** Documents that are good by themselves. */
  readonly documents: number;
  readonly diagnostics: readonly Diagnostic[];
  /** What was read or should have been, in order; folders with a "/" at the end. */
  readonly files: readonly string[];
}

/**
 * Reads files, and of folders *.yaml, *.yml and *.json in the order of their names, not what is in folders within. Never
 * rejects.
 *
 * @param namespace that of documents that say none
 * @param nameOf what diagnostics and origins call a file
 */
export async function readResources(
  paths: readonly string[],
  namespace = "default",
  nameOf: (file: string) => string = (file) => file,
): Promise<LoadedResources> {
  const { files, diagnostics: missing } = await listFiles(paths);
  const diagnostics: Diagnostic[] = [...missing];
  const all: Resource[] = [];
  let bytes = 0;
  for (const file of files) {
    if (file.endsWith("/") || missing.some((one) => one.file === file)) continue;
    const read = await readText(file);
    if ("diagnostic" in read) {
      diagnostics.push(read.diagnostic);
      continue;
    }
    bytes += Buffer.byteLength(read.text);
    if (bytes > RESOURCE_BYTES_MAX) {
      const message = `with this file the documents have more than ${RESOURCE_BYTES_MAX} bytes, which are not read`;
      diagnostics.push(wholeFile(file, message));
      break;
    }
    const parsed = parseResources(read.text, nameOf(file), namespace);
    diagnostics.push(...parsed.diagnostics);
    all.push(...parsed.resources);
  }
  const checked = resourceSet(all);
  diagnostics.push(...checked.diagnostics);
  const good = diagnostics.every(({ severity }) => severity !== "error");
  return {
    resources: good ? checked.resources : emptyResourceSet,
    documents: all.length,
    diagnostics: diagnostics.map((one) => ({ ...one, file: files.includes(one.file) ? nameOf(one.file) : one.file })),
    files,
  };
}

export interface ListedFiles {
  /** Each once, in order; folders, with a "/" at the end, before what is in them. */
  readonly files: readonly string[];
  /** Of those that are not there, or that are too many. */
  readonly diagnostics: readonly Diagnostic[];
}

/** Files, and what of folders is read. Never rejects. */
export async function listFiles(paths: readonly string[]): Promise<ListedFiles> {
  const diagnostics: Diagnostic[] = [];
  const found = new Set<string>();
  for (const path of paths) {
    try {
      for (const file of await filesAt(path)) found.add(file);
    } catch (error) {
      found.add(path);
      diagnostics.push(wholeFile(path, ...reasonOf(error)));
    }
  }
  const files = [...found];
  const surplus = files.filter((file) => !file.endsWith("/"))[RESOURCE_FILES_MAX];
  if (surplus === undefined) return { files, diagnostics };
  const message = `more than ${RESOURCE_FILES_MAX} files, which are not read`;
  return { files: [surplus], diagnostics: [wholeFile(surplus, message, "put several documents into one file")] };
}

function wholeFile(file: string, message: string, hint = ""): Diagnostic {
  return { severity: "error", file, line: 1, column: 1, field: "", message, hint };
}

/** The file itself, or the folder and what is in it. @throws if it cannot be looked at */
async function filesAt(path: string): Promise<string[]> {
  if (!(await stat(path)).isDirectory()) return [path];
  const names = (await readdir(path)).filter((name) => DOCUMENT.test(name)).sort();
  return [path.endsWith("/") ? path : `${path}/`, ...names.map((name) => join(path, name))];
}
