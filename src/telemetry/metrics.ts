/**
 * Counters, gauges and histograms for the data path: a handle is resolved once per label set and then costs one addition.
 *
 * Cardinality is bounded: a family takes at most `seriesMax` label sets; further ones share one series whose label
 * values are all "overflow", and `heddle_metrics_overflow_total{family}` counts how often that happened.
 */

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

/** What all series of one name have in common. `labels` gives the handle of one label set; keep it, do not look it up per request. */
export interface Family<Handle> {
  readonly name: string;
  labels(values: Labels): Handle;
  /** Forgets all label sets, before they are set anew from what there is. Handles given out before lead nowhere. */
  clear(): void;
}

class CounterCell implements Counter {
  value = 0;
  inc(by = 1): void {
    this.value += by;
  }
}

class GaugeCell implements Gauge {
  value = 0;
}

class HistogramCell implements Histogram {
  readonly bounds: readonly number[];
  /** Not cumulative; one more than there are bounds, for +Inf. */
  readonly counts: Float64Array;
  sum = 0;

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
type Kind = "counter" | "gauge" | "histogram";

class FamilyStore<C extends Cell> implements Family<C> {
  readonly name: string;
  readonly help: string;
  readonly kind: Kind;
  readonly series = new Map<string, C>();
  readonly #labelNames: readonly string[];
  readonly #seriesMax: number;
  readonly #make: () => C;
  readonly #onOverflow: () => void;

  constructor(kind: Kind, options: FamilyOptions, make: () => C, onOverflow: () => void) {
    this.name = options.name;
    this.help = options.help;
    this.kind = kind;
    this.#labelNames = options.labelNames;
    this.#seriesMax = options.seriesMax ?? DEFAULT_SERIES_MAX;
    this.#make = make;
    this.#onOverflow = onOverflow;
  }

  labels(values: Labels): C {
    const key = formatLabels(this.#labelNames, values);
    const known = this.series.get(key);
    if (known !== undefined) return known;
    if (this.series.size >= this.#seriesMax) {
      this.#onOverflow();
      return this.#cell(formatLabels(this.#labelNames, undefined));
    }
    return this.#cell(key);
  }

  clear(): void {
    this.series.clear();
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

  constructor() {
    this.#overflow = this.counter({
      name: "heddle_metrics_overflow_total",
      help: "Label sets refused because their family was full.",
      labelNames: ["family"],
    });
  }

  counter(options: FamilyOptions): Family<Counter> {
    return this.#add(new FamilyStore("counter", options, () => new CounterCell(), this.#overflowOf(options.name)));
  }

  gauge(options: FamilyOptions): Family<Gauge> {
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

  /** Everything in the Prometheus text format 0.0.4. */
  expose(): string {
    for (const collector of this.#collectors) collector();
    const lines: string[] = [];
    for (const family of this.#families.values()) {
      if (family.series.size === 0) continue;
      lines.push(`# HELP ${family.name} ${family.help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}`);
      lines.push(`# TYPE ${family.name} ${family.kind}`);
      for (const [labels, cell] of family.series) exposeCell(lines, family.name, labels, cell);
    }
    lines.push("");
    return lines.join("\n");
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

function exposeCell(lines: string[], name: string, labels: string, cell: Cell): void {
  if (!(cell instanceof HistogramCell)) {
    lines.push(labels === "" ? `${name} ${cell.value}` : `${name}{${labels}} ${cell.value}`);
    return;
  }
  const open = labels === "" ? "{" : `{${labels},`;
  let count = 0;
  cell.bounds.forEach((bound, i) => {
    count += cell.counts[i] as number;
    lines.push(`${name}_bucket${open}le="${bound}"} ${count}`);
  });
  count += cell.counts[cell.bounds.length] as number;
  lines.push(`${name}_bucket${open}le="+Inf"} ${count}`);
  const suffix = labels === "" ? "" : `{${labels}}`;
  lines.push(`${name}_sum${suffix} ${cell.sum}`, `${name}_count${suffix} ${count}`);
}
