/**
 * Interleaving: all subjects are measured in every block, in an order that turns round from block to block (ABBA), so
 * that what drifts meets all alike. A block is dropped only for a reason from outside that was fixed beforehand.
 */
import { PAIRS_MIN } from "./report.ts";
import { coresSince, coreTimes, stolenShare } from "./proc.ts";

/** The share of time stolen by the hypervisor above which a whole block does not count. */
export const STEAL_MAX = 0.02;

/** A dropped block is measured again, as long as that makes no more than so many times the blocks. */
const REPEAT_MAX = 1.5;

/** What each subject's turn gave, by its name, one entry per block that counts. */
export interface Measured<T> {
  readonly bySubject: ReadonlyMap<string, readonly T[]>;
  /** Blocks that count. */
  readonly kept: number;
  /** Blocks that did not count because of steal. */
  readonly dropped: number;
}

/**
 * @param blocks how many are to count
 * @param turn measures one subject once
 * @param stolen gives the share of stolen time since it was called for a block
 */
export async function interleave<S extends { readonly name: string }, T>(
  subjects: readonly S[],
  blocks: number,
  turn: (subject: S, block: number) => Promise<T>,
  progress: (text: string) => void,
  stolen: () => () => number = watchSteal,
): Promise<Measured<T>> {
  const bySubject = new Map<string, T[]>(subjects.map(({ name }) => [name, []]));
  let kept = 0;
  let dropped = 0;
  while (kept < blocks && kept + dropped < Math.ceil(REPEAT_MAX * blocks)) {
    const share = stolen();
    const results: [string, T][] = [];
    for (const subject of kept % 2 === 0 ? subjects : subjects.toReversed()) {
      progress(`block ${kept + 1} of ${blocks}: ${subject.name}`);
      results.push([subject.name, await turn(subject, kept)]);
    }
    if (share() > STEAL_MAX) {
      dropped++;
      continue;
    }
    kept++;
    for (const [name, result] of results) bySubject.get(name)?.push(result);
  }
  return { bySubject, kept, dropped };
}

function watchSteal(): () => number {
  const before = coreTimes();
  return () => stolenShare(coresSince(before));
}

/** What the report says about the blocks. */
export function blocksNote({ kept, dropped }: Measured<unknown>): string {
  const steal = `for more than ${STEAL_MAX * 100} % steal`;
  const why = dropped === 0 ? `none dropped ${steal}` : `${dropped} more dropped ${steal}`;
  return `${kept} block${kept === 1 ? "" : "s"}; ${why}${kept < PAIRS_MIN ? "; too few to trust the intervals" : ""}`;
}
