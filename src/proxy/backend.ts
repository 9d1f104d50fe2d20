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

export class Backend implements HttpService {
  /** @internal */
  readonly single: boolean;
  readonly #context: BackendContext;
  #policy: BackendPolicy;

  readonly #endpoints = new Map<string, BalancedEndpoint>();
  #ready: BalancedEndpoint[] = [];
  #queue: Dispatch[] = [];
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

  /** Requests taken on and not finished. */
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
    const dispatch = new Dispatch(this, this.#context.clock, head, end, receiver);
    this.#inFlight++;
    if (this.#inFlight > this.#policy.maxInFlight) {
      const detail = `${this.#context.name} has ${this.#policy.maxInFlight} requests in flight, its limit`;
      queueMicrotask(() => dispatch.fail(failureCause(failures.loadShed, "overflow", detail)));
    } else {
      this.place(dispatch, undefined, undefined);
    }
    return dispatch;
  }

  /** Takes a new list of endpoints: those that stay keep their load, their connections and their state. */
  update(policy: BackendPolicy, endpoints: readonly Endpoint[]): void {
    this.#policy = policy;
    const wanted = new Map<string, Endpoint>();
    for (const endpoint of endpoints) {
      if (endpoint.health === "healthy") wanted.set(endpointKey(endpoint), endpoint);
    }
    for (const [key, known] of this.#endpoints) {
      const next = wanted.get(key);
      if (next !== undefined && sameTarget(next, known.endpoint)) continue;
      this.#endpoints.delete(key);
      known.close();
    }
    for (const [key, endpoint] of wanted) {
      const known = this.#endpoints.get(key);
      if (known === undefined)
        this.#endpoints.set(
          key,
          this.#context.endpoint(endpoint, () => this.#refresh()),
        );
    }
    this.#refresh();
  }

  /** An endpoint to connect to for a byte stream, or undefined. */
  pick(avoid?: BalancedEndpoint): BalancedEndpoint | undefined {
    const candidates =
      avoid === undefined || this.#ready.length < 2 ? this.#ready : this.#ready.filter((e) => e !== avoid);
    return pickOfTwo(candidates, this.#context.clock.now(), this.#context.random);
  }

  /** Lets what is in flight finish; what waits fails. */
  close(): void {
    this.#closed = true;
    this.#failfastTimer?.cancel();
    for (const endpoint of this.#endpoints.values()) endpoint.close();
    this.#endpoints.clear();
    this.#ready = [];
    this.#failQueue("the service was removed");
  }

  destroy(): void {
    for (const endpoint of this.#endpoints.values()) endpoint.destroy();
    this.close();
  }

  /** @internal Gives a request its endpoint, or a place in the queue. */
  place(dispatch: Dispatch, failed: BalancedEndpoint | undefined, cause: ResetCause | undefined): void {
    const endpoint = this.pick(failed);
    if (endpoint !== undefined) {
      dispatch.assign(endpoint);
      return;
    }
    const refusal = this.#refusal(cause);
    if (refusal !== undefined) queueMicrotask(() => dispatch.fail(refusal));
    else this.#queue.push(dispatch);
  }

  /** @internal The caller has lost interest in a queued request. */
  withdraw(dispatch: Dispatch): void {
    const at = this.#queue.indexOf(dispatch);
    if (at >= 0) this.#queue.splice(at, 1);
  }

  /** @internal */
  repeated(): void {
    this.#context.onRepeat();
  }

  /** @internal An endpoint answers again. */
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

  #refusal(cause: ResetCause | undefined): ResetCause | undefined {
    const { name } = this.#context;
    const last = cause === undefined ? "" : `; the last one: ${cause.detail}`;
    if (this.#closed) return failureCause(failures.failfast, "refused", `${name} was removed`);
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
      this.#failfast = true;
      this.#failQueue(`none was reachable for ${this.#policy.failfastTimeoutMs} ms`);
    });
  }

  #failQueue(why: string): void {
    const { name } = this.#context;
    const known = this.#endpoints.size === 0 ? "has no endpoints" : `has ${this.#endpoints.size} endpoints`;
    for (const dispatch of this.#queue.splice(0)) {
      dispatch.fail(failureCause(failures.failfast, "timeout", `${name} ${known}: ${why}`));
    }
  }

  /** The set of ready endpoints may have changed. */
  #refresh(): void {
    this.#ready = [...this.#endpoints.values()].filter((endpoint) => endpoint.ready);
    while (this.#queue.length > 0) {
      const endpoint = this.pick();
      if (endpoint === undefined) return;
      (this.#queue.shift() as Dispatch).assign(endpoint);
    }
  }
}

/** Whether connections made for one may be used for the other. */
function sameTarget(a: Endpoint, b: Endpoint): boolean {
  return a.meshed === b.meshed && a.identity === b.identity && a.workload === b.workload;
}
