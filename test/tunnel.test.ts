/** CONNECT through one sidecar and through two: real sockets, curl and node:http2 at the near end, plain TCP at the far one. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import http2 from "node:http2";
import { describe, it, type TestContext } from "node:test";
import { promisify } from "node:util";

import type { PortProtocol } from "../src/model/service.ts";
import { startProxy } from "../src/proxy/proxy.ts";
import { startApplication } from "./support/application.ts";
import { ANY_PORT, metricSum, sidecar, startMesh, type TestMesh } from "./support/mesh.ts";
import { needs } from "./support/peers.ts";
import { rawConnect, type RawPeer, rawServer, type RawServer } from "./support/raw.ts";
import { registerUnmeshed } from "./support/unmeshed.ts";
import { until } from "./support/until.ts";

const run = promisify(execFile);

/** How the far end stands to the mesh. */
const KINDS = ["meshed", "opaque", "unmeshed"] as const;
type Kind = (typeof KINDS)[number];

/** A mesh with one service, "far", that is what listens on `port`. */
async function meshWith(context: TestContext, kind: Kind, port: number): Promise<TestMesh> {
  const protocol: PortProtocol = kind === "opaque" ? "opaque" : "http";
  const mesh = await startMesh(
    kind === "unmeshed" ? [] : [{ service: "far", workload: "far-1", protocol, applicationPort: port }],
  );
  context.after(() => mesh.close());
  if (kind === "unmeshed") await registerUnmeshed(mesh, "far", protocol, port);
  return mesh;
}

function outboundPort(mesh: TestMesh): number {
  return mesh.caller.addresses.outbound?.port ?? 0;
}

const ASK = "CONNECT far:80 HTTP/1.1\r\nHost: far:80\r\n\r\n";
const GRANTED = "HTTP/1.1 200 OK\r\n\r\n";

interface Tunnel {
  readonly mesh: TestMesh;
  readonly near: RawPeer;
  readonly far: RawPeer;
}

/** An open tunnel with a raw socket at each end. */
async function tunnel(context: TestContext, kind: Kind): Promise<Tunnel> {
  const server = await rawServer(context);
  const mesh = await meshWith(context, kind, server.port);
  const near = await rawConnect(context, outboundPort(mesh));
  near.socket.write(ASK);
  await until("it is granted", () => near.text === GRANTED);
  return { mesh, near, far: only(server) };
}

function only(server: RawServer): RawPeer {
  const [peer] = server.peers;
  assert.ok(peer !== undefined && server.peers.length === 1, `${server.peers.length} connections`);
  return peer;
}

/** What came through a tunnel. */
function through(near: RawPeer): string {
  assert.ok(near.text.startsWith(GRANTED), near.text);
  return near.text.slice(GRANTED.length);
}

/** Connections of the sidecars to what lies beyond them, those between sidecars aside. */
async function nothingLeft({ mesh }: { mesh: TestMesh }): Promise<void> {
  await until("all connections of the tunnel are gone", async () => {
    const caller = await mesh.metrics("caller");
    if (metricSum(caller, "tcp_open_connections", 'peer="src"') > 0) return false;
    if (!mesh.sidecars.has("far-1")) return metricSum(caller, "tcp_open_connections", 'peer="dst"') === 0;
    return metricSum(await mesh.metrics("far-1"), "tcp_open_connections", 'peer="dst"') === 0;
  });
}

