/** The workloads that registered themselves, each for as long as its lease is renewed. */
import { isDeepStrictEqual } from "node:util";

import type { Clock, Timer } from "../../net/clock.ts";
import type { Logger } from "../../telemetry/log.ts";
import type { Registration } from "./registration.ts";

/** Workloads registered at one time. */
export const WORKLOADS_MAX = 10_000;
/** Milliseconds between two looks for leases that have run out. */
export const SWEEP_MS = 1_000;

export interface RegistryOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Something other than the age of a lease has changed. */
  readonly onChange: () => void;
}

interface Lease {
  readonly registration: Registration;
  readonly expiresAt: number;
}

export class Registry {
  readonly #options: RegistryOptions;
  /** By key, the most recently changed last. */
  readonly #leases = new Map<string, Lease>();
  #sweep: Timer | undefined;

  constructor(options: RegistryOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#leases.size;
  }

  /** All of them, the most recently changed last. */
  all(): Registration[] {
    return [...this.#leases.values()].map(({ registration }) => registration);
  }

  get(namespace: string, name: string): Registration | undefined {
    return this.#leases.get(registrationKey({ namespace, name }))?.registration;
  }

  /** Registers or renews. "full": it is new and there is no room for it. */
  put(registration: Registration): "created" | "changed" | "renewed" | "full" {
    const key = registrationKey(registration);
    const known = this.#leases.get(key);
    if (known === undefined && this.#leases.size >= WORKLOADS_MAX) return "full";
    const same = known !== undefined && isDeepStrictEqual(known.registration, registration);
    if (!same) this.#leases.delete(key);
    const expiresAt = this.#options.clock.now() + registration.ttlSeconds * 1_000;
    this.#leases.set(key, { registration: same ? known.registration : registration, expiresAt });
    this.#armSweep();
    if (same) return "renewed";
    this.#options.onChange();
    if (known !== undefined) return "changed";
    this.#options.logger.info("workload registered", { workload: key });
    return "created";
  }

  /** @returns whether it was there */
  delete(namespace: string, name: string): boolean {
    const key = registrationKey({ namespace, name });
    if (!this.#leases.delete(key)) return false;
    this.#options.logger.info("workload deregistered", { workload: key });
    this.#options.onChange();
    return true;
  }

  /** Takes in what an earlier control plane knew; every lease begins anew. */
  restore(registrations: readonly Registration[]): void {
    const now = this.#options.clock.now();
    for (const registration of registrations.slice(0, WORKLOADS_MAX)) {
      const expiresAt = now + registration.ttlSeconds * 1_000;
      this.#leases.set(registrationKey(registration), { registration, expiresAt });
    }
    this.#armSweep();
    if (registrations.length > 0) this.#options.onChange();
  }

  close(): void {
    this.#sweep?.cancel();
    this.#sweep = undefined;
    this.#leases.clear();
  }

  #armSweep(): void {
    if (this.#sweep !== undefined || this.#leases.size === 0) return;
    this.#sweep = this.#options.clock.after(SWEEP_MS, () => {
      this.#sweep = undefined;
      this.#expire();
      this.#armSweep();
    });
  }

  #expire(): void {
    const now = this.#options.clock.now();
    let changed = false;
    for (const [key, { expiresAt, registration }] of this.#leases) {
      if (expiresAt > now) continue;
      this.#leases.delete(key);
      changed = true;
      this.#options.logger.warn("workload did not renew its registration and is forgotten", {
        workload: key,
        ttlSeconds: registration.ttlSeconds,
      });
    }
    if (changed) this.#options.onChange();
  }
}

export function registrationKey(workload: { readonly name: string; readonly namespace: string }): string {
  return `${workload.name}.${workload.namespace}`;
}
