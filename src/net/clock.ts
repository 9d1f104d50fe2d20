/** Time as an argument, so that everything timed can be tested on virtual time. */

export interface Timer {
  /** The callback will not be called any more. Idempotent. */
  cancel(): void;
}

export interface Clock {
  /** Monotonic milliseconds with fractions; the zero point means nothing. */
  now(): number;
  /** Calls back once after `delayMs` milliseconds, at most {@link DELAY_MAX_MS}. Does not keep the process alive by itself. */
  after(delayMs: number, callback: () => void): Timer;
}

/** Milliseconds, some 24 days: Node takes anything longer for one millisecond. */
export const DELAY_MAX_MS = 2 ** 31 - 1;

class SystemTimer implements Timer {
  readonly #handle: NodeJS.Timeout;

  constructor(delayMs: number, callback: () => void) {
    this.#handle = setTimeout(callback, Math.min(delayMs, DELAY_MAX_MS)).unref();
  }

  cancel(): void {
    clearTimeout(this.#handle);
  }
}

/** What `now` answers while time is held; NaN until it is asked for. */
let heldTime = Number.NaN;
let held = false;

/**
 * Everything that follows from one read happens at one time: a proxied request asks five times for it, and an answer from
 * the kernel costs as much as parsing a short head. Until {@link releaseTime}.
 */
export function holdTime(): void {
  held = true;
  heldTime = Number.NaN;
}

export function releaseTime(): void {
  held = false;
}

/** The machine's own time. */
export const systemClock: Clock = {
  now() {
    if (!held) return performance.now();
    if (Number.isNaN(heldTime)) heldTime = performance.now();
    return heldTime;
  },
  after: (delayMs, callback) => new SystemTimer(delayMs, callback),
};
