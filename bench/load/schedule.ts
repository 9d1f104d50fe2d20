/** When each request of an open loop is meant to be sent: evenly, whatever became of the ones before. */
export interface Schedule {
  /** Microseconds on this machine's monotonic clock. */
  readonly startUs: number;
  readonly intervalUs: number;
  readonly count: number;
}

/** What the generator reports, in microseconds and in the order of the answers. */
export interface OpenLoopResult {
  /** From the intended sending to the last byte of the answer. */
  readonly latencies: readonly number[];
  /** From the intended sending to the actual one: the generator's own lag, and waiting for a free connection. */
  readonly lags: readonly number[];
  /** Answers other than 200, and requests with none. */
  readonly failures: number;
}

/** Microseconds on a clock that all threads and processes of this machine share. */
export function nowUs(): number {
  return Number(process.hrtime.bigint()) / 1_000;
}
