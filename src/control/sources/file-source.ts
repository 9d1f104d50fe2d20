/** One mesh.yaml, followed as it changes. A bad or missing file leaves the last good state in force. */
import { dirname } from "node:path";

import { type Diagnostic, formatDiagnostic } from "../../dialects/diagnostic.ts";
import type { MeshFile } from "../../dialects/mesh/mesh-file.ts";
import { readMeshFile } from "../../dialects/mesh/read.ts";
import type { Clock } from "../../net/clock.ts";
import type { Logger } from "../../telemetry/log.ts";
import { Follow } from "./follow.ts";
import type { SourceStatus } from "./source.ts";
import { stampOf } from "./stamp.ts";

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
  readonly #follow: Follow;

  constructor(options: FileSourceOptions) {
    this.file = options.file;
    this.#options = options;
    const folder = dirname(this.file);
    this.#follow = new Follow({ clock: options.clock, folders: () => [folder], look: () => this.#load() });
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
  start(): Promise<void> {
    return this.#follow.start();
  }

  close(): Promise<void> {
    return this.#follow.close();
  }

  async #load(): Promise<void> {
    const stamp = await stampOf(this.file);
    if (stamp === this.#stamp || this.#follow.closed) return;
    const { meshFile, diagnostics } = await readMeshFile(this.file);
    // A write during reading leaves another stamp behind, so that it is read again.
    this.#stamp = stamp;
    if (this.#follow.closed) return;
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
