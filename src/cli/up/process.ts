/** Starts programs, each as the leader of a process group of its own, so that what they start ends with them. */
import { spawn } from "node:child_process";
import { LineSplitter } from "./log-mux.ts";
import type { Watchdog } from "./watchdog.ts";

export interface Program {
  /** Program and arguments; at least the program. */
  readonly command: readonly string[];
  /** Absolute. */
  readonly directory: string;
  /** The whole environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where its standard streams lead: lines to `onLine`, or those of this process. */
  readonly stdio: "lines" | "inherit";
}

export interface ProcessEvents {
  /** A line of its standard output or standard error. */
  onLine(line: string): void;
  /** It ended, or could not be started. Called once, after which the process group is gone. */
  onExit(exit: ProcessExit): void;
}

export interface ProcessExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Why it could not be started; "" if it was. */
  readonly startError: string;
}

export interface RunningProcess {
  /** To the whole process group. Nothing happens if it is gone. */
  signal(signal: NodeJS.Signals): void;
}

export type Spawner = (program: Program, events: ProcessEvents) => RunningProcess;

/** "exited with code 1", "was killed by SIGKILL", "could not be started: …" */
export function describeExit(exit: ProcessExit): string {
  if (exit.startError !== "") return `could not be started: ${exit.startError}`;
  return exit.signal === null ? `exited with code ${exit.code}` : `was ended by ${exit.signal}`;
}

/** Starts real processes, whose groups die with this process even if it is killed. */
export function spawnerWith(watchdog: Watchdog): Spawner {
  return (program, events) => {
    const [file = "", ...args] = program.command;
    const lines = program.stdio === "lines";
    const child = spawn(file, args, {
      cwd: program.directory,
      env: program.env,
      detached: true,
      stdio: lines ? ["ignore", "pipe", "pipe"] : "inherit",
    });
    const group = child.pid;
    if (group !== undefined) watchdog.watch(group);
    for (const stream of [child.stdout, child.stderr]) {
      const splitter = new LineSplitter((line) => events.onLine(line));
      stream?.on("data", (chunk: Buffer) => splitter.push(chunk)).on("end", () => splitter.end());
    }
    let ended = false;
    const end = (exit: ProcessExit): void => {
      if (ended) return;
      ended = true;
      if (group !== undefined) {
        // What it started and left behind would keep its ports.
        signalGroup(group, "SIGKILL");
        watchdog.forget(group);
      }
      events.onExit(exit);
    };
    child.on("error", (error: NodeJS.ErrnoException) => {
      if (group === undefined) end({ code: null, signal: null, startError: startError(error, program) });
    });
    child.on("exit", (code, signal) => end({ code, signal, startError: "" }));
    return {
      signal(signal) {
        if (group !== undefined && !ended) signalGroup(group, signal);
      },
    };
  };
}

function signalGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal);
  } catch {
    // Gone already.
  }
}

function startError(error: NodeJS.ErrnoException, program: Program): string {
  if (error.code === "ENOENT") return `there is no program "${program.command[0]}", or no folder ${program.directory}`;
  if (error.code === "EACCES") return `"${program.command[0]}" may not be executed`;
  return error.message;
}
