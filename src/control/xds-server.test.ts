import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientHttp2Session, connect as connectHttp2, constants, type Settings } from "node:http2";
import { connect } from "node:net";
import { afterEach, describe, it } from "node:test";

import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";

import { makeTestCa, TestCredentials } from "../../test/support/identity.ts";
import { until } from "../../test/support/until.ts";
import { VirtualClock } from "../net/virtual-clock.ts";
import { CERTIFY_METHOD } from "../xds/certify.ts";
import { Identity } from "../xds/gen/heddle/identity/v1/identity_pb.ts";
import { recordingLogger } from "./testing/logger.ts";
import { listenXds, PING_INTERVAL_MS, PING_TIMEOUT_MS, STRANGER_LOOK_EVERY_MS, XDS_STREAMS_MAX } from "./xds-server.ts";

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function start(credentials = new TestCredentials(undefined), routes: (router: ConnectRouter) => void = () => {}) {
  const clock = new VirtualClock();
  const listener = await listenXds({
    address: { host: "127.0.0.1", port: 0 },
    insecure: false,
    credentials,
    trustDomain: "cluster.local",
    clock,
    now: Date.now,
    logger: recordingLogger().logger,
    onRefused: () => {},
    routes,
  });
  cleanups.push(() => listener.close());
  return { clock, listener };
}

describe("listenXds", () => {
  it("keeps a peer that answers pings, and tells it how many streams it may open", async () => {
    const { clock, listener } = await start();
    const client = connectHttp2(`http://127.0.0.1:${listener.address.port}`);
    cleanups.push(() => client.destroy());
    let pings = 0;
    client.on("ping", () => pings++);
    const [settings] = (await once(client, "remoteSettings")) as [{ maxConcurrentStreams: number }];
    assert.equal(settings.maxConcurrentStreams, XDS_STREAMS_MAX);
    for (let i = 1; i <= 3; i++) {
      await until("the next ping is set", () => clock.pending === 1);
      clock.advance(PING_INTERVAL_MS);
      await until("a ping", () => pings === i);
      // The answer replaces the time-out by the next interval; only then may time go on.
      await until("the answer", () => {
        clock.advance(0);
        return clock.pending === 1;
      });
      await new Promise((resolve) => client.ping(resolve));
    }
    assert.equal(client.destroyed, false);
  });

  it("cuts off a peer that does not", async () => {
    const { clock, listener } = await start();
    const socket = connect(listener.address.port, "127.0.0.1");
    cleanups.push(() => void socket.destroy());
    socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]));
    let closed = false;
    socket.on("close", () => (closed = true));
    await once(socket.resume(), "data");
    await until("the session", () => clock.pending === 1);
    clock.advance(PING_INTERVAL_MS);
    clock.advance(PING_TIMEOUT_MS - 1);
    assert.equal(clock.pending, 1);
    clock.advance(1);
    await until("it is cut off", () => closed);
    assert.equal(clock.pending, 0);
  });

  it("survives what is not HTTP/2", async () => {
    const { clock, listener } = await start();
    const socket = connect(listener.address.port, "127.0.0.1");
    cleanups.push(() => void socket.destroy());
    socket.on("error", () => {}).resume();
    socket.write("GET / HTTP/1.1\r\n\r\n");
    await once(socket, "close");
    await until("nothing is left", () => clock.pending === 0);
  });

  it("survives requests that no URL can be made of, and goes on serving", async () => {
    const { listener } = await start(undefined, (router) => {
      router.service(Identity, {
        async *certify() {
          yield {};
        },
      });
    });
    const client = connectHttp2(`http://127.0.0.1:${listener.address.port}`);
    cleanups.push(() => client.destroy());
    const ask = async (authority: string): Promise<number> => {
      const stream = client.request({
        ":method": "POST",
        ":path": `/${CERTIFY_METHOD}`,
        ":authority": authority,
        "content-type": "application/grpc",
        te: "trailers",
      });
      stream.on("error", () => {}).resume();
      stream.end();
      await new Promise((resolve) => stream.on("close", resolve));
      return stream.rstCode;
    };
    for (const bad of ["[", "%", "a:b", "@", "a:99999"]) {
      assert.equal(await ask(bad), constants.NGHTTP2_PROTOCOL_ERROR, bad);
    }
    assert.equal(await ask("control"), constants.NGHTTP2_NO_ERROR);
  });

  it("closes with connections open", async () => {
    const { clock, listener } = await start();
    const client = connectHttp2(`http://127.0.0.1:${listener.address.port}`);
    await once(client, "remoteSettings");
    await listener.close();
    await until("the client notices", () => client.destroyed);
    assert.equal(clock.pending, 0);
  });

  it("closes who has no certificate and asks for none", async () => {
    const ca = await makeTestCa();
    const own = new TestCredentials(await ca.credentials("spiffe://cluster.local/ns/heddle/sa/heddle-control"));
    const { clock, listener } = await start(own, (router) => {
      router.service(Identity, {
        async *certify(_requests, { signal }) {
          yield {};
          await new Promise((resolve) => signal.addEventListener("abort", resolve));
        },
      });
    });
    const dial = (): ClientHttp2Session => {
      const client = connectHttp2(`https://127.0.0.1:${listener.address.port}`, { rejectUnauthorized: false });
      client.on("error", () => {});
      cleanups.push(() => client.destroy());
      return client;
    };
    const idle = dial();
    const busy = dial();
    await Promise.all([once(idle, "remoteSettings"), once(busy, "remoteSettings")]);
    const stream = busy.request({
      ":method": "POST",
      ":path": `/${CERTIFY_METHOD}`,
      "content-type": "application/grpc",
      te: "trailers",
    });
    stream.on("error", () => {}).resume();
    await once(stream, "response");
    clock.advance(STRANGER_LOOK_EVERY_MS);
    await once(idle, "close");
    assert.equal(busy.destroyed, false);
    stream.close();
    await once(stream, "close");
    await until("its stream is over", () => {
      clock.advance(STRANGER_LOOK_EVERY_MS);
      return busy.destroyed;
    });
    await until("nothing is left", () => clock.pending === 0);
  });

  for (const [what, settings] of [
    ["its request has no end", {}],
    ["it never reads the answer", { initialWindowSize: 0 }],
  ] as const) {
    it(`closes who has no certificate and has been answered, even if ${what}`, () => closesAnswered(settings));
  }
});

async function closesAnswered(settings: Settings): Promise<void> {
  const ca = await makeTestCa();
  const own = new TestCredentials(await ca.credentials("spiffe://cluster.local/ns/heddle/sa/heddle-control"));
  let refused = false;
  const { clock, listener } = await start(own, (router) => {
    router.service(Identity, {
      async *certify(requests) {
        for await (const _request of requests) break;
        refused = true;
        yield {};
        throw new ConnectError("no", Code.PermissionDenied);
      },
    });
  });
  const client = connectHttp2(`https://127.0.0.1:${listener.address.port}`, { rejectUnauthorized: false, settings });
  client.on("error", () => {});
  cleanups.push(() => client.destroy());
  const stream = client.request({
    ":method": "POST",
    ":path": `/${CERTIFY_METHOD}`,
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.on("error", () => {}).resume();
  stream.write(Buffer.from([0, 0, 0, 0, 0]));
  await until("it is answered", () => refused);
  await until("the connection is closed", () => {
    clock.advance(STRANGER_LOOK_EVERY_MS);
    return client.destroyed;
  });
  await until("nothing is left", () => clock.pending === 0);
}