for (const kind of KINDS) {
  describe(`CONNECT to a service that is ${kind}`, () => {
    it("is what curl needs to reach it", needs("curl"), async (context) => {
      const application = await startApplication("far-1");
      context.after(() => application.close());
      const mesh = await meshWith(context, kind, application.port);
      const { stdout } = await run("curl", ["-sS", "-m", "10", "-p", "-x", mesh.outbound, "http://far/a?b"]);
      const { url, headers } = JSON.parse(stdout) as { url: string; headers: string[] };
      assert.equal(url, "/a?b");
      assert.deepEqual(headers.slice(0, 2), ["Host", "far"]);
      await until("it is counted once it has ended", async () => {
        const text = await mesh.metrics("caller");
        return metricSum(text, "response_total", 'status_code="200"', 'classification="success"') === 1;
      });
    });

    it("carries what came right behind the request, and ends each direction on its own", async (context) => {
      const server = await rawServer(context);
      const mesh = await meshWith(context, kind, server.port);
      const near = await rawConnect(context, outboundPort(mesh));
      near.socket.write(`${ASK}GET /one HTTP/1.1\r\n`);
      await until("it arrives", () => server.peers[0]?.text === "GET /one HTTP/1.1\r\n");
      const far = only(server);
      near.socket.end("last words");
      await until("the end arrives", () => far.ended);
      assert.equal(far.text, "GET /one HTTP/1.1\r\nlast words");
      assert.equal(near.ended, false);
      far.socket.write("still ");
      await until("the other direction goes on", () => through(near) === "still ");
      far.socket.end("here");
      await until("it ends as well", () => near.closed !== "");
      assert.equal(through(near), "still here");
      assert.deepEqual([near.closed, far.closed], ["end", "end"]);
      await nothingLeft({ mesh });
    });

    it("lets the far end speak first, and end first", async (context) => {
      const server = await rawServer(context, ({ socket }) => socket.end("220 welcome\r\n"));
      const mesh = await meshWith(context, kind, server.port);
      const near = await rawConnect(context, outboundPort(mesh));
      near.socket.write(ASK);
      await until("the greeting and the end arrive", () => near.ended);
      assert.equal(through(near), "220 welcome\r\n");
      near.socket.write("too late? ");
      await until("it is heard", () => only(server).text === "too late? ");
      near.socket.end("no");
      await until("all of it", () => only(server).closed !== "");
      assert.equal(only(server).text, "too late? no");
      await nothingLeft({ mesh });
    });

    it("passes an RST on, from either side", async (context) => {
      const first = await tunnel(context, kind);
      first.near.socket.resetAndDestroy();
      await until("the far end sees an RST", () => first.far.closed === "ECONNRESET");
      await nothingLeft(first);
      const second = await tunnel(context, kind);
      second.far.socket.resetAndDestroy();
      await until("the near end sees an RST", () => second.near.closed === "ECONNRESET");
      await nothingLeft(second);
    });

    it("holds a sender to what its reader takes, and loses nothing", async (context) => {
      for (const way of ["there", "back"] as const) {
        const { near, far } = await tunnel(context, kind);
        const [from, to] = way === "there" ? [near.socket, far.socket] : [far.socket, near.socket];
        to.removeAllListeners("data");
        to.pause();
        const sent = createHash("sha256");
        const chunk = Buffer.alloc(64 * 1024);
        let bytes = 0;
        const push = (): void => {
          // Sockets and sidecars take some megabytes; without back-pressure they would take it all.
          while (bytes < BULK_BYTES) {
            chunk.fill(bytes / chunk.length);
            sent.update(chunk);
            bytes += chunk.length;
            if (!from.write(Buffer.from(chunk))) {
              from.once("drain", push);
              return;
            }
          }
          from.end();
        };
        push();
        await stands(() => bytes);
        assert.ok(bytes < BULK_BYTES, `all ${bytes} bytes were taken ${way}`);
        const received = createHash("sha256");
        let length = 0;
        to.on("data", (data: Buffer) => {
          received.update(data);
          length += data.length;
        });
        to.resume();
        await until("it has all arrived", () => length === BULK_BYTES, 20_000);
        assert.equal(received.digest("hex"), sent.digest("hex"), way);
      }
    });
  });
}

/** A port below those that the system gives away, where nobody listens. */
const NOBODY = 1;

/** More than all buffers on the way take together. */
const BULK_BYTES = 48 * 1024 * 1024;

/** Waits until a number has not changed for a while. */
async function stands(number: () => number): Promise<void> {
  let last = -1;
  let same = 0;
  await until(
    "it stands still",
    () => {
      same = number() === last ? same + 1 : 0;
      last = number();
      return same >= 100;
    },
    15_000,
  );
}

