/** Tries a target on its corpus and on mutations of it, for a time or a number of runs. */
import { mutate } from "./mutate.ts";
import { seeded } from "./random.ts";
import type { Target } from "./target.ts";

/** Inputs that are gone on from, at most; then each new one takes the place of another. */
const POOL_MAX = 2_000;
/** Attempts to make an input that fails smaller. */
const SHRINKS_MAX = 2_000;
/** Inputs between two turns of the event loop, which whoever waits for one must get. */
const INPUTS_PER_TURN = 32;
/** Milliseconds that one input may take before it counts as a defect. */
const INPUT_MS_MAX = 2_000;

export interface Limits {
  readonly runs: number;
  readonly milliseconds: number;
}

export interface Outcome {
  readonly runs: number;
  /** Kinds of outcome that were met. */
  readonly kinds: number;
  readonly failure: Failure | undefined;
}

export interface Failure {
  /** As small as it could be made. */
  readonly input: Buffer;
  readonly error: Error;
}

/** What somebody who watches is told: the input about to be tried. */
export type Watcher = (input: Buffer, runs: number, kinds: number) => void;

/** Ends at the first defect. The same seed and corpus try the same inputs. */
export async function fuzz(
  target: Target,
  corpus: readonly Buffer[],
  seed: number,
  limits: Limits,
  watch: Watcher = () => {},
  now: () => number = () => performance.now(),
): Promise<Outcome> {
  const random = seeded(seed);
  const pool = corpus.slice();
  const kinds = new Set<string>();
  const deadline = now() + limits.milliseconds;
  let runs = 0;
  while (runs < limits.runs && (runs < corpus.length || now() < deadline)) {
    const known = corpus[runs];
    const input = known ?? mutate(random, pool, target.tokens, target.bytesMax);
    watch(input, runs++, kinds.size);
    if (runs % INPUTS_PER_TURN === 0) await new Promise(setImmediate);
    const outcome = await attempt(target, input, now);
    if (typeof outcome !== "string") {
      return { runs, kinds: kinds.size, failure: await shrink(target, { input, error: outcome }, watch, now) };
    }
    if (kinds.has(outcome)) continue;
    kinds.add(outcome);
    if (known !== undefined) continue;
    if (pool.length < POOL_MAX) pool.push(input);
    else pool[corpus.length + Math.floor(random() * (POOL_MAX - corpus.length))] = input;
  }
  return { runs, kinds: kinds.size, failure: undefined };
}

async function attempt(target: Target, input: Buffer, now: () => number): Promise<string | Error> {
  const startedAt = now();
  try {
    const kind = await target.run(Buffer.from(input));
    const took = now() - startedAt;
    return took > INPUT_MS_MAX ? new Error(`${Math.round(took)} ms for ${input.length} bytes`) : kind;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Leaves out whatever is not needed to fail in the same way. */
async function shrink(target: Target, found: Failure, watch: Watcher, now: () => number): Promise<Failure> {
  let { input, error } = found;
  let left = SHRINKS_MAX;
  for (let size = input.length >> 1; size > 0; size >>= 1) {
    for (let at = 0; at < input.length && left > 0; left--) {
      const smaller = Buffer.concat([input.subarray(0, at), input.subarray(at + size)]);
      watch(smaller, 0, 0);
      const outcome = await attempt(target, smaller, now);
      if (typeof outcome === "string" || firstLine(outcome) !== firstLine(error)) {
        at += size;
      } else {
        input = smaller;
        error = outcome;
      }
    }
  }
  return { input, error };
}

function firstLine(error: Error): string {
  return error.message.split("\n", 1)[0] as string;
}
