/** One log out of many: whole lines, each with the name of its process before it. */
import { StringDecoder } from "node:string_decoder";
import type { TextOutput } from "../io.ts";
import type { Paint, Style } from "../output.ts";

/** Characters of one line; a longer one is broken into several. */
export const LINE_LENGTH_MAX = 16 * 1024;

/** Bytes that may wait for the reader of the log; while there are more, lines are dropped and counted. */
export const LOG_BACKLOG_BYTES_MAX = 1024 * 1024;

/** Makes lines of chunks of bytes. Holds at most {@link LINE_LENGTH_MAX} characters. */
export class LineSplitter {
  readonly #decoder = new StringDecoder("utf8");
  readonly #onLine: (line: string) => void;
  #partial = "";

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  push(chunk: Buffer): void {
    const lines = (this.#partial + this.#decoder.write(chunk)).split("\n");
    this.#partial = lines.pop() ?? "";
    for (const line of lines) this.#emit(line.endsWith("\r") ? line.slice(0, -1) : line);
    while (this.#partial.length > LINE_LENGTH_MAX) {
      this.#onLine(this.#partial.slice(0, LINE_LENGTH_MAX));
      this.#partial = this.#partial.slice(LINE_LENGTH_MAX);
    }
  }

  /** No more will come: what is left is the last line. */
  end(): void {
    const last = this.#partial + this.#decoder.end();
    this.#partial = "";
    if (last !== "") this.#emit(last);
  }

  #emit(line: string): void {
    for (let from = 0; from === 0 || from < line.length; from += LINE_LENGTH_MAX) {
      this.#onLine(line.slice(from, from + LINE_LENGTH_MAX));
    }
  }
}

const NAME_STYLES: readonly Style[] = [
  "cyan",
  "yellow",
  "green",
  "magenta",
  "blue",
  "cyanBright",
  "yellowBright",
  "greenBright",
];

export class LogMux {
  readonly #output: TextOutput;
  readonly #paint: Paint;
  readonly #styles = new Map<string, Style>();
  #width = 0;
  #dropped = 0;

  constructor(output: TextOutput, paint: Paint) {
    this.#output = output;
    this.#paint = paint;
  }

  /** Makes room for a name before its first line, so that the lines stand in one column from the start. */
  announce(name: string): void {
    this.#width = Math.max(this.#width, name.length);
    // "price-1" and its sidecar "price-1/proxy" have one colour.
    const family = name.split("/")[0] ?? name;
    if (!this.#styles.has(family)) {
      this.#styles.set(family, NAME_STYLES[this.#styles.size % NAME_STYLES.length] ?? "cyan");
    }
  }

  write(name: string, line: string): void {
    if ((this.#output.writableLength ?? 0) > LOG_BACKLOG_BYTES_MAX) {
      this.#dropped++;
      return;
    }
    if (this.#dropped > 0) {
      const notice = `${this.#dropped} lines were dropped: the reader of this log is too slow`;
      this.#dropped = 0;
      this.write("heddle", notice);
    }
    this.announce(name);
    const style = this.#styles.get(name.split("/")[0] ?? name) ?? "cyan";
    this.#output.write(`${this.#paint(style, `${name.padEnd(this.#width)} |`)} ${line}\n`);
  }
}
