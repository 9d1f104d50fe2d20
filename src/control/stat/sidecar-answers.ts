/** How each sidecar answers the control plane, which asks for its metrics once a second. */
import type { ScrapeFailure } from "./scraper.ts";

export interface SidecarAnswer {
  /** What it says of itself; null while it has not said it. */
  readonly ready: boolean | null;
  /** Rounds since its last answer, each about a second. */
  readonly unanswered: number;
  /** Why the last round had no answer; "" if it had. */
  readonly failure: ScrapeFailure | "";
}

interface Named {
  readonly workload: string;
  readonly namespace: string;
}

const NOT_ASKED: SidecarAnswer = { ready: null, unanswered: 0, failure: "" };

export class SidecarAnswers {
  /** By "namespace/workload": of those that are asked, and no others. */
  readonly #known = new Map<string, SidecarAnswer>();

  get size(): number {
    return this.#known.size;
  }

  of(sidecar: Named): SidecarAnswer {
    return this.#known.get(keyOf(sidecar)) ?? NOT_ASKED;
  }

  answered(sidecar: Named, ready: boolean | null): void {
    this.#known.set(keyOf(sidecar), { ready, unanswered: 0, failure: "" });
  }

  failed(sidecar: Named, failure: ScrapeFailure): void {
    const { ready, unanswered } = this.of(sidecar);
    this.#known.set(keyOf(sidecar), { ready, unanswered: unanswered + 1, failure });
  }

  /** Forgets all who are asked no more. */
  keep(asked: readonly Named[]): void {
    const keys = new Set(asked.map(keyOf));
    for (const key of this.#known.keys()) if (!keys.has(key)) this.#known.delete(key);
  }
}

function keyOf({ namespace, workload }: Named): string {
  return `${namespace}/${workload}`;
}
