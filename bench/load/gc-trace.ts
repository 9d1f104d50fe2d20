/** What V8 says about its garbage collections with --trace-gc --trace-gc-nvp. */

export interface GcTotals {
  /** What was allocated on V8's heap up to the last collection. */
  readonly allocatedBytes: number;
  /** Milliseconds in which nothing else ran. */
  readonly pauseMs: number;
  readonly collections: number;
}

interface Collection {
  readonly pause: number;
  /** Bytes since the collection before. */
  readonly allocated: number;
}

/** Lines that are cut off, or of something else, do not count. */
export function parseGcTrace(text: string): GcTotals {
  const found = [...text.matchAll(/ ms: GC: (\{.*\})$/gm)].map((match) => JSON.parse(match[1] ?? "") as Collection);
  return {
    allocatedBytes: found.reduce((sum, { allocated }) => sum + allocated, 0),
    pauseMs: found.reduce((sum, { pause }) => sum + pause, 0),
    collections: found.length,
  };
}
