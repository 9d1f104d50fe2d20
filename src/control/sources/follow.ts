/**
 * Tells when something in some folders may have changed.
 *
 * Changes are noticed in two ways: the system tells at once of anything that happens in a folder (editors replace files by
 * renaming, so the file itself is the wrong thing to watch), and a look each second covers what that misses: network and
 * container mounts, folders that are themselves replaced, symbolic links, no watches left.
 */
import { type FSWatcher, watch } from "node:fs";

import type { Clock, Timer } from "../../net/clock.ts";

/** Milliseconds from the first sign of a change to a look: an editor writes in several steps. */
export const SETTLE_MS = 50;
/** Milliseconds between two looks in any case. */
export const POLL_MS = 1_000;

export interface FollowOptions {
  readonly clock: Clock;
  /** The folders that matter now; those that do not exist are tried again. */
  readonly folders: () => Iterable<string>;
  /** Looks whether something has changed, never twice at the same time. Must not reject. */
  readonly look: () => Promise<void>;
}

export class Follow {
  readonly #options: FollowOptions;
  readonly #watchers = new Map<string, FSWatcher>();
  #settling: Timer | undefined;
  #polling: Timer | undefined;
  #looking: Promise<void> | undefined;
  #closed = false;

  constructor(options: FollowOptions) {
    this.#options = options;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Looks for the first time, and from then on again and again. */
  async start(): Promise<void> {
    await this.look();
    this.#watch();
    this.#poll();
  }

  /** Resolves when somebody has looked who may have begun before. */
  look(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#looking ??= this.#options.look().finally(() => (this.#looking = undefined));
    return this.#looking;
  }

  /** Resolves when nobody looks any more. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
    this.#settling?.cancel();
    this.#polling?.cancel();
    await this.#looking;
  }

  #watch(): void {
    if (this.#closed) return;
    const wanted = new Set(this.#options.folders());
    for (const [folder, watcher] of this.#watchers) {
      if (!wanted.has(folder)) this.#unwatch(folder, watcher);
    }
    for (const folder of wanted) {
      if (this.#watchers.has(folder)) continue;
      try {
        const watcher = watch(folder, { persistent: false }, () => this.#settle());
        watcher.on("error", () => this.#unwatch(folder, watcher));
        this.#watchers.set(folder, watcher);
      } catch {
        // No such folder, or no watches left: the next look tries again.
      }
    }
  }

  #unwatch(folder: string, watcher: FSWatcher): void {
    watcher.close();
    if (this.#watchers.get(folder) === watcher) this.#watchers.delete(folder);
  }

  #settle(): void {
    if (this.#closed || this.#settling !== undefined) return;
    this.#settling = this.#options.clock.after(SETTLE_MS, () => {
      this.#settling = undefined;
      // A look that is under way may have been before the change.
      void Promise.resolve(this.#looking).then(() => this.look());
    });
  }

  #poll(): void {
    if (this.#closed) return;
    this.#polling = this.#options.clock.after(POLL_MS, () => {
      this.#watch();
      void this.look();
      this.#poll();
    });
  }
}
