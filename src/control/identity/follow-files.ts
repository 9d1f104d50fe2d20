/** Looks at the given files again and again, and hands out what they say when that has changed and is right. */
import { stat } from "node:fs/promises";

import type { Clock, Timer } from "../../net/clock.ts";
import type { Logger } from "../../telemetry/log.ts";
import { type IdentityFiles, readGiven } from "./given.ts";
import type { TrustGoal } from "./trust-state.ts";

/** Milliseconds between two looks. The files are often symbolic links that are moved, which no watch tells of. */
export const LOOK_AT_FILES_EVERY_MS = 2_000;

export interface FollowFilesOptions {
  readonly files: IdentityFiles;
  readonly clock: Clock;
  /** The wall clock: milliseconds since the epoch. */
  readonly now: () => number;
  readonly logger: Logger;
  /** What the files said at the start. */
  readonly first: TrustGoal;
  readonly onChange: (goal: TrustGoal) => Promise<void>;
}

export class FollowedFiles {
  readonly #options: FollowFilesOptions;
  #last: TrustGoal;
  #stamp = "";
  #timer: Timer | undefined;
  #looking: Promise<void> = Promise.resolve();
  #failure = "";
  #closed = false;

  constructor(options: FollowFilesOptions) {
    this.#options = options;
    this.#last = options.first;
    this.#wait();
  }

  /** Why what the files say now is not in force; "" if it is. */
  get failure(): string {
    return this.#failure;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#looking;
  }

  #wait(): void {
    if (this.#closed) return;
    this.#timer = this.#options.clock.after(LOOK_AT_FILES_EVERY_MS, () => {
      this.#looking = this.#look().then(() => this.#wait());
    });
  }

  async #look(): Promise<void> {
    const { files, now, logger, onChange } = this.#options;
    const stamp = (await Promise.all(Object.values(files).map(stampOf))).join("; ");
    if (stamp === this.#stamp) return;
    try {
      const goal = await readGiven(files, now());
      if (JSON.stringify(goal) !== JSON.stringify(this.#last)) await onChange(goal);
      this.#last = goal;
      this.#stamp = stamp;
      this.#failure = "";
    } catch (error) {
      // Several files are replaced one after the other, so a pair that does not fit may be whole at the next look.
      const { message } = error as Error;
      if (message !== this.#failure) {
        logger.error("the files of the certificate authority are not used; what was in force stays", {
          reason: message,
        });
      }
      this.#failure = message;
    }
  }
}

async function stampOf(file: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(" ");
  } catch (error) {
    return `missing: ${(error as NodeJS.ErrnoException).code ?? ""}`;
  }
}
