/** Time as an argument, so that everything timed can be tested on virtual time. */

export interface Timer {
  /** The callback will not be called any more. Idempotent. */
  cancel(): void;
}

export interface Clock {
  /** Monotonic milliseconds with fractions; the zero point means nothing. */
  now(): number;
  /** Calls back once after `delayMs` milliseconds. Does not keep the process alive by itself. */
  after(delayMs: number, callback: () => void): Timer;
}

class SystemTimer implements Timer {
  readonly #handle: NodeJS.Timeout;

  constructor(delayMs: number, callback: () => void) {
    this.#handle = setTimeout(callback, delayMs).unref();
  }

  cancel(): void {
    clearTimeout(this.#handle);
  }
}

/** The machine's own time. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after: (delayMs, callback) => new SystemTimer(delayMs, callback),
};
