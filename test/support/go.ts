/** Programs written in Go that whole-mesh tests talk to: installed once, from the Go module proxy, and kept. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rename, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Where programs are kept between runs. */
const CACHE = join(import.meta.dirname, "..", "..", "node_modules", ".cache", "go");

/** Milliseconds that one may take to be fetched and built. */
export const GO_INSTALL_MS = 120_000;

/**
 * The path of a program, which is installed if it is not there yet. Needs the Go toolchain: guard the test with
 * `needs("go")`.
 *
 * @param program the path of its package: "google.golang.org/grpc/interop/client"
 * @param version pinned: "v1.85.0"
 * @throws Error with what `go` said
 */
export async function goProgram(program: string, version: string): Promise<string> {
  const folder = join(CACHE, `${program.replaceAll("/", "-")}@${version}`);
  const path = join(folder, basename(program));
  if (await exists(path)) return path;
  await mkdir(CACHE, { recursive: true });
  const GOBIN = await mkdtemp(join(CACHE, "new-"));
  try {
    // Outside of any module, so that the version named is the one that is built.
    const options = { cwd: GOBIN, env: { ...process.env, GOBIN }, timeout: GO_INSTALL_MS };
    await run("go", ["install", `${program}@${version}`], options).catch((error: Error) => {
      throw new Error(`${program}@${version} could not be installed: ${error.message}`);
    });
    // At once, and harmless if another test has done the same meanwhile.
    await rename(GOBIN, folder).catch(async (error: unknown) => {
      if (!(await exists(path))) throw error;
    });
  } finally {
    await rm(GOBIN, { recursive: true, force: true });
  }
  return path;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
