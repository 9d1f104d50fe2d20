/** A thread on whose second input nothing comes back any more, or too much: by the name of its target. */
import { workerData } from "node:worker_threads";

import { type Order, sharedOver } from "../watched.ts";

const { target, shared } = workerData as Order;
const { counters, input } = sharedOver(shared);
input.set(Buffer.from("evil"));
counters[2] = 4;
counters[0] = 2;
const kept: number[][] = [];
for (;;) if (target === "hungry") kept.push(Array.from({ length: 10_000 }, Math.random));
