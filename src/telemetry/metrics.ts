/**
 * Counters, gauges and histograms for the data path: a handle is resolved once per label set and then costs one addition.
 *
 * Cardinality is bounded: a family takes at most `seriesMax` label sets; further ones share one series whose label
 * values are all "overflow", and `heddle_metrics_overflow_total{family}` counts how often that happened. Label sets that
 * come and go with an endpoint are held by a {@link Lease}, and may be dropped a while after the last one has ended.
 */
import { exposition } from "./exposition.ts";
import { Lease, type Leased, SERIES_IDLE_MS } from "./lease.ts";
import type { Across, FamilySnapshot, HistogramSample, Kind, StaleSeries } from "./snapshot.ts";

/** Label sets of one family when nothing else is said. */
export const DEFAULT_SERIES_MAX = 2_000;

export type Labels = Readonly<Record<string, string>>;

export interface Counter {
  value: number;
  inc(by?: number): void;
}

export interface Gauge {
  value: number;
}

export interface Histogram {
  /** Records one value, in the unit that the family's name ends in. */
  observe(value: number): void;
}

interface FamilyOptions {
  readonly name: string;
  readonly help: string;
  /** In the order in which they are printed. */
  readonly labelNames: readonly string[];
  readonly seriesMax?: number;
}

interface GaugeOptions extends FamilyOptions {
  /** How the numbers of several workers become one; "sum" unless said. */
  readonly across?: Across;
}

/** What all series of one name have in common. `labels` gives the handle of one label set; keep it, do not look it up per request. */
export interface Family<Handle> {
  readonly name: string;
  /** @param lease whose end lets the label set go; without one it stays for ever */
  labels(values: Labels, lease?: Lease): Handle;
  /** Forgets all label sets, before they are set anew from what there is. Handles given out before lead nowhere. */
  clear(): void;
}

class CounterCell implements Counter, Leased {
  value = 0;
  holders = 0;
  abandonedAt = 0;
  inc(by = 1): void {
    this.value += by;
  }
}

class GaugeCell implements Gauge, Leased {
  value = 0;
  holders = 0;
  abandonedAt = 0;
}

class HistogramCell implements Histogram, HistogramSample, Leased {
  readonly bounds: readonly number[];
  readonly counts: Float64Array;
  sum = 0;
  holders = 0;
  abandonedAt = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const bounds = this.bounds;
    let at = 0;
    // Most answers are fast, so a scan from below beats a binary search.
    while (at < bounds.length && value > (bounds[at] as number)) at++;
    this.counts[at] = (this.counts[at] as number) + 1;
    this.sum += value;
  }
}

type Cell = CounterCell | GaugeCell | HistogramCell;

class FamilyStore<C extends Cell> implements Family<C> {
  readonly name: string;
  readonly help: string;
  readonly kind: Kind;
  readonly across: Across;
  readonly series = new Map<string, C>();
  readonly #labelNames: readonly string[];
  readonly #seriesMax: number;
  readonly #make: () => C;
  readonly #onOverflow: () => void;

  constructor(kind: Kind, options: GaugeOptions, make: () => C, onOverflow: () => void) {
    this.name = options.name;
    this.help = options.help;
    this.kind = kind;
    this.across = options.across ?? "sum";
    this.#labelNames = options.labelNames;
    this.#seriesMax = options.seriesMax ?? DEFAULT_SERIES_MAX;
    this.#make = make;
    this.#onOverflow = onOverflow;
  }

  labels(values: Labels, lease?: Lease): C {
    const cell = this.#find(values);
    if (lease === undefined) cell.holders = Infinity;
    else lease.hold(cell);
    return cell;
  }

  clear(): void {
    this.series.clear();
  }

  stale(now: number): string[] {
    const keys: string[] = [];
    for (const [key, cell] of this.series) if (isStale(cell, now)) keys.push(key);
    return keys;
  }

