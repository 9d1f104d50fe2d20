/** Which proxies live, and what each of them goes by: what a rotation must wait for. */
import type { WorkloadIdentity } from "../../model/identity.ts";
import { spiffeId } from "../../model/identity.ts";

/** Milliseconds that a proxy whose stream ended still counts as living: it reconnects within 10 s. */
export const DISCONNECTED_LIVES_MS = 30_000;
/** Proxies that are known at once. */
export const PROXIES_MAX = 10_000;

/** What a proxy has said that it goes by. Fingerprints are in hexadecimal. */
export interface TrustReport {
  readonly roots: readonly string[];
  readonly issuer: string;
  /** When its leaf expires: milliseconds since the epoch. */
  readonly notAfter: number;
}

export interface LivingProxy {
  readonly namespace: string;
  readonly workload: string;
  /** SPIFFE id. */
  readonly identity: string;
  /** Milliseconds since the epoch; undefined: it is connected. */
  readonly lostAt: number | undefined;
  /** undefined: it has not said yet. */
  readonly report: TrustReport | undefined;
}

/** One stream's hold on the table. */
export interface ProxySeat {
  report(report: TrustReport): void;
  /** The stream has ended. */
  leave(): void;
}

export class Proxies {
  /** Called after each change. */
  onChange: (() => void) | undefined;
  readonly #now: () => number;
  /** By "namespace/workload". */
  readonly #known = new Map<string, LivingProxy>();

  /** @param now the wall clock: milliseconds since the epoch */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** @returns undefined if there are too many. A newer stream of the same workload takes its seat over. */
  join(workload: string, identity: WorkloadIdentity): ProxySeat | undefined {
    const key = `${identity.namespace}/${workload}`;
    this.#forgetLost();
    if (this.#known.size >= PROXIES_MAX && !this.#known.has(key)) return undefined;
    const { namespace } = identity;
    let mine: LivingProxy = {
      namespace,
      workload,
      identity: spiffeId(identity),
      lostAt: undefined,
      report: undefined,
    };
    this.#known.set(key, mine);
    const replace = (changed: LivingProxy): void => {
      if (this.#known.get(key) !== mine) return;
      mine = changed;
      this.#known.set(key, mine);
      this.onChange?.();
    };
    this.onChange?.();
    return {
      report: (report) => replace({ ...mine, report }),
      leave: () => replace({ ...mine, lostAt: this.#now() }),
    };
  }

  /** Those connected, and those that were a short while ago. */
  living(): LivingProxy[] {
    this.#forgetLost();
    return [...this.#known.values()];
  }

  #forgetLost(): void {
    const since = this.#now() - DISCONNECTED_LIVES_MS;
    for (const [key, { lostAt }] of this.#known) {
      if (lostAt !== undefined && lostAt <= since) this.#known.delete(key);
    }
  }
}
