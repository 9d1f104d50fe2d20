/** When each request of an open loop is meant to be sent: evenly, whatever became of the ones before. */
export class Schedule {
  /** How many. */
  readonly count: number;
  readonly #startMs: number;
  readonly #intervalMs: number;

  /** @param rate requests per second */
  constructor(startMs: number, rate: number, count: number) {
    this.count = count;
    this.#startMs = startMs;
    this.#intervalMs = 1_000 / rate;
  }

  /** When request number `index` is due, in milliseconds of the clock that the start is given in. */
  dueMs(index: number): number {
    return this.#startMs + index * this.#intervalMs;
  }
}

/** What the generator reports, in microseconds. */
export interface OpenLoopResult {
  /** From the intended sending to the last byte of the answer, in the order of the answers. */
  readonly latencies: readonly number[];
  /** From the intended sending to the actual one: the generator's own lag, and waiting for a free connection. */
  readonly lags: readonly number[];
  /** Answers other than 200, and requests with none. */
  readonly failures: number;
}
