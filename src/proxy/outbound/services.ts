/**
 * The services that this sidecar's callers use: asked for by name when first named, kept while in use, forgotten after.
 *
 *   unknown name ─▶ pending (requests wait) ─▶ known ─▶ … ─▶ unused for IDLE_MS ─▶ forgotten
 *                                            └▶ absent (404) ─▶ asked again after ABSENT_MS
 */
import type { Discovery } from "../../model/discovery.ts";
import type { BackendView, ServiceView } from "../../model/mesh.ts";
import type { PortKey } from "../../model/service.ts";
import type { Clock, Timer } from "../../net/clock.ts";
import type { Logger } from "../../telemetry/log.ts";
import type { Backend } from "../backend.ts";
import { Router } from "./router.ts";

/** Names that one sidecar follows at once; beyond, a name is treated as absent. */
export const SERVICES_MAX = 10_000;

/** Milliseconds after its last request that a name is forgotten. */
export const IDLE_MS = 60_000;

/** Milliseconds that "no such service" is believed without asking again. */
export const ABSENT_MS = 5_000;

/** Milliseconds between two looks for names that can be forgotten early because there are too many. */
const ROOM_MS = 1_000;

/** Milliseconds that the first request to a name waits for the control plane. Linkerd's outbound fail-fast: 3 s. */
export const DISCOVERY_TIMEOUT_MS = 3_000;

/** One name as compiled state. A change makes a new one and swaps it in whole. */
export interface KnownService {
  readonly view: ServiceView;
  readonly router: Router;
  backend(key: PortKey): Backend | undefined;
}

export type Resolution = KnownService | "absent" | "timeout";

export interface ServicesContext {
  readonly clock: Clock;
  readonly discovery: Discovery;
  readonly logger: Logger;
  readonly makeBackend: (service: ServiceView, backend: BackendView) => Backend;
}

export class Services {
  readonly #context: ServicesContext;
  readonly #entries = new Map<string, Entry>();
  readonly #backends = new Map<string, Shared>();
  #nextSweep: Timer | undefined;
  #sweptAt = -Infinity;

  constructor(context: ServicesContext) {
    this.#context = context;
    this.#scheduleSweep();
  }

  /** Every backend in use, for gauges. */
  *backends(): Iterable<readonly [PortKey, Backend]> {
    for (const { key, backend } of this.#backends.values()) yield [key, backend];
  }

  /** What a name stands for if that is known already; undefined if it has to be asked. */
  known(authority: string): KnownService | undefined {
    const entry = this.#entries.get(authority);
    if (entry === undefined || typeof entry.state !== "object") return undefined;
    entry.usedAt = this.#context.clock.now();
    return entry.state;
  }

  /**
   * Finds out what a name stands for. `done` is called exactly once, possibly from inside.
   *
   * @param authority lower case
   * @returns a function that gives up waiting
   */
  resolve(authority: string, done: (resolution: Resolution) => void): () => void {
    let entry = this.#entries.get(authority);
    if (entry === undefined) {
      if (this.#entries.size >= SERVICES_MAX) this.#makeRoom();
      if (this.#entries.size >= SERVICES_MAX) {
        this.#context.logger.warn("too many names in use at once; this one is not looked up", {
          authority,
          max: SERVICES_MAX,
        });
        done("absent");
        return () => {};
      }
      entry = new Entry(this, this.#context, authority);
      this.#entries.set(authority, entry);
      entry.follow();
    }
    return entry.wait(done);
  }

  /** Names being followed. */
  get size(): number {
    return this.#entries.size;
  }

  close(): void {
    this.#nextSweep?.cancel();
    for (const entry of this.#entries.values()) entry.close();
    this.#entries.clear();
  }

  /** Cuts every connection to every endpoint. */
  destroy(): void {
    for (const { backend } of this.#backends.values()) backend.destroy();
    this.close();
  }

  /** @internal The same port under two names shares one backend, so its load is seen in whole. */
  use(service: ServiceView, view: BackendView): Shared {
    // Connections made for one protocol are of no use for another.
    const id = `${service.port.protocol} ${view.key}`;
    let used = this.#backends.get(id);
    if (used === undefined) {
      used = { id, key: view.key, backend: this.#context.makeBackend(service, view), users: 0 };
      this.#backends.set(id, used);
    }
    used.users++;
    used.backend.update(view.policy, view.endpoints);
    return used;
  }

  /** @internal */
  release(used: Shared): void {
    if (--used.users > 0) return;
    this.#backends.delete(used.id);
    used.backend.close();
  }

  #scheduleSweep(): void {
    this.#nextSweep = this.#context.clock.after(IDLE_MS / 4, () => {
      this.#sweep();
      this.#scheduleSweep();
    });
  }

  /** Names that do not exist must not keep those out that do; yet a flood of them must not have us look all the time. */
  #makeRoom(): void {
    if (this.#context.clock.now() - this.#sweptAt >= ROOM_MS) this.#sweep();
  }

  #sweep(): void {
    const now = this.#context.clock.now();
    this.#sweptAt = now;
    for (const [authority, entry] of this.#entries) {
      if (!entry.expired(now)) continue;
      this.#entries.delete(authority);
      entry.close();
    }
  }
}

