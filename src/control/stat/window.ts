/**
 * The last ten minutes of one workload, in bounded memory: one sample a second for the youngest two minutes, one in ten
 * seconds for what is older (a long window needs no finer edge).
 *
 * Kept are counts since this window began, not what the sidecar printed: when its process starts anew its counters fall
 * to 0, and what it has counted since then is added on. So every difference is right and none is negative.
 */
import { LATENCY_BOUNDS_MS, type Counters, type Sample } from "./sample.ts";

/** Milliseconds. */
export const WINDOW_MAX_MS = 600_000;
const COARSE_STEP_MS = 10_000;
/** Samples kept of each kind; two more coarse ones so that the edge of the longest window always has one before it. */
const FINE_SAMPLES = 120;
const COARSE_SAMPLES = WINDOW_MAX_MS / COARSE_STEP_MS + 2;

/** Milliseconds: a process that young when it is first seen has counted from 0 within sight. */
const YOUNG_MS = 30_000;
const START_WAVER_S = 2;

/** Where the numbers of one sample stand in its slot. */
const AT = 0;
const SUCCESS = 1;
const FAILURE = 2;
const READ_BYTES = 3;
const WRITE_BYTES = 4;
const LATENCY = 5;
const SLOT = LATENCY + LATENCY_BOUNDS_MS.length + 1;

/** What happened within a span of time. */
export interface Difference {
  readonly counters: Counters;
  /** How long the span really is: a young workload has less behind it than was asked for. Above 0. */
  readonly elapsedMs: number;
}

export class StatWindow {
  /** When the last sample was taken, by the clock's milliseconds. */
  lastAt = Number.NEGATIVE_INFINITY;
  openConnections = 0;
  readonly #fine = new Ring(FINE_SAMPLES);
  readonly #coarse = new Ring(COARSE_SAMPLES);
  #raw: Counters | undefined;
  #startedAt = 0;

  /**
   * @param now the clock's milliseconds
   * @param ageMs how long the sidecar's process has been running, if known: what a young one counted before it was first seen counts too
   */
  add(sample: Sample, now: number, ageMs: number | undefined): void {
    const { counters, startedAt } = sample;
    const raw = this.#raw;
    const slot = new Float64Array(SLOT);
    slot[AT] = now;
    if (raw === undefined) {
      if (ageMs !== undefined && ageMs > 0 && ageMs < YOUNG_MS) {
        const start = new Float64Array(SLOT);
        start[AT] = now - ageMs;
        this.#push(start);
        addCounters(slot, counters, undefined);
      }
    } else {
      slot.set(this.#fine.newest as Float64Array);
      slot[AT] = now;
      // Some compute the time of their start at each scrape, which lets it waver.
      const restarted = Math.abs(startedAt - this.#startedAt) > START_WAVER_S || hasFallen(raw, counters);
      addCounters(slot, counters, restarted ? undefined : raw);
    }
    this.#push(slot);
    this.#raw = counters;
    this.#startedAt = startedAt;
    this.openConnections = sample.openConnections;
    this.lastAt = now;
  }

  /**
   * What happened in the last `windowMs` before `now`; undefined if there are not two samples to compare.
   *
   * @param live whether samples still come; if not, the time since the last one counts as time in which nothing happened
   */
  difference(windowMs: number, now: number, live: boolean): Difference | undefined {
    const newest = this.#fine.newest;
    if (newest === undefined) return undefined;
    const edge = now - windowMs;
    const start = this.#fine.lastUpTo(edge) ?? this.#coarse.lastUpTo(edge) ?? this.#oldest();
    const elapsedMs = (live ? (newest[AT] as number) : now) - (start[AT] as number);
    if (elapsedMs <= 0) return undefined;
    const between = (i: number): number => (newest[i] as number) - (start[i] as number);
    return {
      elapsedMs,
      counters: {
        success: between(SUCCESS),
        failure: between(FAILURE),
        readBytes: between(READ_BYTES),
        writeBytes: between(WRITE_BYTES),
        latency: Array.from({ length: LATENCY_BOUNDS_MS.length + 1 }, (_, i) => between(LATENCY + i)),
      },
    };
  }

  #push(slot: Float64Array): void {
    this.#fine.push(slot);
    const last = this.#coarse.newest?.[AT] ?? Number.NEGATIVE_INFINITY;
    if ((slot[AT] as number) - last >= COARSE_STEP_MS) this.#coarse.push(slot);
  }

  #oldest(): Float64Array {
    const coarse = this.#coarse.oldest as Float64Array;
    const fine = this.#fine.oldest as Float64Array;
    return (coarse[AT] as number) <= (fine[AT] as number) ? coarse : fine;
  }
}

/** The youngest so many slots, in one block of memory. */
class Ring {
  readonly #capacity: number;
  readonly #block: Float64Array;
  #next = 0;
  #size = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#block = new Float64Array(capacity * SLOT);
  }

  get newest(): Float64Array | undefined {
    return this.#size === 0 ? undefined : this.#slot(this.#size - 1);
  }

  get oldest(): Float64Array | undefined {
    return this.#size === 0 ? undefined : this.#slot(0);
  }

  push(slot: Float64Array): void {
    this.#block.set(slot, this.#next * SLOT);
    this.#next = (this.#next + 1) % this.#capacity;
    this.#size = Math.min(this.#capacity, this.#size + 1);
  }

  /** The youngest slot that is not younger than `at`. */
  lastUpTo(at: number): Float64Array | undefined {
    for (let i = this.#size - 1; i >= 0; i--) {
      const slot = this.#slot(i);
      if ((slot[AT] as number) <= at) return slot;
    }
    return undefined;
  }

  /** @param age 0 for the oldest */
  #slot(age: number): Float64Array {
    const at = (this.#next - this.#size + age + this.#capacity) % this.#capacity;
    return this.#block.subarray(at * SLOT, (at + 1) * SLOT);
  }
}

/** Adds to a slot what was counted since `since`. */
function addCounters(slot: Float64Array, counters: Counters, since: Counters | undefined): void {
  const add = (i: number, value: number, before = 0): void => {
    slot[i] = (slot[i] as number) + value - before;
  };
  add(SUCCESS, counters.success, since?.success);
  add(FAILURE, counters.failure, since?.failure);
  add(READ_BYTES, counters.readBytes, since?.readBytes);
  add(WRITE_BYTES, counters.writeBytes, since?.writeBytes);
  counters.latency.forEach((value, i) => add(LATENCY + i, value, since?.latency[i]));
}

function hasFallen(before: Counters, now: Counters): boolean {
  return (
    now.success < before.success ||
    now.failure < before.failure ||
    now.readBytes < before.readBytes ||
    now.writeBytes < before.writeBytes ||
    now.latency.some((value, i) => value < (before.latency[i] as number))
  );
}
