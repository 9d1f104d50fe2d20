import assert from "node:assert/strict";
import { describe, it } from "node:test";

import type { Connection } from "../../net/connection.ts";
import { VirtualClock } from "../../net/virtual-clock.ts";
import type { ClientConnection, ClientOwner, ClientStream } from "../../protocol/exchange.ts";
import { ConnectionPool, type PoolWaiter } from "./connection-pool.ts";

/** A client codec reduced to its counting. */
class FakeClient implements ClientConnection {
  active = 0;
  usable = true;
  reused = false;
  readonly owner: ClientOwner;
  readonly streams: number;

  constructor(owner: ClientOwner, streams: number) {
    this.owner = owner;
    this.streams = streams;
  }

  get available(): number {
    return this.usable ? this.streams - this.active : 0;
  }

  open(): ClientStream {
    this.active++;
    return undefined as never;
  }

  finish(): void {
    this.active--;
    this.owner.onAvailable();
  }

  shutdown(): void {
    this.destroy();
  }

  destroy(): void {
    if (!this.usable) return;
    this.usable = false;
    this.owner.onClose(undefined);
  }
}

interface Rig {
  readonly pool: ConnectionPool;
  readonly clients: FakeClient[];
  readonly attempts: ((error?: Error) => void)[];
  readonly clock: VirtualClock;
}

function rig(streams: number, connectionsMax: number): Rig {
  const clients: FakeClient[] = [];
  const attempts: ((error?: Error) => void)[] = [];
  const clock = new VirtualClock();
  const pool = new ConnectionPool({
    connectionsMax,
    multiplexed: streams > 1,
    idleTimeoutMs: 3_000,
    clock,
    connect: (done) => {
      attempts.push((error) => done(error, error === undefined ? ({ resume() {} } as Connection) : undefined));
      return () => {};
    },
    codec: (_connection, owner) => {
      const client = new FakeClient(owner, streams);
      clients.push(client);
      return client;
    },
  });
  return { pool, clients, attempts, clock };
}

function waiter(log: string[], name: string): PoolWaiter {
  return {
    onConnection(connection) {
      log.push(name);
      (connection as FakeClient).open();
    },
    onConnectError: (error) => log.push(`${name}: ${error.message}`),
  };
}

describe("ConnectionPool", () => {
  it("opens one HTTP/1 connection for each that waits, and serves them in order", () => {
    const { pool, attempts } = rig(1, 10);
    const log: string[] = [];
    pool.wait(waiter(log, "a"));
    pool.wait(waiter(log, "b"));
    assert.equal(attempts.length, 2);
    attempts[1]?.();
    attempts[0]?.();
    assert.deepEqual(log, ["a", "b"]);
    assert.equal(pool.take(), undefined, "both are in use");
  });

  it("opens one HTTP/2 connection for all, and a second only when its streams are used up", () => {
    const { pool, attempts, clients } = rig(2, 16);
    const log: string[] = [];
    for (const name of ["a", "b", "c"]) pool.wait(waiter(log, name));
    assert.equal(attempts.length, 1);
    attempts[0]?.();
    assert.deepEqual(log, ["a", "b"]);
    pool.wait(waiter(log, "d"));
    assert.equal(attempts.length, 2);
    clients[0]?.finish();
    assert.deepEqual(log, ["a", "b", "c"]);
  });

  it("reuses the connection used last", () => {
    const { pool, attempts, clients } = rig(1, 10);
    const log: string[] = [];
    pool.wait(waiter(log, "a"));
    pool.wait(waiter(log, "b"));
    attempts.forEach((connect) => connect());
    clients[0]?.finish();
    clients[1]?.finish();
    assert.equal(pool.take(), clients[1]);
  });

  it("never opens more than its maximum; who waits gets what becomes free", () => {
    const { pool, attempts, clients } = rig(1, 2);
    const log: string[] = [];
    for (const name of ["a", "b", "c"]) pool.wait(waiter(log, name));
    assert.equal(attempts.length, 2);
    attempts.forEach((connect) => connect());
    clients[1]?.finish();
    assert.deepEqual(log, ["a", "b", "c"]);
    assert.equal(pool.size, 2);
  });

  it("replaces a connection that closed while somebody waits", () => {
    const { pool, attempts, clients } = rig(1, 1);
    const log: string[] = [];
    pool.wait(waiter(log, "a"));
    attempts[0]?.();
    pool.wait(waiter(log, "b"));
    clients[0]?.destroy();
    assert.equal(attempts.length, 2);
    attempts[1]?.();
    assert.deepEqual(log, ["a", "b"]);
  });

  it("tells one that waits for each HTTP/1 connection that cannot be made", () => {
    const { pool, attempts } = rig(1, 2);
    const log: string[] = [];
    for (const name of ["a", "b", "c"]) pool.wait(waiter(log, name));
    attempts[0]?.(new Error("refused"));
    assert.deepEqual(log, ["a: refused"]);
    assert.equal(attempts.length, 3, "the third has its attempt now");
    attempts[1]?.();
    attempts[2]?.();
    assert.deepEqual(log, ["a: refused", "b", "c"]);
  });

  it("closes in its time what was taken for a request that could then not be written", () => {
    const { pool, attempts, clients, clock } = rig(1, 10);
    pool.wait(waiter([], "a"));
    attempts[0]?.();
    clients[0]?.finish();
    assert.equal(pool.take(), clients[0]);
    clock.advance(10_000);
    assert.equal(pool.size, 0);
    assert.equal(clock.pending, 0);
  });

  it("tells all that wait when no connection can be made", () => {
    const { pool, attempts } = rig(2, 16);
    const log: string[] = [];
    pool.wait(waiter(log, "a"));
    pool.wait(waiter(log, "b"));
    attempts[0]?.(new Error("refused"));
    assert.deepEqual(log, ["a: refused", "b: refused"]);
  });

  it("never hands out a connection that has closed", () => {
    const { pool, attempts, clients } = rig(1, 10);
    pool.wait(waiter([], "a"));
    attempts[0]?.();
    clients[0]?.finish();
    clients[0]?.destroy();
    assert.equal(pool.take(), undefined);
    assert.equal(pool.size, 0);
  });

  it("closes what was idle for too long, and keeps what was used", () => {
    const { pool, attempts, clients, clock } = rig(1, 10);
    pool.wait(waiter([], "a"));
    pool.wait(waiter([], "b"));
    attempts.forEach((connect) => connect());
    clients[0]?.finish();
    clients[1]?.finish();
    clock.advance(2_000);
    const taken = pool.take() as FakeClient;
    taken.open();
    clock.advance(1_000);
    taken.finish();
    clock.advance(1_600);
    assert.equal(pool.size, 1);
    assert.equal(taken.usable, true);
    clock.advance(10_000);
    assert.equal(pool.size, 0);
    assert.equal(clock.pending, 0, "no timer is left");
  });

  it("closes: waiters fail, idle connections go, no timer is left", () => {
    const { pool, attempts, clients, clock } = rig(1, 10);
    const log: string[] = [];
    pool.wait(waiter([], "a"));
    attempts[0]?.();
    clients[0]?.finish();
    pool.take()?.open(undefined as never, true, undefined as never);
    pool.wait(waiter(log, "b"));
    pool.close();
    assert.deepEqual(log, ["b: the endpoint was removed"]);
    assert.equal(pool.size, 0);
    assert.equal(clock.pending, 0);
  });
});
