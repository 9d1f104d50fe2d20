/** Metrics at one moment, as plain data that goes from one thread to another and into print. */

export type Kind = "counter" | "gauge" | "histogram";

/** "mean" is for what every worker sees in whole, so that a sum would count it as often as there are workers. */
export type Across = "sum" | "mean";

/** One series at one moment. */
export type Sample = { readonly value: number } | HistogramSample;

export interface HistogramSample {
  /** Upper bounds of the buckets, ascending, without +Inf. */
  readonly bounds: readonly number[];
  /** Not cumulative; one more than there are bounds, for +Inf. */
  readonly counts: Float64Array;
  readonly sum: number;
}

/** All series of one name at one moment, as plain data that can go from one thread to another. */
export interface FamilySnapshot {
  readonly name: string;
  readonly help: string;
  readonly kind: Kind;
  readonly across: Across;
  /** By the label set as it is printed, "" for none. Never changed by who reads it: it may be the living series. */
  readonly series: ReadonlyMap<string, Sample>;
  /** Those of the series that may be dropped. */
  readonly stale: readonly string[];
}

/** Series of one family that have outlived their use. */
export interface StaleSeries {
  readonly name: string;
  readonly series: readonly string[];
}
