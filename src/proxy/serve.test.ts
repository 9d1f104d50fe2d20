/** A port whose protocol is to be detected: who speaks first, the caller or the application. Real sockets, virtual time. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";

import { ANY_PORT, metricSum, sidecar } from "../../test/support/mesh.ts";
import { type RawServer, rawConnect, type RawPeer, rawServer } from "../../test/support/raw.ts";
import { until } from "../../test/support/until.ts";
import { VirtualClock } from "../net/virtual-clock.ts";
import { CLIENT_PREFACE } from "../protocol/http2/frames.ts";
import { startProxy } from "./proxy.ts";
import { DETECT_TIMEOUT_MS, LISTEN_AHEAD_MS } from "./serve.ts";

/** An empty SETTINGS frame. */
const SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);

interface World {
  readonly clock: VirtualClock;
  readonly port: number;
  metrics(): Promise<string>;
}

/** One inbound listener before an application. */
async function world(context: TestContext, application: RawServer): Promise<World> {
  const clock = new VirtualClock();
  const target = { host: "127.0.0.1", port: application.port };
  const inbound = [{ listen: ANY_PORT, target, service: "db", port: 80, protocol: "detect" as const }];
  const proxy = await startProxy(sidecar("db-1", { service: "db", inbound }), clock);
  context.after(() => proxy.close());
  return {
    clock,
    port: proxy.addresses.inbound[0]?.port ?? 0,
    metrics: async () => (await fetch(`http://127.0.0.1:${proxy.addresses.admin.port}/metrics`)).text(),
  };
}

/** A client that the sidecar has accepted, so that its clock runs. */
async function silentClient(context: TestContext, { clock, port }: World): Promise<RawPeer> {
  const before = clock.pending;
  const client = await rawConnect(context, port);
  await until("the sidecar has accepted", () => clock.pending > before);
  return client;
}

async function connections(application: RawServer, count: number): Promise<void> {
  await until(`the application has ${count} connections`, () => application.peers.length === count);
}

async function detected(of: World): Promise<Record<string, number>> {
  const text = await of.metrics();
  const results = ["http/1", "http/2", "not_http", "read_timeout"];
  const counts = results.map((result) => [
    result,
    metricSum(text, "inbound_tcp_detect_http_results_total", `result="${result}"`),
  ]);
  return Object.fromEntries(counts.filter(([, count]) => count !== 0)) as Record<string, number>;
}

