/**
 * Byte streams: an endpoint is chosen once per connection, by the same balancer as for requests. While there is none, a
 * connection waits in the same queue, and fails with it.
 */
import type { Connection } from "../net/connection.ts";
import { ResetCause } from "../protocol/exchange.ts";
import { splice } from "../protocol/opaque.ts";
import type { Backend } from "./backend.ts";
import { dial, type ProxyContext } from "./context.ts";
import { ATTEMPTS_MAX } from "./dispatch.ts";
import type { BalancedEndpoint } from "./endpoint.ts";
import { failureOf } from "./failure.ts";
import type { Session } from "./listener.ts";
import type { Seeker } from "./seeker.ts";
import type { Direction } from "./metrics.ts";
import type { Place } from "./pool/wait-list.ts";
import type { ServeOpaque } from "./serve.ts";

/** Joins each connection to an endpoint of `backend`, trying another while none has accepted. */
export function forwardOpaque(backend: Backend, direction: Direction, context: ProxyContext): ServeOpaque {
  return (connection, first, ended, done) =>
    new OpaqueSession(backend, direction, context, connection, first, ended, done);
}

/** Closes what a listener cannot pass on, and counts it. */
export function refuseOpaque(reason: string, direction: Direction, context: ProxyContext): ServeOpaque {
  return (connection, _first, _ended, done) => {
    context.metrics.tcpErrors[direction].labels({ direction, error: reason }).inc();
    connection.handler = { onData() {}, onEnd() {}, onDrain() {}, onClose: done };
    connection.reset();
    return { shutdown() {}, destroy() {} };
  };
}

const NOTHING = Buffer.alloc(0);

class OpaqueSession implements Session, Seeker {
  readonly #backend: Backend;
  readonly #direction: Direction;
  readonly #context: ProxyContext;
  readonly #near: Connection;
  readonly #done: () => void;
  #first: Buffer;
  #nearEnded: boolean;
  #endpoint: BalancedEndpoint | undefined;
  #attempts = 0;
  #place: Place<Seeker> | undefined;
  #giveUp: (() => void) | undefined;
  #over = false;

  constructor(
    backend: Backend,
    direction: Direction,
    context: ProxyContext,
    near: Connection,
    first: Buffer,
    ended: boolean,
    done: () => void,
  ) {
    this.#backend = backend;
    this.#direction = direction;
    this.#context = context;
    this.#near = near;
    this.#done = done;
    this.#first = first;
    this.#nearEnded = ended;
    // The near side stays paused until there is a far side, so nothing but its end can come.
    near.handler = {
      onData: (chunk) => (this.#first = Buffer.concat([this.#first, chunk])),
      onEnd: () => (this.#nearEnded = true),
      onDrain() {},
      onClose: () => this.#finish(),
    };
    this.#seek(undefined, undefined);
  }

  /** A byte stream has no good moment to end, so it is left alone until the grace period is over. */
  shutdown(): void {}

  destroy(): void {
    this.#near.destroy();
  }

  assign(endpoint: BalancedEndpoint): void {
    const { clock } = this.#context;
    this.#attempts++;
    this.#endpoint = endpoint;
    endpoint.inFlight++;
    const startedAt = clock.now();
    this.#giveUp = dial(endpoint.endpoint, this.#backend.policy, endpoint.meter, (error, far) => {
      this.#giveUp = undefined;
      if (far === undefined) {
        this.#notConnected(endpoint, new ResetCause("connect", error?.message ?? "no connection"));
        return;
      }
      const now = clock.now();
      endpoint.succeeded(now, now - startedAt);
      this.#backend.answered();
      this.#join(far);
    });
  }

  /** There is no endpoint, or none that accepts. */
  fail(cause: ResetCause): void {
    if (this.#over) return;
    const { metrics, logger } = this.#context;
    const failure = failureOf(cause);
    metrics.tcpErrors[this.#direction].labels({ direction: this.#direction, error: failure.kind }).inc();
    logger.info("a connection failed", { code: failure.code, hop: this.#direction, detail: cause.detail });
    this.#near.reset();
  }

  #seek(failed: BalancedEndpoint | undefined, cause: ResetCause | undefined): void {
    this.#place = this.#backend.place(this, failed, cause);
  }

  #notConnected(endpoint: BalancedEndpoint, cause: ResetCause): void {
    this.#release();
    if (this.#backend.single) {
      this.fail(cause);
      return;
    }
    endpoint.failed();
    if (this.#attempts < ATTEMPTS_MAX) this.#seek(endpoint, cause);
    else this.fail(cause);
  }

  #join(far: Connection): void {
    if (this.#first.length > 0) far.write(this.#first);
    this.#first = NOTHING;
    if (this.#nearEnded) far.end();
    splice(this.#near, far, { onClose: () => this.#finish() });
  }

  #release(): void {
    if (this.#endpoint !== undefined) this.#endpoint.inFlight--;
    this.#endpoint = undefined;
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#place?.leave();
    this.#giveUp?.();
    this.#release();
    this.#done();
  }
}
