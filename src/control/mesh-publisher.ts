/** Rebuilds the mesh when a source has changed, and passes it on if it really is another one. */
import { isDeepStrictEqual } from "node:util";

import { emptyMesh, type Mesh } from "../model/mesh.ts";
import type { Clock, Timer } from "../net/clock.ts";
import type { Logger } from "../telemetry/log.ts";
import type { BuiltMesh } from "./mesh-builder.ts";

/** Milliseconds between two builds at least: a thousand registrations in a second are few builds. The first is at once. */
export const BUILD_INTERVAL_MS = 50;

export interface MeshPublisherOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly build: () => BuiltMesh;
  readonly publish: (mesh: Mesh) => void;
}

export class MeshPublisher {
  readonly #options: MeshPublisherOptions;
  #mesh: Mesh = emptyMesh;
  #warnings: ReadonlySet<string> = new Set();
  #dirty = false;
  #builtAt = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;

  constructor(options: MeshPublisherOptions) {
    this.#options = options;
  }

  /** The mesh with every change that was announced, also those not built yet. */
  get mesh(): Mesh {
    if (this.#dirty) this.#build();
    return this.#mesh;
  }

  /** A source has changed. */
  changed(): void {
    this.#dirty = true;
    const { clock } = this.#options;
    this.#timer ??= clock.after(Math.max(0, this.#builtAt + BUILD_INTERVAL_MS - clock.now()), () => {
      this.#timer = undefined;
      if (this.#dirty) this.#build();
    });
  }

  close(): void {
    this.#timer?.cancel();
    this.#dirty = false;
  }

  #build(): void {
    const { clock, logger } = this.#options;
    this.#dirty = false;
    this.#builtAt = clock.now();
    const { mesh, warnings } = this.#options.build();
    for (const warning of warnings) {
      if (!this.#warnings.has(warning)) logger.warn(warning);
    }
    this.#warnings = new Set(warnings);
    if (isDeepStrictEqual(mesh, this.#mesh)) return;
    this.#mesh = mesh;
    this.#options.publish(mesh);
  }
}
