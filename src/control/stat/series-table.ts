/**
 * The last ten minutes of the series that say who calls whom and what was allowed, over all sidecars, in bounded memory:
 * of each a count every ten seconds.
 */
import type { SeriesName, SeriesSample } from "./series-reader.ts";
import { SERIES_FAMILIES } from "./series-reader.ts";
import type { Subject } from "./stat-table.ts";
import { WINDOW_MAX_MS } from "./window.ts";

/** Series kept at one time: with 2 kB each, at most 40 MB. */
export const SERIES_MAX = 20_000;
/** Milliseconds between two counts that are kept. */
const STEP_MS = 10_000;
/** Counts kept of each series: one more than the window has steps, so that its edge always has one before it. */
const STEPS = WINDOW_MAX_MS / STEP_MS + 2;
/** Milliseconds: a process that young when it is first seen has counted from 0 within sight. */
const YOUNG_MS = 30_000;
/** Milliseconds without a sample after which a gauge is not believed any more. */
const LIVE_MS = 5_000;

export interface SeriesRow {
  /** The sidecar that counts. */
  readonly source: Subject;
  readonly labels: Readonly<Record<string, string>>;
  /** Of a counter: within the window. Of a gauge: now, 0 of a sidecar that does not answer. */
  readonly value: number;
}

export class SeriesTable {
  /** Series for which there was no room. */
  refused = 0;
  readonly #sources = new Map<string, Source>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /**
   * @param now the clock's milliseconds
   * @param ageMs how long the sidecar has been running, if known
   */
  add(subject: Subject, samples: ReadonlyMap<string, SeriesSample>, now: number, ageMs: number | undefined): void {
    const name = `${subject.workload}.${subject.namespace}`;
    let source = this.#sources.get(name);
    // What an old sidecar had counted before anybody looked happened at a time that nobody knows.
    const fromZero = source !== undefined || (ageMs !== undefined && ageMs < YOUNG_MS);
    if (source === undefined) this.#sources.set(name, (source = { subject, series: new Map() }));
    source.subject = subject;
    for (const [key, sample] of samples) {
      const known = source.series.get(key);
      if (known !== undefined) known.add(sample.value, now);
      else if (this.#size >= SERIES_MAX) this.refused++;
      else {
        this.#size++;
        source.series.set(key, new Series(sample, now, fromZero));
      }
    }
  }

  /** The series of one family. */
  rows(family: SeriesName, windowMs: number, now: number): SeriesRow[] {
    this.#forget(now);
    const rows: SeriesRow[] = [];
    for (const { subject, series } of this.#sources.values()) {
      for (const one of series.values()) {
        if (one.family !== family) continue;
        const value = SERIES_FAMILIES[family].gauge ? one.current(now) : one.since(now - windowMs);
        rows.push({ source: subject, labels: one.labels, value });
      }
    }
    return rows;
  }

  #forget(now: number): void {
    for (const [name, { series }] of this.#sources) {
      for (const [key, { lastAt }] of series) {
        if (now - lastAt <= WINDOW_MAX_MS) continue;
        series.delete(key);
        this.#size--;
      }
      if (series.size === 0) this.#sources.delete(name);
    }
  }
}

interface Source {
  subject: Subject;
  readonly series: Map<string, Series>;
}

class Series {
  readonly family: SeriesName;
  readonly labels: Readonly<Record<string, string>>;
  lastAt: number;
  /** What the sidecar said last. */
  #raw: number;
  /** Counted since this table saw it first. */
  #total: number;
  /** When, and the total then; the oldest first. */
  readonly #at: number[] = [];
  readonly #totals: number[] = [];

  constructor({ family, labels, value }: SeriesSample, now: number, fromZero: boolean) {
    this.family = family;
    this.labels = labels;
    this.lastAt = now;
    this.#raw = value;
    this.#total = fromZero ? value : 0;
    this.#at.push(Number.NEGATIVE_INFINITY, now);
    this.#totals.push(0, this.#total);
  }

  add(value: number, now: number): void {
    // A counter that has fallen began anew with its sidecar.
    this.#total += value >= this.#raw ? value - this.#raw : value;
    this.#raw = value;
    this.lastAt = now;
    if (now - (this.#at.at(-1) as number) < STEP_MS) return;
    this.#at.push(now);
    this.#totals.push(this.#total);
    if (this.#at.length > STEPS) {
      this.#at.shift();
      this.#totals.shift();
    }
  }

  current(now: number): number {
    return now - this.lastAt <= LIVE_MS ? this.#raw : 0;
  }

  /** What was counted after `edge`, and in up to ten seconds before it. */
  since(edge: number): number {
    let start = 0;
    for (let i = 0; i < this.#at.length && (this.#at[i] as number) <= edge; i++) start = i;
    return this.#total - (this.#totals[start] as number);
  }
}
