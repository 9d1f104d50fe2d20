/**
 * Leads the mesh from one set of roots and one issuer to another while it runs.
 *
 *   nothing ──start──▶ trust ──▶ renew ──▶ retire ──▶ nothing
 *
 *   trust    the new roots are added; every living proxy must have said that it trusts them
 *   renew    the new issuer signs; every living proxy must have a leaf by it
 *   retire   the old roots are taken away; every living proxy must have said that it trusts them no more
 *
 * A phase is left only when all have taken it over, so at no time is there a leaf that some living proxy does not trust. The
 * steps are saved before they come into force, so that a restarted control plane goes on where it was.
 */
import type { Clock, Timer } from "../../net/clock.ts";
import type { Logger } from "../../telemetry/log.ts";
import type { Authority } from "./authority.ts";
import type { LivingProxy, Proxies } from "./proxies.ts";
import { fingerprintOf, type RotationPhase, type TrustGoal, type TrustState } from "./trust-state.ts";

/** Milliseconds that a phase rests after all have taken it over: a thread of theirs may be a moment late. */
export const SETTLE_MS = 1_000;
/** Milliseconds between two looks at who lags behind, and from a change to the next look. */
export const LOOK_EVERY_MS = 1_000;
export const LOOK_SOON_MS = 50;
/** Milliseconds after a restart in which proxies come back, before it is judged who lives. */
export const RETURN_MS = 30_000;

export interface RotationStatus {
  readonly phase: RotationPhase;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** Who has not taken the phase over. */
  readonly waitingFor: readonly { readonly namespace: string; readonly workload: string; readonly lost: boolean }[];
  /** The control plane was started a moment ago, and waits for proxies to come back. */
  readonly returning: boolean;
}

export interface RotationOptions {
  readonly authority: Authority;
  readonly proxies: Proxies;
  readonly clock: Clock;
  /** The wall clock: milliseconds since the epoch. */
  readonly now: () => number;
  readonly logger: Logger;
  /** Called with each state before it comes into force. */
  readonly save: (state: TrustState) => Promise<void>;
}

export class Rotation {
  readonly #options: RotationOptions;
  #looking: Timer | undefined;
  #soon: Timer | undefined;
  /** Since when nobody lags behind in the present phase, by the clock. */
  #calmSince: number | undefined;
  /** By the clock; proxies may still come back until then. */
  #returnUntil = -Infinity;
  /** One step at a time. */
  #steps: Promise<void> = Promise.resolve();
  #saveFailure = "";
  #closed = false;

  constructor(options: RotationOptions) {
    this.#options = options;
    options.proxies.onChange = () => this.#lookSoon();
    if (options.authority.state.goal === undefined) return;
    this.#returnUntil = options.clock.now() + RETURN_MS;
    this.#look();
  }

  /** undefined: none is under way. */
  get status(): RotationStatus | undefined {
    const { goal } = this.#options.authority.state;
    if (goal === undefined) return undefined;
    const { phase } = goal;
    const waitingFor = this.#lagging(goal).map(({ namespace, workload, lostAt }) => {
      return { namespace, workload, lost: lostAt !== undefined };
    });
    return { phase, startedAt: goal.startedAt, waitingFor, returning: this.#returning };
  }

  /** Begins one; if another is under way, its goal is given up for this one. @throws Error if it cannot be saved */
  start(goal: TrustGoal): Promise<void> {
    return this.#inTurn(async () => {
      const { authority, now, logger } = this.#options;
      await this.#enter({ ...authority.state, goal: { ...goal, phase: "trust", startedAt: now() } });
      logger.info("the roots or the issuer of the mesh's certificates change", { phase: "trust" });
      this.#look();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#looking?.cancel();
    this.#soon?.cancel();
    this.#options.proxies.onChange = undefined;
    await this.#steps.catch(() => undefined);
  }

  get #returning(): boolean {
    return this.#options.clock.now() < this.#returnUntil;
  }

  /** Many proxies report at once: they are looked at together. */
  #lookSoon(): void {
    if (this.#closed || this.#options.authority.state.goal === undefined) return;
    this.#soon ??= this.#options.clock.after(LOOK_SOON_MS, () => {
      this.#soon = undefined;
      this.#look();
    });
  }

  #look(): void {
    if (this.#closed || this.#options.authority.state.goal === undefined) return;
    this.#looking?.cancel();
    this.#looking = this.#options.clock.after(LOOK_EVERY_MS, () => this.#look());
    void this.#inTurn(() => this.#step()).catch((error: unknown) => this.#saveFailed(error as Error));
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#steps.then(work);
    this.#steps = turn.catch(() => undefined);
    return turn;
  }

  async #step(): Promise<void> {
    const { authority, clock, now, logger } = this.#options;
    const { state } = authority;
    const { goal } = state;
    if (goal === undefined || this.#closed) return;
    const missing = goal.roots.filter((root) => !state.roots.includes(root));
    if (missing.length > 0) {
      await this.#enter({ ...state, roots: [...state.roots, ...missing] });
      return;
    }
    if (this.#returning || this.#lagging(goal).length > 0) {
      this.#calmSince = undefined;
      return;
    }
    this.#calmSince ??= clock.now();
    if (clock.now() - this.#calmSince < SETTLE_MS) return;
    if (goal.phase === "trust") {
      await this.#enter({ ...state, issuer: goal.issuer, crosses: goal.crosses, goal: { ...goal, phase: "renew" } });
      logger.info("every proxy trusts the new roots; the new issuer signs", { phase: "renew" });
    } else if (goal.phase === "renew") {
      const gone = state.roots.filter((root) => !goal.roots.includes(root));
      const kept = state.retired.filter(({ retiredAt }) => retiredAt + authority.lifetimeMs >= now());
      const retired = [...kept, ...gone.map((certificate) => ({ certificate, retiredAt: now() }))];
      await this.#enter({ ...state, roots: goal.roots, retired, goal: { ...goal, phase: "retire" } });
      logger.info("every proxy has a certificate by the new issuer", { phase: "retire", roots: gone.length });
    } else {
      await this.#enter({ ...state, goal: undefined });
      const seconds = Math.round((now() - goal.startedAt) / 1_000);
      logger.info("the change of roots or issuer is complete", { seconds });
    }
    this.#look();
  }

  async #enter(state: TrustState): Promise<void> {
    await this.#options.save(state);
    this.#saveFailure = "";
    this.#calmSince = undefined;
    this.#options.authority.set(state);
  }

  #saveFailed({ message }: Error): void {
    if (message === this.#saveFailure) return;
    this.#saveFailure = message;
    this.#options.logger.error("a step of the rotation cannot be saved; it is tried again", { reason: message });
  }

  /** Who lives and has not taken over what the phase asks for. */
  #lagging({ phase, roots, issuer }: NonNullable<TrustState["goal"]>): LivingProxy[] {
    const wanted = roots.map(fingerprintOf);
    const signer = fingerprintOf(issuer.certificate);
    return this.#options.proxies.living().filter(({ report }) => {
      if (report === undefined) return true;
      if (phase === "trust") return wanted.some((root) => !report.roots.includes(root));
      if (phase === "renew") return report.issuer !== signer;
      return report.roots.some((root) => !wanted.includes(root));
    });
  }
}
