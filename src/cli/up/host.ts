/** What the parts of a supervisor share: time, processes, the control plane, the log. */
import { join } from "node:path";
import type { Clock } from "../../net/clock.ts";
import type { ControlClient } from "../control-client.ts";
import type { Program, Spawner } from "./process.ts";
import type { Probe } from "./readiness.ts";
import type { RegistrationClient } from "./registration.ts";

/** Where lines go. */
export interface SupervisorLog {
  /** A line that a process wrote. */
  line(name: string, text: string): void;
  /** A line about a process, from us. */
  notice(name: string, text: string): void;
}

export interface Host {
  readonly clock: Clock;
  readonly spawner: Spawner;
  readonly probe: Probe;
  readonly client: RegistrationClient & Pick<ControlClient, "ready" | "joinToken">;
  readonly log: SupervisorLog;
  /** The command line that starts Heddle itself. */
  readonly heddle: readonly string[];
  /** How the program of a service is started where its instance lives, if that is not simply here. */
  readonly inside?: (program: Program) => Program;
  /** The environment that programs inherit. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** This same Heddle, on this same Node. */
export function heddleCommand(): readonly string[] {
  return [process.execPath, join(import.meta.dirname, "..", "..", "..", "bin", "heddle")];
}

/** A part of Heddle as a program. */
export function heddleProgram(host: Host, words: readonly string[]): Program {
  return { command: [...host.heddle, ...words], directory: process.cwd(), env: host.env, stdio: "lines" };
}
