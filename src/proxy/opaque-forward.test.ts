/** Byte streams through one sidecar's pieces: real sockets, virtual time. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it, type TestContext } from "node:test";

import { connectedPair } from "../../test/support/connections.ts";
import { metricSum, sidecar } from "../../test/support/mesh.ts";
import { type RawServer, rawConnect, type RawPeer, rawServer } from "../../test/support/raw.ts";
import { until } from "../../test/support/until.ts";
import { type BackendPolicy, defaultBackendPolicy } from "../model/backend-policy.ts";
import type { ServiceView } from "../model/mesh.ts";
import { defaultRoute, type Route } from "../model/route.ts";
import type { Connection } from "../net/connection.ts";
import { VirtualClock } from "../net/virtual-clock.ts";
import { Logger } from "../telemetry/log.ts";
import type { Backend } from "./backend.ts";
import { ProxyContext } from "./context.ts";
import type { Session } from "./listener.ts";
import { ProxyMetrics } from "./metrics.ts";
import { forwardOpaque, OPAQUE_IDLE_MS } from "./opaque-forward.ts";
import { openUpstream, outboundBackend } from "./outbound.ts";
import { Services } from "./outbound/services.ts";
import type { OpaqueService } from "./serve.ts";
import { fakeEndpoint } from "./testing/fake-world.ts";

const QUARTER_MS = OPAQUE_IDLE_MS / 4;

interface Opened {
  readonly client: Connection;
  readonly near: Connection;
  readonly session: Session;
  /** How often the session has said that it is over. */
  readonly done: () => number;
}

interface World {
  readonly clock: VirtualClock;
  readonly context: ProxyContext;
  readonly backend: Backend;
  readonly opaque: OpaqueService;
  /** Joins one more client to the backend. */
  readonly open: (first?: string, ended?: boolean) => Promise<Opened>;
  /** `outbound_tcp_errors_total` of one kind. */
  readonly errors: (error: string) => number;
}

function proxyContext(clock: VirtualClock, random: () => number = () => 0): ProxyContext {
  const logger = new Logger({ level: "error", format: "plain", sink: { write: () => true } });
  return new ProxyContext(sidecar("caller", {}), clock, random, new ProxyMetrics(), logger);
}

function world(context: TestContext, policy: Partial<BackendPolicy>, ...servers: readonly RawServer[]): World {
  const clock = new VirtualClock();
  const proxy = proxyContext(clock);
  const whole = { ...defaultBackendPolicy, ...policy };
  const backend = proxy.backend({
    name: "db",
    direction: "outbound",
    policy: whole,
    protocol: "opaque",
    single: false,
    labels: () => ({}),
  });
  backend.update(
    whole,
    servers.map(({ port }) => fakeEndpoint({ port })),
  );
  const opaque = forwardOpaque(backend, "outbound", proxy);
  return {
    clock,
    context: proxy,
    backend,
    opaque,
    async open(first = "", ended = false) {
      const [client, near] = await connectedPair(context);
      let done = 0;
      const session = opaque.serve(near, Buffer.from(first), ended, undefined, () => done++);
      client.resume();
      return { client, near, session, done: () => done };
    },
    errors: (error) => metricSum(proxy.metrics.registry.expose(), "outbound_tcp_errors_total", `error="${error}"`),
  };
}

/** Says how a connection ended. */
function watch(connection: Connection): { text: string; closed: string } {
  const state = { text: "", closed: "" };
  connection.handler = {
    onData: (chunk) => (state.text += chunk.toString("latin1")),
    onEnd() {},
    onDrain() {},
    onClose: (error: NodeJS.ErrnoException | undefined) => (state.closed = error?.code ?? "end"),
  };
  return state;
}

async function joined(server: RawServer, count: number): Promise<RawPeer> {
  await until(`the server has ${count} connections`, () => server.peers.length === count);
  return server.peers[count - 1] as RawPeer;
}

