/** The few statistics that the report needs. */

/** A ratio or a difference and the bounds of its 95 % confidence interval. */
export interface Interval {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

const RESAMPLES = 10_000;

/** @returns NaN of nothing */
export function median(values: Iterable<number>): number {
  return quantile(sorted(values), 0.5);
}

export function sorted(values: Iterable<number>): Float64Array {
  return Float64Array.from(values).sort();
}

/**
 * The q-quantile with linear interpolation between neighbours.
 *
 * @param ascending sorted values; NaN of nothing
 * @param q 0 to 1
 */
export function quantile(ascending: ArrayLike<number>, q: number): number {
  const position = q * (ascending.length - 1);
  const below = ascending[Math.floor(position)] ?? Number.NaN;
  const above = ascending[Math.ceil(position)] ?? Number.NaN;
  return below + (above - below) * (position - Math.floor(position));
}

/**
 * How many times as much `ours` is as `theirs`: the median of the ratios of what was measured side by side, with a
 * percentile bootstrap over the pairs. Pairing takes out what both met in the same minutes: a noisy neighbour, a slower
 * clock.
 *
 * @param seed the same seed gives the same interval
 * @throws RangeError if there are no pairs, or not as many of one as of the other
 */
export function pairedRatio(ours: readonly number[], theirs: readonly number[], seed = 1): Interval {
  return bootstrapMedian(
    pairs(ours, theirs).map(([our, their]) => our / their),
    seed,
  );
}

/** By how much `ours` is above `theirs`, in the same way and with the same errors. */
export function pairedDifference(ours: readonly number[], theirs: readonly number[], seed = 1): Interval {
  return bootstrapMedian(
    pairs(ours, theirs).map(([our, their]) => our - their),
    seed,
  );
}

function pairs(ours: readonly number[], theirs: readonly number[]): [number, number][] {
  if (ours.length === 0 || ours.length !== theirs.length) {
    throw new RangeError(`expected pairs, found ${ours.length} and ${theirs.length} values`);
  }
  return ours.map((value, index) => [value, theirs[index] ?? Number.NaN]);
}

function bootstrapMedian(values: readonly number[], seed: number): Interval {
  const random = mulberry32(seed);
  const medians = new Float64Array(RESAMPLES);
  const resample = new Float64Array(values.length);
  for (let round = 0; round < RESAMPLES; round++) {
    for (let i = 0; i < resample.length; i++) {
      resample[i] = values[Math.floor(random() * values.length)] ?? Number.NaN;
    }
    medians[round] = quantile(resample.sort(), 0.5);
  }
  medians.sort();
  return { value: median(values), low: quantile(medians, 0.025), high: quantile(medians, 0.975) };
}

/**
 * The slope of a line through points, robust against outliers: the median of the slopes of all pairs (Theil and Sen).
 *
 * @returns units of y per unit of x; NaN of fewer than two points
 */
export function theilSenSlope(points: readonly { readonly x: number; readonly y: number }[]): number {
  const slopes: number[] = [];
  for (const [index, first] of points.entries()) {
    for (const second of points.slice(index + 1)) slopes.push((second.y - first.y) / (second.x - first.x));
  }
  return median(slopes);
}

/** A small generator of numbers in [0, 1) with 32 bits of state (after Tommy Ettinger's Mulberry32, public domain). */
export function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
