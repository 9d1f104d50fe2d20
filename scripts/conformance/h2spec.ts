/** Builds h2spec, runs it against a listener, and reads what it found. */
import { execFile, type ExecFileException } from "node:child_process";
import { accessSync, constants, mkdirSync } from "node:fs";
import { delimiter, join } from "node:path";

/** What h2spec has in each part of its list, strict cases included (v2.2.1). Fewer would mean that some did not run. */
export const PARTS = { generic: 44, http2: 95, hpack: 7 } as const;

export type Part = keyof typeof PARTS;

/** Milliseconds for a download and a build on a slow machine, and for one part of the list. */
const BUILD_MS_MAX = 300_000;
const RUN_MS_MAX = 120_000;

/** Seconds that h2spec waits for an answer: generous, for a busy machine is no breach of the protocol. */
const ANSWER_SECONDS = 5;

const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

export interface Verdict {
  readonly part: Part;
  readonly tests: number;
  readonly passed: number;
  readonly skipped: number;
  readonly failed: number;
  /** What h2spec says about the failed cases, or "". */
  readonly failures: string;
}

/** The Go tool on the path, or undefined where there is none. */
export function findGo(): string | undefined {
  const folders = (process.env.PATH ?? "").split(delimiter);
  return folders.map((folder) => join(folder, "go")).find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Builds the h2spec that go.mod beside this file pins, through the Go module proxy the first time.
 *
 * @returns its path, in the cache folder of node_modules
 * @throws Error with what the Go tool has said
 */
export async function buildH2spec(go: string): Promise<string> {
  const folder = join(import.meta.dirname, "..", "..", "node_modules", ".cache", "heddle");
  mkdirSync(folder, { recursive: true });
  const program = join(folder, "h2spec");
  const args = ["build", "-o", program, "github.com/summerwind/h2spec/cmd/h2spec"];
  const { error, output } = await run(go, args, import.meta.dirname, BUILD_MS_MAX);
  if (error !== null) throw new Error(`h2spec could not be built with ${go}:\n${output || error.message}`);
  return program;
}

/** Runs one part of the list, strict cases included, against 127.0.0.1:port. @throws Error if it gave no result */
export async function runPart(program: string, part: Part, port: number): Promise<Verdict> {
  const args = [part, "--strict", "--host", "127.0.0.1", "--port", String(port), "--timeout", String(ANSWER_SECONDS)];
  const { output } = await run(program, args, ".", RUN_MS_MAX);
  return readVerdict(part, output);
}

/** What h2spec prints at its end, as numbers. @throws Error if that is not there */
export function readVerdict(part: Part, output: string): Verdict {
  const match = /(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed/.exec(output);
  if (match === null) throw new Error(`h2spec ${part} came to no result:\n${output.slice(-2_000)}`);
  const [tests, passed, skipped, failed] = match.slice(1).map(Number) as [number, number, number, number];
  const failures = failed === 0 ? "" : output.slice(output.indexOf("Failures:"), output.indexOf("Finished in")).trim();
  return { part, tests, passed, skipped, failed, failures };
}

/** Why a part does not count as passed, or "" if every case ran and passed. */
export function shortfall({ part, tests, passed, skipped, failures }: Verdict): string {
  if (tests < PARTS[part]) return `${tests} cases ran, expected ${PARTS[part]}`;
  if (skipped > 0) return `${skipped} cases were skipped`;
  return passed === tests ? "" : failures;
}

function run(
  program: string,
  args: readonly string[],
  cwd: string,
  timeout: number,
): Promise<{ error: ExecFileException | null; output: string }> {
  return new Promise((resolve) => {
    execFile(program, args, { cwd, timeout, maxBuffer: OUTPUT_BYTES_MAX }, (error, stdout, stderr) =>
      resolve({ error, output: stdout + stderr }),
    );
  });
}