  drop(keys: readonly string[], now: number): void {
    for (const key of keys) {
      const cell = this.series.get(key);
      if (cell !== undefined && isStale(cell, now)) this.series.delete(key);
    }
  }

  #find(values: Labels): C {
    const key = formatLabels(this.#labelNames, values);
    const known = this.series.get(key);
    if (known !== undefined) return known;
    if (this.series.size >= this.#seriesMax) {
      this.#onOverflow();
      return this.#cell(formatLabels(this.#labelNames, undefined));
    }
    return this.#cell(key);
  }

  #cell(key: string): C {
    let cell = this.series.get(key);
    if (cell === undefined) {
      cell = this.#make();
      this.series.set(key, cell);
    }
    return cell;
  }
}

/** All metrics of one process, printed together. */
export class MetricsRegistry {
  readonly #families = new Map<string, FamilyStore<Cell>>();
  readonly #collectors: (() => void)[] = [];
  readonly #overflow: Family<Counter>;
  readonly #now: () => number;

  /** @param now monotonic milliseconds */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#overflow = this.counter({
      name: "heddle_metrics_overflow_total",
      help: "Label sets refused because their family was full.",
      labelNames: ["family"],
    });
  }

  counter(options: FamilyOptions): Family<Counter> {
    return this.#add(new FamilyStore("counter", options, () => new CounterCell(), this.#overflowOf(options.name)));
  }

  gauge(options: GaugeOptions): Family<Gauge> {
    return this.#add(new FamilyStore("gauge", options, () => new GaugeCell(), this.#overflowOf(options.name)));
  }

  /** @param bounds upper bounds of the buckets, ascending, without +Inf */
  histogram(options: FamilyOptions & { readonly bounds: readonly number[] }): Family<Histogram> {
    const make = (): HistogramCell => new HistogramCell(options.bounds);
    return this.#add(new FamilyStore("histogram", options, make, this.#overflowOf(options.name)));
  }

  /** Calls back before each exposition, so that a gauge can be read off where its truth is. */
  collect(callback: () => void): void {
    this.#collectors.push(callback);
  }

  /** For label sets that come and go together. */
  lease(): Lease {
    return new Lease(this.#now);
  }

  /** Every family that has a series, as of now. */
  snapshot(): FamilySnapshot[] {
    const now = this.#now();
    for (const collector of this.#collectors) collector();
    const families: FamilySnapshot[] = [];
    for (const family of this.#families.values()) {
      const { name, help, kind, across, series } = family;
      if (series.size > 0) families.push({ name, help, kind, across, series, stale: family.stale(now) });
    }
    return families;
  }

  /** Forgets what an earlier snapshot called stale, and still is. */
  drop(stale: readonly StaleSeries[]): void {
    const now = this.#now();
    for (const { name, series } of stale) this.#families.get(name)?.drop(series, now);
  }

  /** Everything in the Prometheus text format 0.0.4. */
  expose(): string {
    return exposition(this.snapshot());
  }

  #add<C extends Cell>(family: FamilyStore<C>): FamilyStore<C> {
    if (this.#families.has(family.name)) throw new Error(`metric family ${family.name} is registered twice`);
    this.#families.set(family.name, family);
    return family;
  }

  #overflowOf(name: string): () => void {
    return () => this.#overflow.labels({ family: name }).inc();
  }
}

function isStale(cell: Leased, now: number): boolean {
  return cell.holders === 0 && now - cell.abandonedAt >= SERIES_IDLE_MS;
}

function formatLabels(names: readonly string[], values: Labels | undefined): string {
  const parts: string[] = [];
  for (const name of names) {
    const value = values === undefined ? "overflow" : values[name];
    if (value === undefined || value === "") continue;
    parts.push(`${name}="${escapeLabel(value)}"`);
  }
  return parts.join(",");
}

function escapeLabel(value: string): string {
  if (!/["\\\n]/.test(value)) return value;
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
