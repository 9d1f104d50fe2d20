/**
 * Child processes that never outlive this one: each is stopped by its owner, by `stopAll` when the run ends or is
 * interrupted, and by the kernel (parent death signal) if this process is killed.
 */
import { type ChildProcess, spawn } from "node:child_process";

/** What is kept of a child's standard error to explain a failure. */
const STDERR_BYTES_MAX = 4_096;
/** What a load generator may print. */
const STDOUT_BYTES_MAX = 64 * 1024 * 1024;
const STOP_GRACE_MS = 3_000;

/** Proxies run on the first core, what generates and answers their load on the second. */
export const PROXY_CORE = "0";
export const LOAD_CORE = "1";
export const ANY_CORE = "0,1";

export interface Child {
  readonly name: string;
  readonly pid: number;
  /** Resolves when it has ended. */
  readonly ended: Promise<void>;
  /** What it has printed so far. */
  output(): string;
  /** Throws an Error that says why, if it has ended. */
  check(): void;
  /** SIGTERM, and SIGKILL if that is not enough. */
  stop(): Promise<void>;
}

export interface StartOptions {
  readonly cores: string;
  readonly env?: Readonly<Record<string, string>>;
}

const running = new Map<ChildProcess, Promise<void>>();

/** Starts a program that runs until it is stopped. */
export function start(name: string, command: readonly string[], options: StartOptions): Child {
  const { child, ended, stderr, stdout } = launch(command, options);
  return {
    name,
    pid: child.pid ?? 0,
    ended,
    output: stdout,
    check() {
      if (running.has(child)) return;
      throw new Error(`${name} has ended (${child.signalCode ?? `code ${child.exitCode}`}): ${stderr()}`);
    },
    stop: () => stop(child),
  };
}

/**
 * Runs a program to its end.
 *
 * @returns its standard output
 * @throws Error if it fails or takes longer than `timeoutMs`
 */
export async function run(command: readonly string[], options: StartOptions, timeoutMs: number): Promise<string> {
  const { child, ended, stderr, stdout } = launch(command, options);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, timeoutMs);
  await ended;
  clearTimeout(timer);
  const program = command[0] ?? "";
  if (late) throw new Error(`${program} took longer than ${timeoutMs} ms`);
  if (child.exitCode !== 0) throw new Error(`${program} failed (code ${child.exitCode}): ${stderr()}${stdout()}`);
  return stdout();
}

/** Stops whatever still runs. */
export async function stopAll(): Promise<void> {
  await Promise.all([...running.keys()].map((child) => stop(child)));
}

// Whichever way this process ends in an orderly manner, nothing stays behind.
process.on("exit", () => {
  for (const child of running.keys()) child.kill("SIGKILL");
});

interface Launched {
  readonly child: ChildProcess;
  readonly ended: Promise<void>;
  readonly stdout: () => string;
  readonly stderr: () => string;
}

function launch(command: readonly string[], { cores, env }: StartOptions): Launched {
  const words = ["--pdeathsig", "KILL", "taskset", "-c", cores, ...command];
  // Its own process group: Ctrl-C at the terminal reaches this process alone, which then stops its children.
  const child = spawn("setpriv", words, {
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  const out: Buffer[] = [];
  let outBytes = 0;
  child.stdout?.on("data", (chunk: Buffer) => {
    outBytes += chunk.length;
    if (outBytes <= STDOUT_BYTES_MAX) out.push(chunk);
  });
  let err = "";
  child.stderr?.on("data", (chunk: Buffer) => (err = (err + chunk.toString()).slice(-STDERR_BYTES_MAX)));
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  child.once("error", (error) => {
    err += error.message;
    running.delete(child);
    resolve();
  });
  child.once("close", () => {
    running.delete(child);
    resolve();
  });
  running.set(child, ended);
  return { child, ended, stdout: () => Buffer.concat(out).toString(), stderr: () => err };
}

async function stop(child: ChildProcess): Promise<void> {
  const ended = running.get(child);
  if (ended === undefined) return;
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_GRACE_MS);
  await ended;
  clearTimeout(timer);
}
