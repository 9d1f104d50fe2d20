/** "Did you mean …": the known word that a mistyped word most likely stands for. */
import { closest } from "../dialects/closest.ts";

/** @returns the nearest of `known`, else one that begins like `word`, or undefined if none is near enough to be worth saying */
export function suggest(word: string, known: readonly string[]): string | undefined {
  const near = closest(word, known);
  if (near !== undefined) return near;
  return word.length >= 2 ? known.find((candidate) => candidate.startsWith(word)) : undefined;
}
