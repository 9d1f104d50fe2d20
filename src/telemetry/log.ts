/** Log lines with levels and fields, as text for people or as JSON for machines. Logging never blocks traffic. */

export const LOG_LEVELS = ["error", "warn", "info", "debug"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type LogFormat = "plain" | "json";
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** Bytes that may wait in the output stream; while there are more, lines are dropped and counted. */
export const LOG_BACKLOG_BYTES_MAX = 1024 * 1024;

/** Where lines go: a process's standard error, or a list in a test. */
export interface LogSink {
  write(line: string): unknown;
  readonly writableLength?: number;
}

export interface LogOptions {
  readonly level: LogLevel;
  readonly format: LogFormat;
  readonly sink: LogSink;
  /** The wall clock. */
  readonly now?: () => Date;
}

export class Logger {
  level: LogLevel;
  /** Lines dropped because the reader of our output is too slow. */
  dropped = 0;
  readonly #format: LogFormat;
  readonly #sink: LogSink;
  readonly #now: () => Date;

  constructor(options: LogOptions) {
    this.level = options.level;
    this.#format = options.format;
    this.#sink = options.sink;
    this.#now = options.now ?? (() => new Date());
  }

  error(message: string, fields?: LogFields): void {
    this.#log("error", message, fields);
  }

  warn(message: string, fields?: LogFields): void {
    this.#log("warn", message, fields);
  }

  info(message: string, fields?: LogFields): void {
    this.#log("info", message, fields);
  }

  debug(message: string, fields?: LogFields): void {
    this.#log("debug", message, fields);
  }

  #log(level: LogLevel, message: string, fields: LogFields = {}): void {
    if (LOG_LEVELS.indexOf(level) > LOG_LEVELS.indexOf(this.level)) return;
    if ((this.#sink.writableLength ?? 0) > LOG_BACKLOG_BYTES_MAX) {
      this.dropped++;
      return;
    }
    const time = this.#now().toISOString();
    const line =
      this.#format === "json"
        ? JSON.stringify({ time, level, message, ...fields })
        : `${time} ${level.toUpperCase().padEnd(5)} ${message}${plainFields(fields)}`;
    this.#sink.write(`${line}\n`);
  }
}

function plainFields(fields: LogFields): string {
  let text = "";
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    const shown = String(value);
    text += ` ${name}=${/[\s"=\p{Cc}]/u.test(shown) || shown === "" ? quoted(shown) : shown}`;
  }
  return text;
}

/** Others' words may be in it, and a terminal obeys what JSON leaves as it is: C1 controls. */
function quoted(text: string): string {
  return JSON.stringify(text).replaceAll(/\p{Cc}/gu, escaped);
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
