/** The saved inputs of a target: seeds that we wrote, and whatever has shown a defect since. */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("corpus/", import.meta.url));

export interface Saved {
  readonly file: string;
  readonly input: Buffer;
}

/** In the order of their names. @throws Error if the target has no corpus */
export function readCorpus(target: string): Saved[] {
  const folder = join(ROOT, target);
  const files = readdirSync(folder).sort();
  if (files.length === 0) throw new Error(`no corpus in ${folder}`);
  return files.map((file) => ({ file, input: readFileSync(join(folder, file)) }));
}

/** Saves an input that shows a defect, so that it is tried again every time. @returns its path */
export function saveFailure(target: string, input: Buffer): string {
  const folder = join(ROOT, target);
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `found-${createHash("sha256").update(input).digest("hex").slice(0, 12)}`);
  writeFileSync(file, input);
  return file;
}
