/** For tests: a logger whose lines can be looked at. */
import { Logger } from "../../telemetry/log.ts";

export function recordingLogger(): { logger: Logger; lines: string[] } {
  const lines: string[] = [];
  const logger = new Logger({ level: "debug", format: "plain", sink: { write: (line) => lines.push(line.trimEnd()) } });
  return { logger, lines };
}
