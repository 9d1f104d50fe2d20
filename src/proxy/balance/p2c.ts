/**
 * Power of two choices: of two candidates drawn at random the one with the lower load is taken, ties go to the first.
 * Nearly as good as looking at all of them, at constant cost, and without the herd that "always the best" causes.
 */

export interface Loaded {
  /** Higher is busier. Here: estimated round trip × (requests in flight + 1). */
  load(now: number): number;
}

/**
 * @param random uniform in [0, 1)
 * @returns undefined only if there are no candidates
 */
export function pickOfTwo<T extends Loaded>(
  candidates: readonly T[],
  now: number,
  random: () => number,
): T | undefined {
  const count = candidates.length;
  if (count < 2) return candidates[0];
  const first = Math.floor(random() * count);
  // Drawn from the others, so the two always differ.
  let second = Math.floor(random() * (count - 1));
  if (second >= first) second++;
  const a = candidates[first] as T;
  const b = candidates[second] as T;
  return b.load(now) < a.load(now) ? b : a;
}
