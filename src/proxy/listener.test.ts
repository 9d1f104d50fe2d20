import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { describe, it } from "node:test";

import { until } from "../../test/support/until.ts";
import type { Connection } from "../net/connection.ts";
import { Listener, type Session } from "./listener.ts";
import { ProxyMetrics } from "./metrics.ts";

interface Rig {
  readonly listener: Listener;
  readonly metrics: ProxyMetrics;
  readonly connections: Connection[];
  readonly asked: string[];
  overflows: number;
}

async function rig(connectionsMax = 10): Promise<Rig> {
  const metrics = new ProxyMetrics();
  const rest: Omit<Rig, "listener"> = { metrics, connections: [], asked: [], overflows: 0 };
  const serve = (connection: Connection, done: () => void): Session => {
    rest.connections.push(connection);
    connection.handler = { onData() {}, onEnd: () => connection.end(), onDrain() {}, onClose: done };
    connection.resume();
    return { shutdown: () => rest.asked.push("shutdown"), destroy: () => connection.destroy() };
  };
  const listener = await Listener.open({
    address: { host: "127.0.0.1", port: 0 },
    meter: metrics.tcp({ direction: "inbound", peer: "src" }),
    connectionsMax,
    onOverflow: () => result.overflows++,
    serve,
  });
  const result: Rig = { ...rest, listener };
  return result;
}

async function dial(listener: Listener): Promise<net.Socket> {
  const socket = net.connect(listener.address.port, "127.0.0.1");
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

describe("Listener", () => {
  it("counts connections and bytes while they are open, and once when they close", async () => {
    const { listener, metrics } = await rig();
    const socket = await dial(listener);
    socket.write("12345");
    await until("the bytes are counted", () => /tcp_read_bytes_total\{[^}]*\} 5/.test(metrics.registry.expose()));
    assert.match(metrics.registry.expose(), /^tcp_open_connections\{direction="inbound",peer="src"\} 1$/m);
    socket.destroy();
    await until("the close is seen", () => listener.open === 0);
    const text = metrics.registry.expose();
    assert.match(text, /^tcp_open_connections\{direction="inbound",peer="src"\} 0$/m);
    assert.match(text, /^tcp_close_total\{direction="inbound",peer="src"\} 1$/m);
    assert.match(text, /^tcp_read_bytes_total\{direction="inbound",peer="src"\} 5$/m);
    listener.destroy();
  });

  it("holds so many connections and no more", async () => {
    const state = await rig(2);
    await dial(state.listener);
    await dial(state.listener);
    await until("two are served", () => state.connections.length === 2);
    const third = net.connect(state.listener.address.port, "127.0.0.1");
    const [error] = (await once(third, "error")) as [NodeJS.ErrnoException];
    assert.equal(error.code, "ECONNRESET");
    assert.equal(state.overflows, 1);
    assert.equal(state.listener.open, 2);
    state.listener.destroy();
  });

  it("drains: accepts nothing new, asks each connection to finish, and waits for them", async () => {
    const { listener, connections, asked } = await rig();
    await dial(listener);
    await until("it is served", () => connections.length === 1);
    const { port } = listener.address;
    let drained = false;
    const draining = listener.drain().then(() => (drained = true));
    assert.deepEqual(asked, ["shutdown"]);
    const late = net.connect(port, "127.0.0.1");
    const [error] = (await once(late, "error")) as [NodeJS.ErrnoException];
    assert.equal(error.code, "ECONNREFUSED");
    assert.equal(drained, false);
    connections[0]?.destroy();
    await draining;
  });

  it("names the address that it cannot have, and why", async () => {
    const { listener, metrics } = await rig();
    const options = {
      meter: metrics.tcp({ direction: "inbound", peer: "dst" }),
      onOverflow() {},
      serve: (): Session => assert.fail("nothing is accepted"),
    };
    await assert.rejects(Listener.open({ ...options, address: listener.address }), {
      code: "EADDRINUSE",
      message: /cannot listen on 127\.0\.0\.1:\d+: another process listens there already/,
    });
    await assert.rejects(Listener.open({ ...options, address: { host: "192.0.2.1", port: 0 } }), /no such address/);
    listener.destroy();
  });
});
