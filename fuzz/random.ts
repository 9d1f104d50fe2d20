/** Numbers by chance that a seed repeats (mulberry32, by Tommy Ettinger: 32 bits of state are enough to pick mutations). */
export type Random = () => number;

/** @returns uniform numbers in [0, 1) */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A whole number from 0 to `below` - 1. */
export function pick(random: Random, below: number): number {
  return Math.floor(random() * below);
}

export function choose<T>(random: Random, from: readonly T[]): T {
  return from[pick(random, from.length)] as T;
}
