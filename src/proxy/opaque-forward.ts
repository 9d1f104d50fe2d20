/** Byte streams: each connection is joined to one endpoint, and left alone but for the silence of an hour. */
import type { Timer } from "../net/clock.ts";
import type { Connection } from "../net/connection.ts";
import type { ResetCause } from "../protocol/exchange.ts";
import { splice } from "../protocol/opaque.ts";
import type { Backend } from "./backend.ts";
import type { ProxyContext } from "./context.ts";
import { failureOf } from "./failure.ts";
import { FarSide, type FarSideOwner } from "./far-side.ts";
import type { Session } from "./listener.ts";
import type { Direction, EndpointMetrics } from "./metrics.ts";
import type { OpaqueService } from "./serve.ts";

/**
 * Milliseconds without a byte in either direction after which a byte stream is cut, with RST; it may take up to a quarter
 * more until that is noticed. Envoy's `tcp_proxy`: 1 h. A peer that has vanished is noticed long before, by TCP
 * keep-alive (`KEEP_ALIVE_MS` in net/connection.ts).
 */
export const OPAQUE_IDLE_MS = 3_600_000;

/** Looks at a byte stream during that time. A timer set anew for each chunk would cost more than the chunk. */
const IDLE_LOOKS = 4;

/**
 * Joins each connection to an endpoint of `backend`, trying another while none has accepted.
 *
 * @param metrics where they are counted; undefined: with the endpoint
 */
export function forwardOpaque(
  backend: Backend,
  direction: Direction,
  context: ProxyContext,
  metrics?: EndpointMetrics,
): OpaqueService {
  return {
    serve: (connection, first, ended, ahead, done) =>
      new OpaqueSession(backend, direction, context, metrics, connection, first, ended, ahead, done),
    dialAhead: (owner) => new FarSide(backend, context, owner),
  };
}

/** Resets what a listener cannot pass on, and counts it. */
export function refuseOpaque(reason: string, direction: Direction, context: ProxyContext): OpaqueService {
  return {
    serve(connection, _first, _ended, _ahead, done) {
      context.metrics.tcpErrors[direction].labels({ direction, error: reason }).inc();
      connection.handler = { onData() {}, onEnd() {}, onDrain() {}, onClose: done };
      connection.reset();
      return { shutdown() {}, destroy() {} };
    },
    dialAhead: () => undefined,
  };
}

const NOTHING = Buffer.alloc(0);

class OpaqueSession implements Session, FarSideOwner {
  readonly #direction: Direction;
  readonly #context: ProxyContext;
  readonly #metrics: EndpointMetrics | undefined;
  readonly #near: Connection;
  readonly #far: FarSide;
  readonly #done: () => void;
  readonly #startedAt: number;
  #first: Buffer;
  #nearEnded: boolean;
  #idle: Timer | undefined;
  #over = false;

  /** @param ahead a far side that was dialled before it was known that the connection is opaque */
  constructor(
    backend: Backend,
    direction: Direction,
    context: ProxyContext,
    metrics: EndpointMetrics | undefined,
    near: Connection,
    first: Buffer,
    ended: boolean,
    ahead: FarSide | undefined,
    done: () => void,
  ) {
    this.#direction = direction;
    this.#context = context;
    this.#metrics = metrics;
    this.#near = near;
    this.#done = done;
    this.#first = first;
    this.#nearEnded = ended;
    this.#startedAt = context.clock.now();
    // The near side stays paused until there is a far side, so nothing but its end can come.
    near.handler = {
      onData: (chunk) => (this.#first = Buffer.concat([this.#first, chunk])),
      onEnd: () => (this.#nearEnded = true),
      onDrain() {},
      onClose: () => {
        this.#far.giveUp();
        this.#finish();
      },
    };
    // One that has failed so far may do now.
    if (ahead === undefined || ahead.over) {
      this.#far = new FarSide(backend, context, this);
    } else {
      this.#far = ahead;
      ahead.owner = this;
      if (ahead.connection !== undefined) this.#join(ahead.connection);
    }
  }

  /** A byte stream has no good moment to end, so it is left alone until the grace period is over. */
  shutdown(): void {}

  destroy(): void {
    this.#cut();
  }

  onConnected(): void {
    if (this.#far.connection !== undefined) this.#join(this.#far.connection);
  }

  onSpoke(): void {}

  /** The caller cannot be told why; that it failed, it must not take for an end. */
  onFailed(cause: ResetCause): void {
    const { logger } = this.#context;
    const failure = failureOf(cause);
    this.#count(failure.kind);
    logger.info("a connection failed", { code: failure.code, hop: this.#direction, detail: cause.detail });
    this.#near.reset();
  }

  #join(far: Connection): void {
    const near = this.#near;
    if (this.#first.length > 0) far.write(this.#first);
    if (this.#far.first.length > 0) near.write(this.#far.first);
    this.#first = this.#far.first = NOTHING;
    if (this.#nearEnded) far.end();
    if (this.#far.ended) near.end();
    this.#watch(far, near.bytesRead + far.bytesRead, 0);
    splice(near, far, { onClose: () => this.#finish() });
  }

  #watch(far: Connection, bytesBefore: number, looks: number): void {
    this.#idle = this.#context.clock.after(OPAQUE_IDLE_MS / IDLE_LOOKS, () => {
      const bytes = this.#near.bytesRead + far.bytesRead;
      if (bytes !== bytesBefore) this.#watch(far, bytes, 0);
      else if (looks + 1 < IDLE_LOOKS) this.#watch(far, bytes, looks + 1);
      else this.#silent();
    });
  }

  #silent(): void {
    this.#count("idle_timeout");
    this.#context.logger.info("a connection was silent for too long", {
      hop: this.#direction,
      peer: `${this.#near.remoteAddress}:${this.#near.remotePort}`,
      seconds: OPAQUE_IDLE_MS / 1_000,
    });
    this.#cut();
  }

  /** With RST, for a stream that is cut must not look whole; and both, since either may be gone before the other. */
  #cut(): void {
    this.#near.reset();
    this.#far.connection?.reset();
  }

  #count(error: string): void {
    const direction = this.#direction;
    this.#context.metrics.tcpErrors[direction].labels({ direction, error }).inc();
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#idle?.cancel();
    const { endpoint } = this.#far;
    if (endpoint !== undefined) (this.#metrics ?? endpoint.metrics).lasted(this.#context.clock.now() - this.#startedAt);
    this.#far.release();
    this.#done();
  }
}
