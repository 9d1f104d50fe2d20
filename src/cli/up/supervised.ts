/**
 * Keeps one program running.
 *
 *   idle --start--> [preparing -->] running --exit--> waiting --delay over--> [preparing -->] running
 *   running --stop--> stopping --exit, or killed after the grace--> stopped
 *   waiting, preparing --stop--> stopped
 *   running --exit, without restart--> idle
 */
import type { Clock, Timer } from "../../net/clock.ts";
import { describeExit, type ProcessExit, type Program, type RunningProcess, type Spawner } from "./process.ts";
import { RestartDelay } from "./restart.ts";

export interface SupervisedOptions {
  /** For the log: "price-1", "price-1/proxy". */
  readonly name: string;
  /** Or what makes it, anew for each start; undefined: `wanted` has told it that it is not to be started any more. */
  readonly program: Program | ((wanted: () => boolean) => Promise<Program | undefined>);
  readonly spawner: Spawner;
  readonly clock: Clock;
  /** Start it again when it ended; default true. */
  readonly restart?: boolean;
  /** A line of the program. */
  onLine(line: string): void;
  /** A line about the program. */
  onNotice(line: string): void;
  /** It was started. */
  onStart(): void;
  /** It ended. */
  onExit(exit: ProcessExit): void;
}

export class Supervised {
  readonly name: string;
  /** How often it was started. */
  starts = 0;
  readonly #options: SupervisedOptions;
  readonly #delay = new RestartDelay();
  #process: RunningProcess | undefined;
  #preparing = false;
  #startedAt = 0;
  #restart: Timer | undefined;
  #stopped: PromiseWithResolvers<void> | undefined;

  constructor(options: SupervisedOptions) {
    this.name = options.name;
    this.#options = options;
  }

  get running(): boolean {
    return this.#process !== undefined;
  }

  /** Only once, and not after `stop`. */
  start(): void {
    if (this.#stopped !== undefined || this.#process !== undefined || this.#preparing) return;
    const { program } = this.#options;
    if (typeof program !== "function") {
      this.#run(program);
      return;
    }
    this.#preparing = true;
    void program(() => this.#stopped === undefined).then((prepared) => {
      this.#preparing = false;
      if (prepared !== undefined && this.#stopped === undefined) this.#run(prepared);
    });
  }

  /**
   * Asks it to end by SIGTERM, and kills it if it has not ended after `graceMs`.
   *
   * @returns when it is gone
   */
  stop(graceMs: number): Promise<void> {
    if (this.#stopped !== undefined) return this.#stopped.promise;
    this.#stopped = Promise.withResolvers();
    this.#restart?.cancel();
    if (this.#process === undefined) {
      this.#stopped.resolve();
      return this.#stopped.promise;
    }
    this.#process.signal("SIGTERM");
    const killer = this.#options.clock.after(graceMs, () => this.kill());
    return this.#stopped.promise.finally(() => killer.cancel());
  }

  /** Passes a signal on, if it runs. */
  signal(signal: NodeJS.Signals): void {
    this.#process?.signal(signal);
  }

  /** Ends it at once, for good if `stop` was called before. */
  kill(): void {
    this.#process?.signal("SIGKILL");
  }

  #run(program: Program): void {
    const { spawner, clock } = this.#options;
    this.starts++;
    this.#startedAt = clock.now();
    this.#process = spawner(program, {
      onLine: (line) => this.#options.onLine(line),
      onExit: (exit) => this.#exited(exit),
    });
    this.#options.onStart();
  }

  #exited(exit: ProcessExit): void {
    this.#process = undefined;
    const { clock, restart = true } = this.#options;
    if (restart && this.#stopped === undefined) {
      const delay = this.#delay.afterRun(clock.now() - this.#startedAt);
      this.#options.onNotice(`${describeExit(exit)}; it is started again in ${delay} ms`);
      this.#restart = clock.after(delay, () => this.start());
    }
    this.#options.onExit(exit);
    this.#stopped?.resolve();
  }
}
