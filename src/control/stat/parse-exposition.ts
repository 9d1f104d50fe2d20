/**
 * Reads the Prometheus text format 0.0.4 as it arrives, and only the families that somebody wants: a sidecar prints
 * thousands of lines of which the window needs a few dozen.
 *
 * Lines that are malformed are counted and passed over.
 */

/** Characters of one line; a longer one is passed over. */
export const LINE_LENGTH_MAX = 64 * 1024;

export type SampleLabels = ReadonlyMap<string, string>;
export type SampleSink = (name: string, labels: SampleLabels, value: number) => void;

export class ExpositionParser {
  /** Lines that could not be understood. */
  malformed = 0;
  readonly #wanted: ReadonlySet<string>;
  readonly #sink: SampleSink;
  #rest = "";
  /** In the middle of a line that is too long. */
  #skipping = false;

  /** @param wanted names of samples: of a histogram, those with _bucket, _sum, _count */
  constructor(wanted: ReadonlySet<string>, sink: SampleSink) {
    this.#wanted = wanted;
    this.#sink = sink;
  }

  push(chunk: string): void {
    const text = this.#rest + chunk;
    let start = 0;
    for (let end = text.indexOf("\n"); end !== -1; end = text.indexOf("\n", start)) {
      if (this.#skipping) this.#skipping = false;
      else this.#line(text.slice(start, end));
      start = end + 1;
    }
    this.#rest = this.#skipping ? "" : text.slice(start);
    if (this.#rest.length > LINE_LENGTH_MAX) {
      this.malformed++;
      this.#skipping = true;
      this.#rest = "";
    }
  }

  /** The last line may lack its end. */
  end(): void {
    if (!this.#skipping && this.#rest !== "") this.#line(this.#rest);
    this.#rest = "";
    this.#skipping = false;
  }

  #line(line: string): void {
    if (line === "" || line.startsWith("#")) return;
    const nameEnd = endOfName(line);
    const name = line.slice(0, nameEnd);
    if (!this.#wanted.has(name)) return;
    const labels = new Map<string, string>();
    const after = line[nameEnd] === "{" ? readLabels(line, nameEnd + 1, labels) : nameEnd;
    const value = after === -1 ? undefined : readValue(line.slice(after));
    if (value === undefined) this.malformed++;
    else this.#sink(name, labels, value);
  }
}

function endOfName(line: string): number {
  let end = 0;
  while (end < line.length && /[a-zA-Z0-9_:]/.test(line[end] as string)) end++;
  return end;
}

/** @returns where the labels end, after the brace; -1 if they are malformed */
function readLabels(line: string, start: number, into: Map<string, string>): number {
  let at = start;
  for (;;) {
    while (line[at] === " " || line[at] === ",") at++;
    if (line[at] === "}") return at + 1;
    const equals = line.indexOf("=", at);
    if (equals === -1 || line[equals + 1] !== '"') return -1;
    const name = line.slice(at, equals).trim();
    let value = "";
    at = equals + 2;
    for (;;) {
      const char = line[at];
      if (char === undefined) return -1;
      if (char === '"') break;
      if (char === "\\") {
        const escaped = line[++at];
        value += escaped === "n" ? "\n" : (escaped ?? "");
      } else value += char;
      at++;
    }
    into.set(name, value);
    at++;
  }
}

/** The value, which a timestamp may follow. */
function readValue(text: string): number | undefined {
  const [word = "", timestamp, ...more] = text.trim().split(/[ \t]+/);
  if (more.length > 0 || (timestamp !== undefined && !/^-?\d+$/.test(timestamp))) return undefined;
  if (word === "+Inf" || word === "Inf") return Infinity;
  if (word === "-Inf") return -Infinity;
  if (word === "NaN") return Number.NaN;
  const value = /^[-+]?[0-9.]/.test(word) ? Number(word) : Number.NaN;
  return Number.isNaN(value) ? undefined : value;
}