describe("a port whose protocol is to be detected", () => {
  it("passes a greeting as soon as the application has sent it", async (context) => {
    const application = await rawServer(context, ({ socket }) => socket.write("220 mail"));
    const of = await world(context, application);
    const client = await silentClient(context, of);
    of.clock.advance(LISTEN_AHEAD_MS - 1);
    assert.equal(application.peers.length, 0, "nobody is connected to before the time");
    of.clock.advance(1);
    await until("the greeting is here", () => client.text === "220 mail");
    client.socket.end("QUIT");
    await until("what follows is passed on", () => application.peers[0]?.text === "QUIT" && application.peers[0].ended);
    assert.equal(application.peers.length, 1);
    assert.deepEqual(await detected(of), { not_http: 1 });
  });

  it("passes a greeting with an end right behind it", async (context) => {
    const application = await rawServer(context, ({ socket }) => socket.end("Sat Nov 21"));
    const of = await world(context, application);
    const client = await silentClient(context, of);
    of.clock.advance(LISTEN_AHEAD_MS);
    await until("the greeting is here, and its end", () => client.text === "Sat Nov 21" && client.ended);
    client.socket.end();
    await until("all is closed", () => application.peers[0]?.closed === "end");
  });

  for (const [name, first] of [
    ["its SETTINGS", SETTINGS],
    ["a 408", Buffer.from("HTTP/1.1 408 Request Timeout\r\n\r\n")],
  ] as const) {
    it(`is still HTTP when the server sends ${name} at once`, async (context) => {
      const application = await rawServer(context, ({ socket }) => socket.write(first));
      const of = await world(context, application);
      const client = await silentClient(context, of);
      of.clock.advance(LISTEN_AHEAD_MS);
      await connections(application, 1);
      client.socket.write(`${CLIENT_PREFACE}${SETTINGS.toString("latin1")}`, "latin1");
      await until("the sidecar itself answers the preface", () => client.text.length >= SETTINGS.length);
      await until("what was dialled ahead is closed unused", () => application.peers[0]?.ended === true);
      assert.equal(application.peers[0]?.text, "");
      assert.deepEqual(await detected(of), { "http/2": 1 });
    });
  }

  it("serves HTTP from a slow caller, and closes unused what it dialled ahead", async (context) => {
    const application = await rawServer(context, ({ socket }) => {
      socket.once("data", () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    });
    const of = await world(context, application);
    const client = await silentClient(context, of);
    of.clock.advance(LISTEN_AHEAD_MS);
    await connections(application, 1);
    client.socket.write("GET / HTTP/1.1\r\nHost: db\r\n\r\n");
    await until("it is answered", () => client.text.endsWith("ok"));
    await until("the first connection is closed", () => application.peers[0]?.ended === true);
    assert.equal(application.peers[0]?.text, "");
    assert.deepEqual(await detected(of), { "http/1": 1 });
  });

  it("does not dial ahead for a caller that asks at once", async (context) => {
    const application = await rawServer(context, ({ socket }) => {
      socket.once("data", () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    });
    const of = await world(context, application);
    const client = await rawConnect(context, of.port);
    client.socket.write("GET / HTTP/1.1\r\nHost: db\r\n\r\n");
    await until("it is answered", () => client.text.endsWith("ok"));
    of.clock.advance(LISTEN_AHEAD_MS);
    await of.metrics();
    assert.equal(application.peers.length, 1);
  });

  it("does not take our own delay for the caller's silence", async (context) => {
    const application = await rawServer(context, ({ socket }) => {
      socket.once("data", () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    });
    const of = await world(context, application);
    const client = await silentClient(context, of);
    // As after a long pause of ours: when the timer fires, where timers do, the bytes are in the kernel already.
    setTimeout(() => {
      client.socket.write("GET / HTTP/1.1\r\nHost: db\r\n\r\n");
      of.clock.advance(LISTEN_AHEAD_MS);
    }, 0);
    await until("it is answered", () => client.text.endsWith("ok"));
    assert.equal(application.peers.length, 1);
  });

  it("is opaque when neither side has spoken for a second, on the connection that is there already", async (context) => {
    const application = await rawServer(context);
    const of = await world(context, application);
    const client = await silentClient(context, of);
    of.clock.advance(LISTEN_AHEAD_MS);
    await connections(application, 1);
    of.clock.advance(DETECT_TIMEOUT_MS - LISTEN_AHEAD_MS);
    client.socket.write("GET / HTTP/1.1\r\n\r\n");
    await until("nobody looks at it any more", () => application.peers[0]?.text === "GET / HTTP/1.1\r\n\r\n");
    assert.equal(application.peers.length, 1);
    assert.deepEqual(await detected(of), { read_timeout: 1 });
  });

  it("is opaque for bytes that are not HTTP, on the connection that is there already", async (context) => {
    const application = await rawServer(context);
    const of = await world(context, application);
    const client = await silentClient(context, of);
    of.clock.advance(LISTEN_AHEAD_MS);
    await connections(application, 1);
    client.socket.write("\x00\x01binary");
    await until("they have arrived", () => application.peers[0]?.text === "\x00\x01binary");
    assert.equal(application.peers.length, 1);
  });

  it("passes on an end without a byte, since the server may still have something to say", async (context) => {
    const application = await rawServer(context, ({ socket }) => socket.end("17:04"));
    const of = await world(context, application);
    const client = await rawConnect(context, of.port);
    client.socket.end();
    await until("it is answered", () => client.text === "17:04" && client.ended);
  });

  it("tries again when what it dialled ahead was refused, and says so only then", async (context) => {
    const application = await rawServer(context);
    application.close();
    const of = await world(context, application);
    const client = await silentClient(context, of);
    of.clock.advance(LISTEN_AHEAD_MS);
    const failures = async (): Promise<number> => metricSum(await of.metrics(), "inbound_tcp_errors_total");
    assert.equal(await failures(), 0);
    assert.equal(client.closed, "");
    of.clock.advance(DETECT_TIMEOUT_MS);
    await until("it is reset", () => client.closed === "ECONNRESET");
    assert.equal(await failures(), 1);
  });

  it("closes what it dialled ahead when the caller goes without a word", async (context) => {
    const application = await rawServer(context);
    const of = await world(context, application);
    const client = await silentClient(context, of);
    of.clock.advance(LISTEN_AHEAD_MS);
    await connections(application, 1);
    client.socket.resetAndDestroy();
    await until("the application's connection is closed", () => application.peers[0]?.ended === true);
  });
});
