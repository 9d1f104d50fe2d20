/** How the long-running commands log. */
import { Logger, LOG_LEVELS, type LogFormat, type LogLevel } from "../telemetry/log.ts";
import type { FlagValues } from "./command.ts";
import type { Io } from "./io.ts";

export const LOG_FLAGS = {
  "log-level": { type: "string", choices: LOG_LEVELS, default: "info", help: "Least severity that is logged" },
  "log-format": {
    type: "string",
    choices: ["plain", "json"],
    default: "plain",
    help: "Lines for people or for programs",
  },
} as const;

/** A logger to standard error. */
export function loggerOf(flags: FlagValues<typeof LOG_FLAGS>, io: Io): Logger {
  return new Logger({
    level: flags["log-level"] as LogLevel,
    format: flags["log-format"] as LogFormat,
    sink: io.stderr,
  });
}