describe("a byte stream", () => {
  it("is reset on both sides after an hour without a byte, and counted", async (context) => {
    const server = await rawServer(context);
    const { clock, open, errors, backend } = world(context, {}, server);
    const { client, done } = await open("x");
    const seen = watch(client);
    const peer = await joined(server, 1);
    await until("it is through", () => peer.text === "x");
    clock.advance(OPAQUE_IDLE_MS - 1);
    assert.equal(backend.inFlight, 1);
    clock.advance(QUARTER_MS);
    await until("both sides are reset", () => seen.closed === "ECONNRESET" && peer.closed === "ECONNRESET");
    await until("it is over", () => done() === 1);
    assert.equal(errors("idle_timeout"), 1);
    assert.equal(backend.inFlight, 0);
    assert.equal(clock.pending, 0);
  });

  it("is cut as well when only the far side is left, which does not read", async (context) => {
    const server = await rawServer(context, ({ socket }) => socket.pause().end());
    const { clock, opaque } = world(context, {}, server);
    let connected = false;
    const [client, near] = await connectedPair(context);
    const owner = { onConnected: () => (connected = true), onSpoke() {}, onFailed() {} };
    const ahead = opaque.dialAhead(owner, near);
    await until("there is a far side", () => connected);
    ahead?.connection?.write(Buffer.alloc(32 * 1024 * 1024));
    let done = 0;
    opaque.serve(near, Buffer.alloc(0), false, ahead, () => done++);
    client.resume();
    client.end();
    await until("the near side is gone in good order", () => near.closed && client.closed);
    assert.ok((ahead?.connection?.unsentBytes ?? 0) > 0);
    assert.equal(done, 0);
    clock.advance(OPAQUE_IDLE_MS + QUARTER_MS);
    await until("it is over", () => done === 1);
    server.peers[0]?.socket.resume();
    await until("the server sees no whole stream", () => server.peers[0]?.closed === "ECONNRESET");
  });

  it("is left alone as long as either side says something within the hour", async (context) => {
    const server = await rawServer(context);
    const { clock, open, errors } = world(context, {}, server);
    const { client, near } = await open("x");
    const seen = watch(client);
    const peer = await joined(server, 1);
    for (let hours = 1; hours <= 4; hours++) {
      clock.advance(OPAQUE_IDLE_MS - QUARTER_MS - 1);
      if (hours % 2 === 0) client.write(Buffer.from("x"));
      else peer.socket.write("y");
      await until(
        "it is through",
        () => peer.text.length + seen.text.length === hours + 1 && near.bytesRead > hours / 2 - 1,
      );
    }
    assert.equal(seen.closed, "");
    assert.equal(errors("idle_timeout"), 0);
  });

  it("leaves no timer, and tells how long it lasted", async (context) => {
    const server = await rawServer(context, ({ socket }) => socket.on("end", () => socket.end()));
    const { clock, open, context: proxy } = world(context, {}, server);
    const { client, done } = await open();
    await joined(server, 1);
    clock.advance(500);
    client.end();
    await until("it is over", () => done() === 1);
    assert.equal(clock.pending, 0);
    const text = proxy.metrics.registry.expose();
    assert.equal(metricSum(text, "tcp_connection_duration_ms_sum"), 500);
    assert.equal(metricSum(text, "tcp_connection_duration_ms_count", `target_port="${server.port}"`), 1);
  });

  it("counts as in flight: beyond the limit the next one is reset, until one ends", async (context) => {
    const server = await rawServer(context);
    const { open, errors, backend } = world(context, { maxInFlight: 2 }, server);
    const first = await open();
    await open();
    await joined(server, 2);
    const third = await open("x");
    const seen = watch(third.client);
    await until("it is reset", () => seen.closed === "ECONNRESET");
    assert.equal(errors("loadshed"), 1);
    await until("it is over", () => third.done() === 1);
    assert.equal(backend.inFlight, 2);
    first.client.destroy();
    server.peers[0]?.socket.end();
    await until("there is room again", () => backend.inFlight === 1);
    await open();
    await joined(server, 3);
  });

  it("that was reset while it waited for an endpoint is reset at the server too", async (context) => {
    const server = await rawServer(context);
    const { open, backend } = world(context, {});
    const { client } = await open();
    client.write(Buffer.from("half a"));
    client.flush();
    assert.equal(backend.queued, 1);
    client.reset();
    backend.update(defaultBackendPolicy, [fakeEndpoint({ port: server.port })]);
    const peer = await joined(server, 1);
    await until("the server sees no whole stream", () => peer.closed === "ECONNRESET");
    assert.equal(peer.ended, false);
  });

  it("that nobody takes is reset, at the latest when the queue's time is over", async (context) => {
    const { clock, open, errors } = world(context, {});
    const { client } = await open("x");
    const seen = watch(client);
    clock.advance(defaultBackendPolicy.failfastTimeoutMs);
    await until("it is reset", () => seen.closed === "ECONNRESET");
    assert.equal(errors("failfast"), 1);
    assert.equal(clock.pending, 0);
  });

  it("is reset on both sides when its session is destroyed, as after the grace period of a drain", async (context) => {
    const server = await rawServer(context);
    const { open, clock } = world(context, {}, server);
    const { client, session } = await open("x");
    const seen = watch(client);
    const peer = await joined(server, 1);
    session.shutdown();
    client.write(Buffer.from("y"));
    await until("it goes on", () => peer.text === "xy");
    session.destroy();
    await until("both sides are reset", () => seen.closed === "ECONNRESET" && peer.closed === "ECONNRESET");
    await until("no timer is left", () => clock.pending === 0);
  });

  it("loses its place when its session is destroyed", async (context) => {
    const { open, backend } = world(context, {});
    const { session, done } = await open("x");
    session.destroy();
    await until("it is over", () => done() === 1);
    assert.equal(backend.queued, 0);
    assert.equal(backend.inFlight, 0);
  });

  it("has TCP keep-alive towards both sides", async (context) => {
    const server = await rawServer(context);
    const { open } = world(context, {}, server);
    const { near, client } = await open("x");
    const peer = await joined(server, 1);
    for (const [local, remote] of [
      [client.remotePort ?? 0, near.remotePort],
      [peer.socket.remotePort ?? 0, server.port],
    ] as const) {
      await until("the keep-alive timer runs", () => timerOf(local, remote) === KEEP_ALIVE_TIMER);
    }
  });

  it("counts the bytes of each direction for each peer", async (context) => {
    const server = await rawServer(context);
    const { open, context: proxy } = world(context, {}, server);
    const { client } = await open();
    const seen = watch(client);
    const peer = await joined(server, 1);
    client.write(Buffer.alloc(100_000, "q"));
    peer.socket.write(Buffer.alloc(300_000, "a"));
    await until("all is through", () => peer.text.length === 100_000 && seen.text.length === 300_000);
    const text = proxy.metrics.registry.expose();
    assert.equal(metricSum(text, "tcp_write_bytes_total", 'peer="dst"', `target_port="${server.port}"`), 100_000);
    assert.equal(metricSum(text, "tcp_read_bytes_total", 'peer="dst"', `target_port="${server.port}"`), 300_000);
    assert.equal(metricSum(text, "tcp_open_connections", 'peer="dst"'), 1);
  });
});

