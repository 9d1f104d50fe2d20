/** What a load generator counted in one turn. */
export interface LoadResult {
  readonly requests: number;
  /** Requests per second of the turn. */
  readonly rate: number;
  /** Answers other than 2xx, and requests with none. */
  readonly failures: number;
}

/** Milliseconds that a generator may take beyond its turn. */
export const LOAD_SLACK_MS = 15_000;
