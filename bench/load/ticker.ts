/**
 * A thread that wakes the generator when a request is due. Node's own timers know whole milliseconds only, and spinning
 * would take the core from the back end; a futex sleeps to within some tens of microseconds.
 */
import { parentPort, workerData } from "node:worker_threads";

import { nowUs, type Schedule } from "./schedule.ts";

const { startUs, intervalUs, count } = workerData as Schedule;
const never = new Int32Array(new SharedArrayBuffer(4));
for (let i = 0; i < count; i++) {
  const waitUs = startUs + i * intervalUs - nowUs();
  if (waitUs > 0) Atomics.wait(never, 0, 0, waitUs / 1_000);
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port has no origin
  parentPort?.postMessage(i);
}
