/** The report as a tree, and the verdicts on the bars. */
import type { Interval } from "./stats.ts";

export interface Column {
  readonly key: string;
  readonly label: string;
  readonly digits: number;
}

/** A limit that the project set itself, for a ratio or for a plain number. */
export interface Bar {
  readonly text: string;
  /** What was measured, in words. */
  readonly figure: string;
  /** "undecided": the confidence interval lies across the bar, or is of too few blocks. */
  readonly verdict: "holds" | "missed" | "undecided";
}

export interface Row {
  readonly subject: string;
  readonly values: Readonly<Record<string, number | undefined>>;
  /** By the keys of the section's `intervals`. */
  readonly intervals?: Readonly<Record<string, Interval | undefined>>;
  readonly bars?: readonly Bar[];
}

export interface Section {
  readonly title: string;
  readonly columns: readonly Column[];
  /** What is compared with a peer, such as "CPU ÷ HAProxy". */
  readonly intervals?: readonly Column[];
  readonly rows: readonly Row[];
  readonly notes: readonly string[];
}

export interface Report {
  /** What was measured on, and with what. */
  readonly about: Readonly<Record<string, string>>;
  readonly sections: readonly Section[];
  /** Kinds of measurement that could not be finished. */
  readonly failed: readonly string[];
}

/** Pairs below which an interval means little, and decides nothing: of five, one in sixteen is all on one side. */
export const PAIRS_MIN = 6;

/** @param pairs how many the interval is of */
export function intervalBar(text: string, limit: number, interval: Interval, pairs: number, digits: number): Bar {
  const { low, high } = interval;
  const clear = high <= limit ? "holds" : low > limit ? "missed" : "undecided";
  return { text, figure: formatInterval(interval, digits), verdict: pairs < PAIRS_MIN ? "undecided" : clear };
}

export function ratioBar(what: string, limit: number, ratio: Interval, pairs: number): Bar {
  return intervalBar(`≤ ${limit} × ${what}`, limit, ratio, pairs, RATIO_DIGITS);
}

export function valueBar(text: string, limit: number, value: number, digits = 1): Bar {
  return { text, figure: formatNumber(value, digits), verdict: value <= limit ? "holds" : "missed" };
}

export const RATIO_DIGITS = 2;

/** The columns of ratios to peers, keyed by the peer. */
export function ratioColumns(what: string, peers: readonly string[]): Column[] {
  return peers.map((peer) => ({ key: peer, label: `${what} ÷ ${peer} [95 % CI]`, digits: RATIO_DIGITS }));
}

export function formatNumber(value: number | undefined, digits: number): string {
  return value === undefined || Number.isNaN(value) ? "-" : value.toFixed(digits);
}

export function formatInterval(interval: Interval | undefined, digits: number): string {
  if (interval === undefined) return "-";
  const { value, low, high } = interval;
  return `${value.toFixed(digits)} [${low.toFixed(digits)}, ${high.toFixed(digits)}]`;
}

/** A section's table: the head, then one line of cells for each row. */
export function cells({ columns, intervals = [], rows }: Section): string[][] {
  const judged = rows.some(({ bars = [] }) => bars.length > 0);
  const labels = [...columns, ...intervals].map(({ label }) => label);
  return [
    ["", ...labels, ...(judged ? ["bar"] : [])],
    ...rows.map(({ subject, values, intervals: found = {}, bars = [] }) => [
      subject,
      ...columns.map(({ key, digits }) => formatNumber(values[key], digits)),
      ...intervals.map(({ key, digits }) => formatInterval(found[key], digits)),
      ...(judged ? [bars.map(({ text, verdict }) => `${text}: ${verdict}`).join("; ")] : []),
    ]),
  ];
}

/** All bars of a report in one table. */
export function barCells(sections: readonly Section[]): string[][] {
  const lines = sections.flatMap(({ title, rows }) =>
    rows.flatMap(({ subject, bars = [] }) =>
      bars.map(({ text, figure, verdict }) => [title, subject, text, figure, verdict]),
    ),
  );
  return [["work", "subject", "bar", "measured", "verdict"], ...lines];
}
