/**
 * When a process that ended is started again.
 *
 * Why: one that crashes should be back soon; one that cannot start must not burn the machine. So the wait doubles with
 * every end, from 100 ms up to 10 s. Recovery: a run of 10 s counts as healthy, and the next end waits 100 ms again.
 * Edge: a normal end (exit code 0) of a service is an end like any other, since services are meant to stay.
 */

export const RESTART_DELAY_MIN_MS = 100;
export const RESTART_DELAY_MAX_MS = 10_000;
export const HEALTHY_AFTER_MS = 10_000;

export class RestartDelay {
  #next = RESTART_DELAY_MIN_MS;

  /**
   * @param ranForMs how long the run that just ended took
   * @returns milliseconds until the next start
   */
  afterRun(ranForMs: number): number {
    const delay = ranForMs >= HEALTHY_AFTER_MS ? RESTART_DELAY_MIN_MS : this.#next;
    this.#next = Math.min(delay * 2, RESTART_DELAY_MAX_MS);
    return delay;
  }
}