/** A backend and how many names lead to it. */
interface Shared {
  readonly id: string;
  readonly key: PortKey;
  readonly backend: Backend;
  users: number;
}

class Entry {
  state: KnownService | "pending" | "absent" = "pending";
  usedAt: number;
  readonly #services: Services;
  readonly #context: ServicesContext;
  readonly #authority: string;
  readonly #waiting = new Set<(resolution: Resolution) => void>();
  #unwatch: (() => void) | undefined;
  #timeout: Timer | undefined;
  #used: readonly Shared[] = [];

  constructor(services: Services, context: ServicesContext, authority: string) {
    this.#services = services;
    this.#context = context;
    this.#authority = authority;
    this.usedAt = context.clock.now();
  }

  follow(): void {
    this.#unwatch = this.#context.discovery.watch(this.#authority, {
      onView: (view) => this.#know(view),
      onUnknown: () => this.#settle("absent"),
    });
  }

  wait(done: (resolution: Resolution) => void): () => void {
    const now = this.#context.clock.now();
    if (this.state !== "absent") this.usedAt = now;
    if (this.state !== "pending") {
      done(this.state);
      return () => {};
    }
    this.#waiting.add(done);
    this.#timeout ??= this.#context.clock.after(DISCOVERY_TIMEOUT_MS, () => this.#answer("timeout"));
    return () => this.#waiting.delete(done);
  }

  expired(now: number): boolean {
    if (this.#waiting.size > 0) return false;
    if (this.state === "absent") return now - this.usedAt >= ABSENT_MS;
    return now - this.usedAt >= IDLE_MS && !this.#used.some(({ backend }) => backend.inFlight > 0);
  }

  close(): void {
    this.#unwatch?.();
    this.#timeout?.cancel();
    this.#answer("timeout");
    this.#release();
  }

  #know(view: ServiceView): void {
    let router: Router;
    try {
      router = new Router(view.routes);
    } catch (error) {
      this.#context.logger.error("a route does not compile; the last good routes stay", {
        service: view.key,
        error: (error as Error).message,
      });
      return;
    }
    const before = this.#used;
    this.#used = Array.from(view.backends.values(), (backend) => this.#services.use(view, backend));
    // Taken before it is let go, so that a backend in both is not torn down in between.
    for (const used of before) this.#services.release(used);
    const backends = new Map(this.#used.map(({ key, backend }) => [key, backend]));
    this.#settle({ view, router, backend: (key) => backends.get(key) });
  }

  #settle(state: KnownService | "absent"): void {
    if (state === "absent") this.#release();
    this.state = state;
    this.#answer(state);
  }

  #release(): void {
    for (const used of this.#used) this.#services.release(used);
    this.#used = [];
  }

  #answer(resolution: Resolution): void {
    this.#timeout?.cancel();
    this.#timeout = undefined;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const done of waiting) done(resolution);
  }
}
