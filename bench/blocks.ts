/**
 * Interleaving: all subjects are measured in every block, in an order that turns round from block to block (ABBA), so
 * that what drifts meets all alike. A block is dropped only for a reason from outside that was fixed beforehand.
 */
import { PAIRS_MIN } from "./report.ts";
import { coresSince, coreTimes, stolenShare } from "./proc.ts";

/** The share of time stolen by the hypervisor above which a whole block does not count. */
export const STEAL_MAX = 0.02;

/** What each subject's turn gave, by its name, one entry per block that counts. */
export interface Measured<T> {
  readonly bySubject: ReadonlyMap<string, readonly T[]>;
  readonly blocks: number;
  /** Blocks that did not count because of steal. */
  readonly dropped: number;
}

/** @param turn measures one subject once */
export async function interleave<S extends { readonly name: string }, T>(
  subjects: readonly S[],
  blocks: number,
  turn: (subject: S, block: number) => Promise<T>,
  progress: (text: string) => void,
): Promise<Measured<T>> {
  const bySubject = new Map<string, T[]>(subjects.map(({ name }) => [name, []]));
  let dropped = 0;
  for (let block = 0; block < blocks; block++) {
    const before = coreTimes();
    const results: [string, T][] = [];
    for (const subject of block % 2 === 0 ? subjects : subjects.toReversed()) {
      progress(`block ${block + 1} of ${blocks}: ${subject.name}`);
      results.push([subject.name, await turn(subject, block)]);
    }
    if (stolenShare(coresSince(before)) > STEAL_MAX) dropped++;
    else for (const [name, result] of results) bySubject.get(name)?.push(result);
  }
  return { bySubject, blocks, dropped };
}

/** What the report says about the blocks. */
export function blocksNote({ blocks, dropped }: Measured<unknown>): string {
  const steal = `${STEAL_MAX * 100} % steal`;
  const kept = dropped === 0 ? `none dropped for more than ${steal}` : `${dropped} dropped for more than ${steal}`;
  return `${blocks} block${blocks === 1 ? "" : "s"}; ${kept}${blocks - dropped < PAIRS_MIN ? "; too few to trust the intervals" : ""}`;
}
