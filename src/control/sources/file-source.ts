/**
 * One mesh.yaml, followed as it changes. A bad or missing file leaves the last good state in force.
 *
 * Changes are noticed in two ways: the system tells at once of anything that happens in the file's folder (editors replace
 * files by renaming, so the file itself is the wrong thing to watch), and a look at the file's stamp each second covers what
 * that misses: network and container mounts, folders that are themselves replaced, symbolic links, no watches left.
 */
import { type FSWatcher, watch } from "node:fs";
import { stat } from "node:fs/promises";
import { dirname } from "node:path";

import { type Diagnostic, formatDiagnostic } from "../../dialects/diagnostic.ts";
import type { MeshFile } from "../../dialects/mesh/mesh-file.ts";
import { readMeshFile } from "../../dialects/mesh/read.ts";
import type { Clock, Timer } from "../../net/clock.ts";
import type { Logger } from "../../telemetry/log.ts";
import type { SourceStatus } from "./source.ts";

/** Milliseconds from the first sign of a change to reading: an editor writes in several steps. */
export const SETTLE_MS = 50;
/** Milliseconds between two looks at the file's stamp. */
export const POLL_MS = 1_000;

export interface FileSourceOptions {
  /** Absolute. */
  readonly file: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What is in force has changed. */
  readonly onChange: () => void;
  /** The wall clock. */
  readonly now?: () => Date;
}

export class FileSource {
  readonly file: string;
  readonly #options: FileSourceOptions;
  #meshFile: MeshFile | undefined;
  #loadedAt: Date | undefined;
  #diagnostics: readonly Diagnostic[] = [];
  #stamp = "";
  #watcher: FSWatcher | undefined;
  #settling: Timer | undefined;
  #polling: Timer | undefined;
  #checking: Promise<void> | undefined;
  #closed = false;

  constructor(options: FileSourceOptions) {
    this.file = options.file;
    this.#options = options;
  }

  /** The last good state. */
  get meshFile(): MeshFile | undefined {
    return this.#meshFile;
  }

  get status(): SourceStatus {
    return {
      name: this.file,
      kind: "file",
      state: this.#diagnostics.some(({ severity }) => severity === "error") ? "bad" : "ok",
      loadedAt: this.#loadedAt?.toISOString() ?? null,
      diagnostics: this.#diagnostics,
    };
  }

  /** Reads the file and begins to follow it. A bad file is no reason to reject. */
  async start(): Promise<void> {
    await this.#check();
    this.#watch();
    this.#poll();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#watcher?.close();
    this.#settling?.cancel();
    this.#polling?.cancel();
    await this.#checking;
  }

  #watch(): void {
    if (this.#closed || this.#watcher !== undefined) return;
    try {
      const watcher = watch(dirname(this.file), { persistent: false }, () => this.#settle());
      watcher.on("error", () => this.#unwatch(watcher));
      this.#watcher = watcher;
    } catch {
      // No such folder, or no watches left: the next look at the stamp tries again.
    }
  }

  #unwatch(watcher: FSWatcher): void {
    watcher.close();
    if (this.#watcher === watcher) this.#watcher = undefined;
  }

  #settle(): void {
    if (this.#closed || this.#settling !== undefined) return;
    this.#settling = this.#options.clock.after(SETTLE_MS, () => {
      this.#settling = undefined;
      // A check that is under way may have looked before the change.
      void Promise.resolve(this.#checking).then(() => this.#check());
    });
  }

  #poll(): void {
    if (this.#closed) return;
    this.#polling = this.#options.clock.after(POLL_MS, () => {
      this.#watch();
      void this.#check();
      this.#poll();
    });
  }

  /** One check at a time. */
  #check(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#checking ??= this.#load().finally(() => (this.#checking = undefined));
    return this.#checking;
  }

  async #load(): Promise<void> {
    const stamp = await stampOf(this.file);
    if (stamp === this.#stamp || this.#closed) return;
    const { meshFile, diagnostics } = await readMeshFile(this.file);
    // A write during reading leaves another stamp behind, so that it is read again.
    this.#stamp = stamp;
    if (this.#closed) return;
    this.#diagnostics = diagnostics;
    this.#log(diagnostics, meshFile !== undefined);
    if (meshFile === undefined) return;
    const again = this.#meshFile !== undefined;
    this.#meshFile = meshFile;
    this.#loadedAt = this.#options.now?.() ?? new Date();
    if (again) this.#options.logger.info("mesh file reloaded", { file: this.file, services: meshFile.services.length });
    this.#options.onChange();
  }

  #log(diagnostics: readonly Diagnostic[], good: boolean): void {
    const { logger } = this.#options;
    for (const diagnostic of diagnostics) {
      const line = formatDiagnostic(diagnostic);
      if (diagnostic.severity === "error") logger.error(line);
      else logger.warn(line);
    }
    if (good) return;
    if (this.#meshFile === undefined) logger.error("mesh file is not used until it is mended", { file: this.file });
    else logger.error("mesh file is bad; the last good one stays in force", { file: this.file });
  }
}

/** Differs whenever the file was written, replaced or removed. */
async function stampOf(file: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(" ");
  } catch (error) {
    return `missing: ${(error as NodeJS.ErrnoException).code ?? ""}`;
  }
}
