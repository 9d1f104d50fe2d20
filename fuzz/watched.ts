/**
 * Runs a target in a thread of its own and watches it, so that an input on which a parser never returns, or by which it
 * eats all memory, is known and saved too.
 */
import { Worker } from "node:worker_threads";

import type { Outcome } from "./run.ts";

/** Milliseconds on one input after which a thread counts as stuck. */
export const STUCK_MS = 15_000;
/** MiB that a thread may hold: parsers are bounded, and so is what the fuzzer keeps. */
const HEAP_MIB = 512;
/** Milliseconds between looks. */
const LOOK_MS = 1_000;

export const INPUT_BYTES_MAX = 64 * 1024;

/** What both threads see: runs, kinds, length of the input at hand, and the input. */
export interface Shared {
  readonly counters: Int32Array;
  readonly input: Uint8Array;
}

export function sharedOver(buffer: SharedArrayBuffer): Shared {
  return { counters: new Int32Array(buffer, 0, 3), input: new Uint8Array(buffer, 12) };
}

/** What the thread is started with. */
export interface Order {
  readonly target: string;
  readonly seed: number;
  readonly milliseconds: number;
  readonly shared: SharedArrayBuffer;
}

/** What the thread answers. Errors cross as text. */
export type Answer = Omit<Outcome, "failure"> & {
  readonly failure: { readonly input: Uint8Array; readonly error: string } | undefined;
};

/**
 * @param onLook is called once a second with runs and kinds so far
 * @param script what the thread runs
 */
export function fuzzWatched(
  order: Omit<Order, "shared">,
  onLook: (runs: number, kinds: number) => void,
  script = new URL("worker.ts", import.meta.url),
  stuckMs = STUCK_MS,
): Promise<Answer> {
  const shared = new SharedArrayBuffer(12 + INPUT_BYTES_MAX);
  const { counters, input } = sharedOver(shared);
  const worker = new Worker(script, {
    workerData: { ...order, shared } satisfies Order,
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB },
  });
  return new Promise((resolve) => {
    let runsBefore = -1;
    let movedAt = performance.now();
    const ended = (answer: Answer): void => {
      clearInterval(look);
      void worker.terminate();
      resolve(answer);
    };
    const lost = (error: string): void => {
      const failure = { input: input.slice(0, counters[2]), error };
      ended({ runs: counters[0] as number, kinds: counters[1] as number, failure });
    };
    const look = setInterval(() => {
      const [runs = 0, kinds = 0] = counters;
      if (runs !== runsBefore) movedAt = performance.now();
      else if (performance.now() - movedAt > stuckMs) lost(`nothing came back within ${stuckMs} ms`);
      runsBefore = runs;
      onLook(runs, kinds);
    }, LOOK_MS);
    worker.on("message", ended);
    worker.on("error", (error) => lost(error instanceof Error ? (error.stack ?? error.message) : String(error)));
  });
}