describe("CONNECT that leads nowhere", () => {
  it("is refused with what is wrong, and the connection closed", async (context) => {
    for (const [kind, target, status, code] of [
      ["meshed", "far:80", 502, "HED1005"],
      ["meshed", "nobody:80", 404, "HED1001"],
      ["meshed", "far:81", 404, "HED1001"],
      ["meshed", "[::1]:80", 404, "HED1001"],
      ["meshed", "far:0", 400, "HED1010"],
      ["meshed", "far:65536", 400, "HED1010"],
      ["meshed", "far", 400, "HED1010"],
      ["meshed", "[::1]", 400, "HED1010"],
      ["unmeshed", "far:80", 504, "HED1003"],
    ] as const) {
      const mesh = await meshWith(context, kind, NOBODY);
      const near = await rawConnect(context, outboundPort(mesh));
      // A request for a tunnel that is answered like one of gRPC would look granted.
      near.socket.write(
        `CONNECT ${target} HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc\r\n\r\nGET / HTTP/1.1\r\n`,
      );
      await until(`${target} is refused`, () => near.ended, 10_000);
      const [line] = near.text.split("\r\n");
      assert.match(line ?? "", new RegExp(`^HTTP/1.1 (?:${status}|502) `), target);
      assert.match(near.text, new RegExp(`heddle-error: (?:${code}|HED1005) `), target);
      assert.equal(near.text.match(/HTTP\/1\.1/g)?.length, 1);
      near.socket.destroy();
      await mesh.close();
    }
  });

  it("is tried at another instance when the first one's program is not there", async (context) => {
    const application = await rawServer(context, ({ socket }) => socket.write("hello"));
    const mesh = await startMesh([
      { service: "far", workload: "far-1", protocol: "http", applicationPort: NOBODY },
      { service: "far", workload: "far-2", protocol: "http", applicationPort: application.port },
    ]);
    context.after(() => mesh.close());
    for (let i = 0; i < 8; i++) {
      const near = await rawConnect(context, outboundPort(mesh));
      near.socket.write(ASK);
      await until("it is greeted", () => near.text === `${GRANTED}hello`);
      near.socket.destroy();
    }
  });
});

describe("an upstream port", () => {
  it("is a way to its own service, whatever name is asked for", async (context) => {
    const application = await rawServer(context, ({ socket }) => socket.write("mine"));
    const mesh = await startMesh(
      [{ service: "far", workload: "far-1", protocol: "detect", applicationPort: application.port }],
      [{ authority: "far", listen: ANY_PORT }],
    );
    context.after(() => mesh.close());
    const near = await rawConnect(context, mesh.caller.addresses.upstreams[0]?.port ?? 0);
    near.socket.write("CONNECT elsewhere:443 HTTP/1.1\r\nHost: elsewhere:443\r\n\r\n");
    await until("its application answers", () => near.text === `${GRANTED}mine`);
  });
});

describe("the way in", () => {
  it("is a way to its own application, whatever name is asked for", async (context) => {
    const application = await rawServer(context, ({ socket }) => socket.write("mine"));
    const other = await rawServer(context);
    const target = { host: "127.0.0.1", port: application.port };
    for (const protocol of ["http", "detect"] as const) {
      const inbound = [{ listen: ANY_PORT, target, service: "far", port: 80, protocol }];
      const proxy = await startProxy(sidecar("far-1", { inbound }));
      context.after(() => proxy.close());
      for (const name of [`127.0.0.1:${other.port}`, `localhost:${other.port}`, "far:80"]) {
        const near = await rawConnect(context, proxy.addresses.inbound[0]?.port ?? 0);
        near.socket.write(`CONNECT ${name} HTTP/1.1\r\nHost: ${name}\r\n\r\n`);
        await until("its application answers", () => near.text === `${GRANTED}mine`);
        near.socket.destroy();
      }
    }
    assert.equal(other.peers.length, 0);
  });

  it("lets tunnels live while it drains, until the grace period is over", async (context) => {
    const application = await rawServer(context, ({ socket }) => socket.pipe(socket));
    const target = { host: "127.0.0.1", port: application.port };
    const inbound = [{ listen: ANY_PORT, target, service: "far", port: 80, protocol: "http" as const }];
    const grace = { inbound, shutdownGraceMs: 60_000 };
    const patient = await startProxy(sidecar("far-1", grace));
    const hasty = await startProxy(sidecar("far-1", { ...grace, shutdownGraceMs: 50 }));
    context.after(() => [patient, hasty].forEach((proxy) => proxy.close()));
    const peers: RawPeer[] = [];
    for (const proxy of [patient, hasty]) {
      const near = await rawConnect(context, proxy.addresses.inbound[0]?.port ?? 0);
      near.socket.write(ASK);
      await until("it is granted", () => near.text === GRANTED);
      peers.push(near);
    }
    const [first, second] = peers as [RawPeer, RawPeer];
    const drained = patient.drain();
    await hasty.drain();
    await until("the hasty one has cut it", () => second.closed === "ECONNRESET");
    first.socket.write("alive");
    await until("the patient one has not", () => through(first) === "alive");
    first.socket.end();
    await drained;
    await until("it has ended in good order", () => first.closed === "end");
  });
});

