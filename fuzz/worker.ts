/** The thread that runs one target: see `watched.ts`. */
import { parentPort, workerData } from "node:worker_threads";

import { readCorpus } from "./corpus.ts";
import { fuzz } from "./run.ts";
import { targets } from "./targets.ts";
import { type Answer, type Order, sharedOver } from "./watched.ts";

const { target: name, seed, milliseconds, shared } = workerData as Order;
const { counters, input: visible } = sharedOver(shared);
const target = targets.find((each) => each.name === name);
if (target === undefined) throw new Error(`no target ${name}`);
const corpus = readCorpus(name).map(({ input }) => input);

const { runs, kinds, failure } = await fuzz(
  target,
  corpus,
  seed,
  { runs: Number.POSITIVE_INFINITY, milliseconds },
  (input, runsNow, kindsNow) => {
    visible.set(input);
    counters[2] = input.length;
    counters[1] = kindsNow;
    // Written last, and changed by every input, also while a failure is made smaller.
    counters[0] = runsNow === 0 ? (counters[0] as number) + 1 : runsNow;
  },
);
const answer: Answer = {
  runs,
  kinds,
  failure: failure && { input: failure.input, error: failure.error.stack ?? failure.error.message },
};
parentPort?.postMessage(answer, []);