const KEEP_ALIVE_TIMER = 2;

function kernelAddress(port: number): string {
  return `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
}

/** The kernel's timer of one of our connections on 127.0.0.1 (proc_net_tcp(5), column `tr`). */
function timerOf(localPort: number, remotePort: number): number | undefined {
  for (const line of readFileSync("/proc/net/tcp", "latin1").split("\n")) {
    const [, local, remote, , , timer] = line.trim().split(/\s+/);
    if (local === kernelAddress(localPort) && remote === kernelAddress(remotePort)) return Number(timer?.split(":")[0]);
  }
  return undefined;
}

/** An upstream port, and a mesh in which its service has these routes and backends. */
async function upstream(
  context: TestContext,
  routes: readonly Route[],
  servers: Readonly<Record<string, RawServer>>,
  random: () => number,
): Promise<{ port: number; proxy: ProxyContext }> {
  const clock = new VirtualClock();
  const proxy = proxyContext(clock, random);
  const view: ServiceView = {
    key: "db.default:80",
    name: "db",
    namespace: "default",
    port: { name: "main", port: 80, protocol: "opaque" },
    routes,
    backends: new Map(
      Object.entries(servers).map(([key, { port }]) => [
        key,
        { key, policy: defaultBackendPolicy, endpoints: [fakeEndpoint({ port })] },
      ]),
    ),
  };
  const services = new Services({
    clock,
    logger: proxy.logger,
    makeBackend: (service, backend) => outboundBackend(service, backend, proxy),
    discovery: {
      watch(_authority, watcher) {
        watcher.onView(view);
        return () => {};
      },
      watchPolicy: () => () => {},
    },
  });
  const listener = await openUpstream({ authority: "db", listen: { host: "127.0.0.1", port: 0 } }, services, proxy);
  context.after(() => {
    listener.destroy();
    services.destroy();
  });
  return { port: listener.address.port, proxy };
}

describe("an upstream port of an opaque service", () => {
  const ANY = defaultRoute("").match;

  it("picks among the route's backends by their weights, for each connection anew", async (context) => {
    const servers = { "old.default:80": await rawServer(context), "new.default:80": await rawServer(context) };
    const backends = [
      { backend: "old.default:80", weight: 3 },
      { backend: "new.default:80", weight: 1 },
    ];
    // An HTTP route before it says nothing about byte streams.
    const paid: Route = {
      name: "paid",
      match: { ...ANY, method: "POST" },
      backends: [{ backend: "new.default:80", weight: 1 }],
      timeoutMs: 0,
    };
    let draws = 0;
    const routes = [paid, { name: "split", match: ANY, backends, timeoutMs: 0 }];
    const { port } = await upstream(context, routes, servers, () => (draws++ % 8) / 8);
    for (let i = 1; i <= 8; i++) {
      await rawConnect(context, port);
      await until(
        "it has arrived",
        () => servers["old.default:80"].peers.length + servers["new.default:80"].peers.length === i,
      );
    }
    assert.equal(servers["old.default:80"].peers.length, 6);
    assert.equal(servers["new.default:80"].peers.length, 2);
  });

  it("refuses where every route asks for something that only requests have", async (context) => {
    const servers = { "db.default:80": await rawServer(context) };
    const route = { ...defaultRoute("db.default:80"), match: { ...ANY, method: "GET" } };
    const { port, proxy } = await upstream(context, [route], servers, () => 0);
    // The reset may be there before the client has noticed that it is connected.
    const client = await rawConnect(context, port).catch((error: NodeJS.ErrnoException) => ({ closed: error.code }));
    await until("it is reset", () => client.closed === "ECONNRESET");
    const text = proxy.metrics.registry.expose();
    assert.equal(metricSum(text, "outbound_tcp_errors_total", 'error="unknown_service"'), 1);
  });

  it("passes bytes and an end that came before the far side did", async (context) => {
    const server = await rawServer(context, ({ socket }) => socket.on("end", () => socket.end("bye")));
    const { open } = world(context, {}, server);
    const { client } = await open("hello", true);
    const seen = watch(client);
    const peer = await joined(server, 1);
    await until("the server has it all", () => peer.ended && peer.text === "hello");
    await until("the answer is here", () => seen.text === "bye");
  });
});