async function session(context: TestContext, port: number): Promise<http2.ClientHttp2Session> {
  const client = http2.connect(`http://127.0.0.1:${port}`);
  context.after(() => client.destroy());
  client.on("error", () => {});
  await once(client, "connect");
  return client;
}

function connect(client: http2.ClientHttp2Session, authority: string): http2.ClientHttp2Stream {
  return client.request({ ":method": "CONNECT", ":authority": authority }, { endStream: false });
}

/** All that a stream says, and how it ends. */
function watch(stream: http2.ClientHttp2Stream): { text: string; status: number; ended: boolean; code: string } {
  const state = { text: "", status: 0, ended: false, code: "" };
  stream.on("response", (headers) => (state.status = Number(headers[":status"])));
  stream.on("data", (chunk: Buffer) => (state.text += chunk.toString()));
  stream.on("end", () => (state.ended = true));
  stream.on("error", (error: Error) => (state.code = error.message.replace(/^.*(?:code|with) /, "")));
  return state;
}

describe("CONNECT over HTTP/2", () => {
  for (const kind of KINDS) {
    it(`carries what is sent before the answer too, and each end on its own (${kind})`, async (context) => {
      const server = await rawServer(context);
      const mesh = await meshWith(context, kind, server.port);
      const stream = connect(await session(context, outboundPort(mesh)), "far:80");
      const near = watch(stream);
      stream.write("early, ");
      await until("it arrives", () => server.peers[0]?.text === "early, ");
      const far = only(server);
      await until("it is granted", () => near.status === 200);
      far.socket.write("heard");
      await until("it is answered", () => near.text === "heard");
      stream.end("late");
      await until("the end arrives", () => far.ended);
      assert.equal(far.text, "early, late");
      far.socket.end(", bye");
      await until("the other end arrives", () => near.ended);
      assert.equal(near.text, "heard, bye");
      assert.equal(near.code, "");
      await until("the far connection is closed in good order", () => far.closed === "end");
    });

    it(`turns RST_STREAM into RST, and RST into CONNECT_ERROR (${kind})`, async (context) => {
      const server = await rawServer(context, ({ socket }) => socket.write("hi"));
      const mesh = await meshWith(context, kind, server.port);
      const client = await session(context, outboundPort(mesh));
      const first = connect(client, "far:80");
      const cancelled = watch(first);
      await until("it is open", () => cancelled.text === "hi");
      first.close(http2.constants.NGHTTP2_CANCEL);
      const far = only(server);
      // Node puts END_STREAM before its RST_STREAM, so the far end has to say something to see more than a FIN.
      await until("the far end sees an RST", () => {
        far.socket.write("?");
        return far.closed === "ECONNRESET" || far.closed === "EPIPE";
      });
      const cut = watch(connect(client, "far:80"));
      await until("it is open", () => cut.text === "hi");
      server.peers[1]?.socket.resetAndDestroy();
      await until("the stream is reset", () => cut.code !== "");
      assert.equal(cut.code, "NGHTTP2_CONNECT_ERROR");
      client.destroy();
      await nothingLeft({ mesh });
    });
  }

  it("is declined with an answer, and the connection goes on", async (context) => {
    const application = await startApplication("far-1");
    context.after(() => application.close());
    const mesh = await meshWith(context, "meshed", application.port);
    const client = await session(context, outboundPort(mesh));
    for (const authority of ["nobody:80", "nobody:81"]) {
      const stream = connect(client, authority);
      const near = watch(stream);
      stream.write("for the tunnel only");
      await until("it is declined", () => near.status === 404 && near.text.includes("HED1001"));
    }
    const request = client.request({ ":path": "/", ":authority": "far" });
    const near = watch(request);
    await until("a request is answered", () => near.ended);
    assert.equal(near.status, 200);
    assert.equal(application.requests, 1);
  });

  it("to no host and port is malformed", async (context) => {
    const mesh = await meshWith(context, "meshed", NOBODY);
    const client = await session(context, outboundPort(mesh));
    for (const authority of ["far", "far:0", "far:x", ":80", "u@far:80"]) {
      const near = watch(connect(client, authority));
      await until(`${authority} is refused`, () => near.code !== "");
      assert.equal(near.code, "NGHTTP2_PROTOCOL_ERROR", authority);
    }
  });
});
