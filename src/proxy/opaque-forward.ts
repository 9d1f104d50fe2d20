/** Byte streams: an endpoint is chosen once per connection, by the same balancer as for requests. */
import type { Connection } from "../net/connection.ts";
import { splice } from "../protocol/opaque.ts";
import type { Backend } from "./backend.ts";
import { dial, type ProxyContext } from "./context.ts";
import { ATTEMPTS_MAX } from "./dispatch.ts";
import type { BalancedEndpoint } from "./endpoint.ts";
import type { Session } from "./listener.ts";
import type { Direction } from "./metrics.ts";
import type { ServeOpaque } from "./serve.ts";

/** Joins each connection to an endpoint of `backend`, trying another while none has accepted. */
export function forwardOpaque(backend: Backend, direction: Direction, context: ProxyContext): ServeOpaque {
  return (connection, first, ended, done) =>
    new OpaqueSession(backend, direction, context, connection, first, ended, done);
}

class OpaqueSession implements Session {
  readonly #backend: Backend;
  readonly #direction: Direction;
  readonly #context: ProxyContext;
  readonly #near: Connection;
  readonly #done: () => void;
  #first: Buffer;
  #nearEnded: boolean;
  #endpoint: BalancedEndpoint | undefined;
  #attempts = 0;
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
    this.#connect(undefined);
  }

  /** A byte stream has no good moment to end, so it is left alone until the grace period is over. */
  shutdown(): void {}

  destroy(): void {
    this.#near.destroy();
  }

  #connect(failed: BalancedEndpoint | undefined): void {
    const endpoint = this.#backend.pick(failed);
    if (endpoint === undefined || this.#attempts >= ATTEMPTS_MAX) {
      this.#refuse(endpoint === undefined ? "failfast" : "connect");
      return;
    }
    this.#attempts++;
    this.#endpoint = endpoint;
    endpoint.inFlight++;
    const startedAt = this.#context.clock.now();
    this.#giveUp = dial(endpoint.endpoint, this.#backend.policy, endpoint.meter, (error, far) => {
      this.#giveUp = undefined;
      if (far === undefined) {
        this.#release();
        this.#context.logger.info("an endpoint did not accept a connection", { error: error?.message });
        if (this.#backend.single) {
          this.#refuse("connect");
          return;
        }
        endpoint.failed();
        this.#connect(endpoint);
        return;
      }
      const now = this.#context.clock.now();
      endpoint.succeeded(now, now - startedAt);
      this.#join(far);
    });
  }

  #join(far: Connection): void {
    if (this.#first.length > 0) far.write(this.#first);
    if (this.#nearEnded) far.end();
    splice(this.#near, far, { onClose: () => this.#finish() });
  }

  #refuse(error: string): void {
    const { metrics } = this.#context;
    metrics.tcpErrors[this.#direction].labels({ direction: this.#direction, error }).inc();
    this.#near.reset();
  }

  #release(): void {
    if (this.#endpoint !== undefined) this.#endpoint.inFlight--;
    this.#endpoint = undefined;
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#giveUp?.();
    this.#release();
    this.#done();
  }
}
