/**
 * The connections to one endpoint in one protocol: kept alive, reused newest first, opened when somebody waits.
 *
 *   take() ──▶ a connection with room            (the usual way: no allocation, no waiting)
 *   wait() ──▶ onConnection | onConnectError      (none has room: one is on its way)
 */
import type { Clock, Timer } from "../../net/clock.ts";
import type { Connection } from "../../net/connection.ts";
import type { ClientConnection, ClientOwner } from "../../protocol/exchange.ts";
import { type Place, WaitList } from "./wait-list.ts";

/** Connections of one pool for HTTP/1, where each carries one request at a time. Linkerd: 10,000 per endpoint. */
export const HTTP1_CONNECTIONS_MAX = 10_000;

/** Connections of one pool for HTTP/2. A second one is opened only when the first has no stream left. */
export const HTTP2_CONNECTIONS_MAX = 16;

export interface PoolOptions {
  readonly connectionsMax: number;
  /** One connection carries many exchanges (HTTP/2), so one on its way is enough for all who wait. */
  readonly multiplexed: boolean;
  /** Milliseconds after which an unused connection is closed. */
  readonly idleTimeoutMs: number;
  readonly clock: Clock;
  /** Opens the socket. Calls back exactly once unless given up. @returns a function that gives the attempt up */
  readonly connect: (done: (error: Error | undefined, connection: Connection | undefined) => void) => () => void;
  /** Puts the client codec on a fresh connection. */
  readonly codec: (connection: Connection, owner: ClientOwner) => ClientConnection;
}

export interface PoolWaiter {
  /** A connection has room: open on it now, during this call. */
  onConnection(connection: ClientConnection): void;
  /** No connection could be made. */
  onConnectError(error: Error): void;
}

/** One connection and its place in the pool. */
class Pooled implements ClientOwner {
  readonly pool: ConnectionPool;
  client: ClientConnection | undefined;
  free = false;
  idleSince = 0;

  constructor(pool: ConnectionPool) {
    this.pool = pool;
  }

  onAvailable(): void {
    this.pool.becameAvailable(this);
  }

  onClose(): void {
    this.pool.becameClosed(this);
  }
}

export class ConnectionPool {
  readonly #options: PoolOptions;
  readonly #all = new Set<Pooled>();
  /** Those that had room when last looked at, the newest used last. */
  readonly #free: Pooled[] = [];
  readonly #waiters = new WaitList<PoolWaiter>();
  readonly #attempts = new Set<() => void>();
  #sweep: Timer | undefined;
  #closed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** Connections open now. */
  get size(): number {
    return this.#all.size;
  }

  /** Requests waiting for a connection. */
  get waiting(): number {
    return this.#waiters.length;
  }

  /** A connection with room for one exchange, which must be opened before anything else happens. */
  take(): ClientConnection | undefined {
    const free = this.#free;
    for (let top = free[free.length - 1]; top !== undefined; top = free[free.length - 1]) {
      const client = top.client as ClientConnection;
      // One exchange is about to be opened: with no room beyond it the connection leaves the list.
      if (client.available <= 1) {
        free.pop();
        top.free = false;
      }
      if (client.available > 0) return client;
    }
    return undefined;
  }

  /**
   * Waits for a connection, opening one if there may be more. Bounded by the caller's limit of requests in flight.
   *
   * @returns the place in the line, for a waiter that loses interest
   */
  wait(waiter: PoolWaiter): Place<PoolWaiter> {
    const place = this.#waiters.push(waiter);
    this.#open();
    return place;
  }

  /** Lets exchanges finish, then closes their connections. Waiters get an error. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#sweep?.cancel();
    for (const giveUp of this.#attempts) giveUp();
    this.#attempts.clear();
    for (const pooled of [...this.#all]) pooled.client?.shutdown();
    for (const waiter of this.#waiters.takeAll()) waiter.onConnectError(new Error("the endpoint was removed"));
  }

  /** Closes everything at once. */
  destroy(): void {
    this.close();
    for (const pooled of [...this.#all]) pooled.client?.destroy();
  }

  /** @internal */
  becameAvailable(pooled: Pooled): void {
    const client = pooled.client;
    if (client === undefined) return;
    while (client.available > 0) {
      const waiter = this.#waiters.shift();
      if (waiter === undefined) break;
      waiter.onConnection(client);
    }
    if (client.available === 0) return;
    if (!pooled.free) {
      pooled.free = true;
      this.#free.push(pooled);
    }
    if (client.active === 0) {
      pooled.idleSince = this.#options.clock.now();
      this.#sweep ??= this.#options.clock.after(this.#options.idleTimeoutMs, () => this.#sweepIdle());
    }
  }

  /** @internal */
  becameClosed(pooled: Pooled): void {
    this.#all.delete(pooled);
    if (pooled.free) {
      pooled.free = false;
      const at = this.#free.lastIndexOf(pooled);
      if (at >= 0) this.#free.splice(at, 1);
    }
    if (!this.#closed) this.#open();
  }

  /** Opens as many connections as the waiters need: HTTP/1 one each, HTTP/2 one for all. */
  #open(): void {
    const { connectionsMax, multiplexed } = this.#options;
    const wanted = multiplexed ? Math.min(1, this.#waiters.length) : this.#waiters.length;
    while (this.#attempts.size < wanted && this.#all.size + this.#attempts.size < connectionsMax) this.#connect();
  }

  #connect(): void {
    const giveUp = this.#options.connect((error, connection) => {
      this.#attempts.delete(giveUp);
      if (connection === undefined) {
        this.#failed(error ?? new Error("no connection"));
        return;
      }
      const pooled = new Pooled(this);
      this.#all.add(pooled);
      pooled.client = this.#options.codec(connection, pooled);
      connection.resume();
      this.becameAvailable(pooled);
    });
    this.#attempts.add(giveUp);
  }

  /** Each HTTP/1 attempt was made for one who waits, so one is told; all wait for the same HTTP/2 attempt. */
  #failed(error: Error): void {
    const told = this.#options.multiplexed ? this.#waiters.takeAll() : [this.#waiters.shift()];
    for (const waiter of told) waiter?.onConnectError(error);
    if (!this.#closed) this.#open();
  }

  #sweepIdle(): void {
    const { clock, idleTimeoutMs } = this.#options;
    const now = clock.now();
    this.#sweep = undefined;
    let idle = false;
    // All, not only the free: an HTTP/2 server may have said that it takes nothing for now.
    for (const pooled of [...this.#all]) {
      if (pooled.client?.active !== 0) continue;
      if (now - pooled.idleSince >= idleTimeoutMs) pooled.client.shutdown();
      else idle = true;
    }
    if (idle) this.#sweep = clock.after(idleTimeoutMs / 2, () => this.#sweepIdle());
  }
}
