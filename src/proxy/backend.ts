/**
 * All endpoints of one service port, balanced, with a queue for the moments in which there is none.
 *
 * Fail-fast (as Linkerd): while no endpoint is ready, requests wait. Once that has lasted `failfastTimeoutMs`, those that
 * wait fail with 504, and new ones fail at once. An endpoint that has rested is tried again by the next request, and the
 * first answer ends it all. The queue is bounded; beyond its capacity, and beyond `maxInFlight`, requests are shed (503).
 */
import type { BackendPolicy } from "../model/backend-policy.ts";
import { type Endpoint, endpointKey } from "../model/endpoint.ts";
import type { Clock, Timer } from "../net/clock.ts";
import type { ClientStream, RequestHead, ResetCause, ResponseReceiver } from "../protocol/exchange.ts";
import { pickOfTwo } from "./balance/p2c.ts";
import { Dispatch } from "./dispatch.ts";
import type { BalancedEndpoint } from "./endpoint.ts";
import { failureCause, failures } from "./failure.ts";
import type { EndpointMetrics } from "./metrics.ts";
import { type Place, WaitList } from "./pool/wait-list.ts";
import type { EndpointSource, Seeker } from "./seeker.ts";
import type { HttpService } from "./service.ts";

export interface BackendContext {
  /** For humans: "price.default:80", "the application". */
  readonly name: string;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly endpoint: (endpoint: Endpoint, onStateChange: (endpoint: BalancedEndpoint) => void) => BalancedEndpoint;
  /**
   * There is one endpoint and never another, like the application behind its own sidecar: who cannot connect fails at
   * once, so that the caller's sidecar can go elsewhere.
   */
  readonly single: boolean;
  /** A request was sent a second time. */
  readonly onRepeat: () => void;
}

export class Backend implements HttpService, EndpointSource {
  /** @internal */
  readonly single: boolean;
  readonly #context: BackendContext;
  #policy: BackendPolicy;

  readonly #endpoints = new Map<string, BalancedEndpoint>();
  #ready: BalancedEndpoint[] = [];
  readonly #queue = new WaitList<Seeker>();
  #inFlight = 0;
  #failfast = false;
  #failfastTimer: Timer | undefined;
  #idleSince: number;
  #closed = false;

  constructor(policy: BackendPolicy, context: BackendContext) {
    this.#policy = policy;
    this.#context = context;
    this.single = context.single;
    this.#idleSince = context.clock.now();
  }

  get policy(): BackendPolicy {
    return this.#policy;
  }

  /** Requests and byte streams taken on and not finished. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Requests waiting for an endpoint. */
  get queued(): number {
    return this.#queue.length;
  }

  get readyEndpoints(): number {
    return this.#ready.length;
  }

  get endpoints(): number {
    return this.#endpoints.size;
  }

  /** Monotonic milliseconds of the last moment with a request in flight. */
  get idleSince(): number {
    return this.#inFlight > 0 ? this.#context.clock.now() : this.#idleSince;
  }

  open(head: RequestHead, end: boolean, receiver: ResponseReceiver): ClientStream {
    return this.#open(head, end, receiver, undefined);
  }

