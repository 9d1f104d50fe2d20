/** Quantiles from histogram buckets, as Prometheus' `histogram_quantile` computes them. */

/**
 * @param quantile 0 to 1
 * @param bounds upper bounds of the buckets, ascending and above 0, without +Inf
 * @param cumulative how many lie within each bound, then how many there are
 * @returns the value, interpolated linearly within its bucket (the lowest begins at 0); the highest bound if it lies
 *   beyond that; null if there are none
 */
export function histogramQuantile(
  quantile: number,
  bounds: readonly number[],
  cumulative: readonly number[],
): number | null {
  const total = cumulative.at(-1) ?? 0;
  if (total <= 0) return null;
  const rank = quantile * total;
  const bucket = cumulative.findIndex((count) => count >= rank);
  if (bucket === -1 || bucket >= bounds.length) return bounds.at(-1) ?? null;
  const lower = bucket === 0 ? 0 : (bounds[bucket - 1] as number);
  const upper = bounds[bucket] as number;
  const below = bucket === 0 ? 0 : (cumulative[bucket - 1] as number);
  const within = (cumulative[bucket] as number) - below;
  return within <= 0 ? lower : lower + ((upper - lower) * (rank - below)) / within;
}
