/** Runs real client programs to their end. */
import { spawn } from "node:child_process";
import { once } from "node:events";

export interface Finished {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** A client program gets so long; then it is killed, and `code` is null. */
const TIMEOUT_MS = 60_000;

/** @param input what it reads on its standard input */
export async function finish(program: string, args: readonly string[], input: string | Buffer = ""): Promise<Finished> {
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"], timeout: TIMEOUT_MS, killSignal: "SIGKILL" });
  const stdout: Buffer[] = [];
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  // It may end before it has read everything.
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout: Buffer.concat(stdout), stderr };
}

/** @throws Error with what it said, if it does not end with 0 */
export async function output(program: string, args: readonly string[], input: string | Buffer = ""): Promise<Buffer> {
  const { code, stdout, stderr } = await finish(program, args, input);
  if (code !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${code}: ${stderr}${stdout.toString()}`);
  return stdout;
}