  /** The same backend for some of its callers, whose requests are counted by themselves. */
  countedBy(metrics: EndpointMetrics): HttpService {
    return { open: (head, end, receiver) => this.#open(head, end, receiver, metrics) };
  }

  #open(
    head: RequestHead,
    end: boolean,
    receiver: ResponseReceiver,
    metrics: EndpointMetrics | undefined,
  ): ClientStream {
    const dispatch = new Dispatch(this, this.#context.clock, head, end, receiver, metrics);
    const refusal = this.admit();
    if (refusal === undefined) dispatch.seek(undefined, undefined);
    else queueMicrotask(() => dispatch.fail(refusal));
    return dispatch;
  }

  /**
   * Takes on a request or a byte stream, which is in flight until `finished` is called, refused or not.
   *
   * @returns why it is refused: too many are in flight
   */
  admit(): ResetCause | undefined {
    this.#inFlight++;
    const { maxInFlight } = this.#policy;
    if (this.#inFlight <= maxInFlight) return undefined;
    const detail = `${this.#context.name} has ${maxInFlight} requests and byte streams in flight, its limit`;
    return failureCause(failures.loadShed, "overflow", detail);
  }

  /** Takes a new list of endpoints: those that stay keep their load, their connections and their state. */
  update(policy: BackendPolicy, endpoints: readonly Endpoint[]): void {
    this.#policy = policy;
    const wanted = new Map<string, Endpoint>();
    for (const endpoint of endpoints) {
      if (endpoint.health === "healthy") wanted.set(endpointKey(endpoint), endpoint);
    }
    const removed: BalancedEndpoint[] = [];
    for (const [key, known] of this.#endpoints) {
      const next = wanted.get(key);
      if (next !== undefined && sameTarget(next, known.endpoint)) continue;
      this.#endpoints.delete(key);
      removed.push(known);
    }
    for (const [key, endpoint] of wanted) {
      if (this.#endpoints.has(key)) continue;
      this.#endpoints.set(
        key,
        this.#context.endpoint(endpoint, () => this.#refresh()),
      );
    }
    this.#refresh();
    // Last, because who waits for a connection of theirs looks for another endpoint at once.
    for (const endpoint of removed) endpoint.close();
  }

  /** Lets what is in flight finish; what waits fails. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#failfastTimer?.cancel();
    this.#ready = [];
    const endpoints = [...this.#endpoints.values()];
    this.#endpoints.clear();
    for (const endpoint of endpoints) endpoint.close();
    for (const seeker of this.#queue.takeAll()) seeker.fail(this.#removed());
  }

  /** Cuts what is in flight, too. */
  destroy(): void {
    const endpoints = [...this.#endpoints.values()];
    this.close();
    for (const endpoint of endpoints) endpoint.destroy();
  }

  /**
   * Finds an endpoint: `assign` is called from within, or `fail` later, or the seeker waits.
   *
   * @param failed the endpoint that was tried last; avoided if there is another
   * @param cause why it failed
   * @returns the place in the queue, for who waits and loses interest
   */
  place(
    seeker: Seeker,
    failed: BalancedEndpoint | undefined,
    cause: ResetCause | undefined,
  ): Place<Seeker> | undefined {
    const endpoint = this.#pick(failed);
    if (endpoint !== undefined) {
      seeker.assign(endpoint);
      return undefined;
    }
    const refusal = this.#refusal(cause);
    if (refusal === undefined) return this.#queue.push(seeker);
    queueMicrotask(() => seeker.fail(refusal));
    return undefined;
  }

  /** @internal */
  repeated(): void {
    this.#context.onRepeat();
  }

  /** An endpoint answers again. */
  answered(): void {
    this.#failfast = false;
    if (this.#failfastTimer === undefined) return;
    this.#failfastTimer.cancel();
    this.#failfastTimer = undefined;
  }

  /** @internal */
  finished(): void {
    this.#inFlight--;
    if (this.#inFlight === 0) this.#idleSince = this.#context.clock.now();
  }

  #pick(avoid: BalancedEndpoint | undefined): BalancedEndpoint | undefined {
    const candidates =
      avoid === undefined || this.#ready.length < 2 ? this.#ready : this.#ready.filter((e) => e !== avoid);
    return pickOfTwo(candidates, this.#context.clock.now(), this.#context.random);
  }

  #removed(): ResetCause {
    return failureCause(failures.failfast, "refused", `${this.#context.name} was removed`);
  }

  #refusal(cause: ResetCause | undefined): ResetCause | undefined {
    if (this.#closed) return this.#removed();
    const { name } = this.#context;
    const last = cause === undefined ? "" : `; the last one: ${cause.detail}`;
    this.#awaitEndpoint();
    if (this.#failfast) {
      const known = this.#endpoints.size === 0 ? "no endpoints" : `${this.#endpoints.size} endpoints, none reachable`;
      return cause !== undefined && this.#endpoints.size > 0
        ? failureCause(failures.connect, "connect", `${name} has ${known}${last}`)
        : failureCause(failures.failfast, "timeout", `${name} has ${known}${last}`);
    }
    if (this.#queue.length >= this.#policy.queueCapacity) {
      return failureCause(
        failures.loadShed,
        "overflow",
        `${this.#policy.queueCapacity} requests wait for ${name} already${last}`,
      );
    }
    return undefined;
  }

  #awaitEndpoint(): void {
    if (this.#failfast || this.#failfastTimer !== undefined) return;
    this.#failfastTimer = this.#context.clock.after(this.#policy.failfastTimeoutMs, () => {
      this.#failfastTimer = undefined;
      // One that is ready now has been slow to answer, which is no lack of endpoints.
      if (this.#ready.length > 0) return;
      this.#failfast = true;
      const { name } = this.#context;
      const known = this.#endpoints.size === 0 ? "has no endpoints" : `has ${this.#endpoints.size} endpoints`;
      const detail = `${name} ${known}: none was reachable for ${this.#policy.failfastTimeoutMs} ms`;
      for (const seeker of this.#queue.takeAll()) seeker.fail(failureCause(failures.failfast, "timeout", detail));
    });
  }

  /** The set of ready endpoints may have changed. */
  #refresh(): void {
    this.#ready = [...this.#endpoints.values()].filter((endpoint) => endpoint.ready);
    while (this.#queue.length > 0) {
      const endpoint = this.#pick(undefined);
      if (endpoint === undefined) return;
      this.#queue.shift()?.assign(endpoint);
    }
  }
}

/** Whether connections made for one may be used for the other. */
function sameTarget(a: Endpoint, b: Endpoint): boolean {
  return a.meshed === b.meshed && a.identity === b.identity && a.workload === b.workload;
}
