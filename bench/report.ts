/** The report as a tree, as a table, and the verdicts on the bars. */
import type { Interval } from "./stats.ts";

export interface Column {
  readonly key: string;
  readonly label: string;
  readonly digits: number;
}

/** A limit that the project set itself, for a ratio or for a plain number. */
export interface Bar {
  readonly text: string;
  /** "undecided": the confidence interval lies across the bar, or is of too few blocks. */
  readonly verdict: "holds" | "missed" | "undecided";
}

export interface Row {
  readonly subject: string;
  readonly values: Readonly<Record<string, number | undefined>>;
  readonly ratio?: Interval;
  readonly bars?: readonly Bar[];
}

export interface Section {
  readonly title: string;
  readonly columns: readonly Column[];
  /** What `ratio` compares, such as "CPU, × HAProxy"; undefined if there is none. */
  readonly ratioLabel?: string;
  readonly rows: readonly Row[];
  readonly notes: readonly string[];
}

export interface Report {
  /** What was measured on, and with what. */
  readonly about: Readonly<Record<string, string>>;
  readonly sections: readonly Section[];
}

/** Pairs below which an interval means little, and decides nothing: of five, one in sixteen is all on one side. */
export const PAIRS_MIN = 6;

export function ratioBar(what: string, limit: number, { low, high }: Interval, pairs: number): Bar {
  if (pairs < PAIRS_MIN) return { text: `≤ ${limit} × ${what}`, verdict: "undecided" };
  const verdict = high <= limit ? "holds" : low > limit ? "missed" : "undecided";
  return { text: `≤ ${limit} × ${what}`, verdict };
}

export function valueBar(text: string, limit: number, value: number): Bar {
  return { text, verdict: value <= limit ? "holds" : "missed" };
}

export function formatReport({ about, sections }: Report): string {
  const facts = Object.entries(about).map(([name, value]) => `${name.padEnd(9)} ${value}`);
  return `${[facts.join("\n"), ...sections.map(formatSection)].join("\n\n")}\n`;
}

function formatSection({ title, columns, ratioLabel, rows, notes }: Section): string {
  const header = ["", ...columns.map(({ label }) => label), ...(ratioLabel === undefined ? [] : [ratioLabel]), "bar"];
  const lines = rows.map(({ subject, values, ratio, bars = [] }) => [
    subject,
    ...columns.map(({ key, digits }) => formatNumber(values[key], digits)),
    ...(ratioLabel === undefined ? [] : [formatRatio(ratio)]),
    bars.map(({ text, verdict }) => `${text}: ${verdict}`).join("; "),
  ]);
  return [title, ...align([header, ...lines]), ...notes.map((note) => `  ${note}`)].join("\n");
}

function formatNumber(value: number | undefined, digits: number): string {
  return value === undefined || Number.isNaN(value) ? "-" : value.toFixed(digits);
}

function formatRatio(ratio: Interval | undefined): string {
  if (ratio === undefined) return "-";
  return `${ratio.value.toFixed(2)} [${ratio.low.toFixed(2)}, ${ratio.high.toFixed(2)}]`;
}

/** The first and the last column to the left, numbers to the right. */
function align(lines: readonly (readonly string[])[]): string[] {
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0))) ?? [];
  return lines.map((line) =>
    `  ${line
      .map((cell, column) => {
        const left = column === 0 || column === line.length - 1;
        return left ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0);
      })
      .join("  ")}`.trimEnd(),
  );
}
