/** Inbound policies in a whole sidecar: real sockets, real clients, policies that a test sets. */
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import net, { type AddressInfo } from "node:net";
import { describe, it, type TestContext } from "node:test";

import * as grpc from "@grpc/grpc-js";
import { WebSocket, WebSocketServer } from "ws";

import { DEFAULT_POLICIES, NO_DOCUMENT, openPolicy } from "../src/model/inbound-policy.ts";
import { VirtualClock } from "../src/net/virtual-clock.ts";
import { type Application, startApplication } from "./support/application.ts";
import { metricSum } from "./support/mesh.ts";
import { from, onPath, policedSidecar, policyOf, rule } from "./support/policed.ts";
import { rawConnect, rawServer } from "./support/raw.ts";
import { until } from "./support/until.ts";

async function application(context: TestContext): Promise<Application> {
  const one = await startApplication("price");
  context.after(() => one.close());
  return one;
}

function pass(bytes: Buffer): Buffer {
  return bytes;
}

const OTHER = { localAddress: "127.0.0.2" };
const noOthers = policyOf("deny", [rule("allow", "one", from("127.0.0.1"))]);
const nobody = policyOf("deny", []);

describe("HTTP under a policy", () => {
  it("is judged by who asks, and says who refused it", async (context) => {
    const app = await application(context);
    const sidecar = await policedSidecar(context, { applicationPort: app.port, policy: noOthers });
    assert.equal((await sidecar.get("/a")).status, 200);
    const refused = await sidecar.get("/a?token=secret", OTHER);
    assert.equal(refused.status, 403);
    assert.equal(refused.headers["heddle-error"], "HED1015 forbidden");
    assert.equal(refused.headers["heddle-hop"], "inbound price-1.default");
    assert.match(refused.body, /an unknown caller at 127\.0\.0\.2 is refused by AuthorizationPolicy shop\/otherwise\n/);
    assert.doesNotMatch(refused.body, /policies\.yaml/);
    assert.equal(app.requests, 1);
    const line = sidecar.log.find((one) => one.includes("was refused by the policy")) ?? "";
    assert.match(line, /policies\.yaml:3/);
    assert.match(
      line,
      /heddle authz explain --from 127\.0\.0\.2 --to price.default --port 80 --method GET --path \/a"/,
    );
    assert.doesNotMatch(sidecar.log.join(""), /secret/);
    const metrics = await sidecar.metrics();
    const labels = ['authz_group="security.istio.io"', 'authz_kind="authorizationpolicy"', 'srv_port="80"'];
    assert.equal(metricSum(metrics, "inbound_http_authz_allow_total", 'authz_name="one"', ...labels), 1);
    assert.equal(metricSum(metrics, "inbound_http_authz_deny_total", 'authz_name="otherwise"', ...labels), 1);
    assert.equal(metricSum(metrics, "inbound_http_errors_total", 'error="forbidden"'), 1);
  });

  it("is judged request by request, and by each new policy at once, on one connection", async (context) => {
    const app = await application(context);
    const policy = policyOf("allow", [rule("deny", "admin", onPath("/admin"))]);
    const sidecar = await policedSidecar(context, { applicationPort: app.port, policy });
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    context.after(() => agent.destroy());
    const statuses: number[] = [];
    for (const one of ["/", "/admin", "//admin", "/x/../admin", "/%61dmin", "/"]) {
      statuses.push((await sidecar.get(one, { agent })).status);
    }
    assert.deepEqual(statuses, [200, 403, 403, 403, 403, 200]);
    sidecar.set(nobody);
    assert.equal((await sidecar.get("/", { agent })).status, 403);
    sidecar.set(openPolicy);
    assert.equal((await sidecar.get("/admin", { agent })).status, 200);
    assert.equal(metricSum(await sidecar.metrics(), "tcp_open_total", 'peer="src"'), 1);
  });

  it("follows the default policies, and counts audits as such", async (context) => {
    const app = await application(context);
    const sidecar = await policedSidecar(context, { applicationPort: app.port });
    const statuses: number[] = [];
    for (const defaultPolicy of DEFAULT_POLICIES) {
      sidecar.set({ ...openPolicy, defaultPolicy });
      statuses.push((await sidecar.get("/")).status);
    }
    assert.deepEqual(statuses, [200, 403, 403, 200, 403, 200]);
    const metrics = await sidecar.metrics();
    const audit = ['authz_kind="default"', 'authz_name="audit"', 'srv_name="audit"'];
    assert.equal(metricSum(metrics, "inbound_http_authz_allow_total", ...audit), 1);
    assert.equal(metricSum(metrics, "inbound_http_authz_audit_total", ...audit), 1);
    assert.ok(sidecar.log.some((line) => line.includes("was marked by the policy")));
  });

  it("reports what rules on trial would refuse, and lets it pass", async (context) => {
    const app = await application(context);
    const trial = { ...rule("deny", "trial", onPath("/admin")), dryRun: true };
    const sidecar = await policedSidecar(context, { applicationPort: app.port, policy: policyOf("allow", [trial]) });
    assert.equal((await sidecar.get("/admin")).status, 200);
    assert.equal(metricSum(await sidecar.metrics(), "inbound_http_authz_audit_total", 'authz_name="trial"'), 1);
  });

  it("is refused without TLS of the mesh where that is strict", async (context) => {
    const app = await application(context);
    const policy = { ...openPolicy, tls: { mode: "strict" as const, origin: { ...NO_DOCUMENT, name: "mtls" } } };
    const sidecar = await policedSidecar(context, { applicationPort: app.port, policy });
    assert.equal((await sidecar.get("/")).status, 403);
    assert.match(sidecar.log.join(""), /wants TLS of the mesh/);
  });

  it("keeps the last good policy if the next cannot be obeyed, and is closed if the first cannot", async (context) => {
    const app = await application(context);
    const bad = policyOf("allow", [rule("deny", "bad", from("10.0.0.0/99"))]);
    const sidecar = await policedSidecar(context, { applicationPort: app.port, policy: noOthers });
    sidecar.set(bad);
    assert.deepEqual([(await sidecar.get("/")).status, (await sidecar.get("/", OTHER)).status], [200, 403]);
    assert.match(
      sidecar.log.join(""),
      /cannot be obeyed.*shop\/bad \(policies.yaml:3\): \\"10.0.0.0\/99\\" is no network/,
    );
    const closed = await policedSidecar(context, { applicationPort: app.port, policy: bad });
    assert.equal((await closed.get("/")).status, 403);
  });

  it("answers in HTTP/2, too, stream by stream", async (context) => {
    const app = await application(context);
    const policy = policyOf("allow", [rule("deny", "admin", onPath("/admin"))]);
    const sidecar = await policedSidecar(context, { applicationPort: app.port, policy });
    const session = http2.connect(`http://127.0.0.1:${sidecar.port}`);
    context.after(() => session.destroy());
    const ask = async (one: string): Promise<unknown> => {
      const stream = session.request({ ":path": one });
      const [headers] = (await once(stream, "response")) as [http2.IncomingHttpHeaders];
      stream.resume();
      await once(stream, "close");
      return headers[":status"];
    };
    assert.deepEqual(await Promise.all([ask("/"), ask("/admin"), ask("/")]), [200, 403, 200]);
  });

  it("tells gRPC callers PERMISSION_DENIED", async (context) => {
    const app = await application(context);
    const sidecar = await policedSidecar(context, { applicationPort: app.port, protocol: "grpc", policy: nobody });
    const client = new grpc.Client(`127.0.0.1:${sidecar.port}`, grpc.credentials.createInsecure());
    context.after(() => client.close());
    const error = await new Promise<grpc.ServiceError | null>((resolve) => {
      client.makeUnaryRequest("/shop.Price/Get", pass, pass, Buffer.alloc(0), (failure) => resolve(failure));
    });
    assert.equal(error?.code, grpc.status.PERMISSION_DENIED);
    assert.match(error?.details ?? "", /^HED1015: /);
    assert.equal(app.requests, 0);
  });
});

describe("a rate limit", () => {
  it("refuses CONNECT, inside of which nobody would count requests", async (context) => {
    const server = await rawServer(context);
    const { origin } = rule("allow", "slowly");
    const limits = [{ origin, ports: [80], total: 1, identity: 0, overrides: [] }];
    const sidecar = await policedSidecar(context, { applicationPort: server.port });
    const ask = async (): Promise<string> => {
      const peer = await rawConnect(context, sidecar.port);
      peer.socket.write("CONNECT price:80 HTTP/1.1\r\nHost: price:80\r\n\r\n");
      await until("it is answered", () => peer.text.includes("\r\n\r\n"));
      return peer.text;
    };
    assert.match(await ask(), /^HTTP\/1\.1 200 /);
    sidecar.set({ ...openPolicy, rateLimits: limits });
    assert.match(await ask(), /^HTTP\/1\.1 403 .*heddle-error: HED1015 /is);
    assert.equal(server.peers.length, 1);
  });

  it("answers 429 and RESOURCE_EXHAUSTED, and forgets nothing when something else changes", async (context) => {
    const app = await application(context);
    const clock = new VirtualClock();
    const { origin } = rule("allow", "slowly");
    const policy = { ...openPolicy, rateLimits: [{ origin, ports: [80], total: 3, identity: 2, overrides: [] }] };
    const sidecar = await policedSidecar(context, { applicationPort: app.port, policy, clock });
    const statuses = async (): Promise<number[]> => {
      const answers = [await sidecar.get("/"), await sidecar.get("/"), await sidecar.get("/")];
      return answers.map(({ status }) => status);
    };
    assert.deepEqual(await statuses(), [200, 200, 429]);
    sidecar.set({ ...policy, defaultPolicy: "audit" });
    const refused = await sidecar.get("/");
    assert.equal(refused.headers["heddle-error"], "HED1017 rate_limited");
    assert.match(refused.body, /an unknown caller at 127.0.0.1 may send 2 requests per second, by .* shop\/slowly/);
    clock.advance(1_000);
    assert.deepEqual(await statuses(), [200, 200, 429]);
    const labels = ['scope="identity"', 'ratelimit_name="slowly"'];
    assert.equal(metricSum(await sidecar.metrics(), "inbound_http_local_ratelimit_total", ...labels), 3);
    assert.equal(app.requests, 4);
  });
});

describe("tunnels under a policy", () => {
  it("are cut when the policy does not let them in any more: WebSocket", async (context) => {
    const server = http.createServer();
    const sockets = new WebSocketServer({ server });
    sockets.on("connection", (socket) => socket.on("message", (data) => socket.send(data)));
    await once(server.listen(0, "127.0.0.1"), "listening");
    context.after(() => {
      for (const client of sockets.clients) client.terminate();
      server.close();
    });
    const { port: applicationPort } = server.address() as AddressInfo;
    const sidecar = await policedSidecar(context, { applicationPort });
    const chat = policyOf("deny", [rule("allow", "chat", onPath("/chat"))]);
    const open = async (one: string): Promise<WebSocket> => {
      const socket = new WebSocket(`ws://127.0.0.1:${sidecar.port}${one}`);
      socket.on("error", () => {});
      context.after(() => socket.terminate());
      await once(socket, "open");
      return socket;
    };
    const kept = await open("/chat");
    const cut = await open("/other");
    sidecar.set(chat);
    const [code] = (await once(cut, "close")) as [number];
    assert.equal(code, 1006);
    kept.send("still here");
    const [data] = (await once(kept, "message")) as [Buffer];
    assert.equal(data.toString(), "still here");
    await assert.rejects(open("/other"), /403/);
    const metrics = await sidecar.metrics();
    assert.equal(metricSum(metrics, "inbound_tcp_authz_terminate_total"), 1);
    sidecar.set(nobody);
    await once(kept, "close");
    assert.equal(metricSum(await sidecar.metrics(), "inbound_tcp_authz_terminate_total"), 2);
  });

  it("are access to the bytes: CONNECT is judged without regard to what it says of itself", async (context) => {
    const server = await rawServer(context);
    const header = { on: "header", name: "x-pass", any: [{ kind: "present" }], not: false } as const;
    const sidecar = await policedSidecar(context, {
      applicationPort: server.port,
      policy: policyOf("deny", [rule("allow", "pass", header)]),
    });
    const ask = "CONNECT price:80 HTTP/1.1\r\nHost: price:80\r\nX-Pass: 1\r\n\r\n";
    const refused = await rawConnect(context, sidecar.port);
    refused.socket.write(ask);
    await until("it is refused", () => refused.text.startsWith("HTTP/1.1 403 "));
    assert.equal(server.peers.length, 0);
    sidecar.set(noOthers);
    const tunnel = await rawConnect(context, sidecar.port);
    tunnel.socket.write(ask);
    await until("it is granted", () => tunnel.text.startsWith("HTTP/1.1 200 "));
    sidecar.set(nobody);
    await until("both ends are cut", () => tunnel.closed !== "" && server.peers[0]?.closed !== "");
  });
});

/** Asks from an address of its own choice; refused connections may be reset at any moment. */
function caller(
  context: TestContext,
  port: number,
  localAddress: string,
  says: string,
): { text: string; closed: string } {
  const state = { text: "", closed: "" };
  const socket = net.connect({ port, host: "127.0.0.1", localAddress });
  context.after(() => socket.destroy());
  socket.on("data", (chunk: Buffer) => (state.text += chunk.toString("latin1")));
  socket.on("error", (error: NodeJS.ErrnoException) => (state.closed = error.code ?? "error"));
  socket.on("close", () => (state.closed ||= "end"));
  socket.write(says);
  return state;
}

describe("byte streams under a policy", () => {
  for (const protocol of ["opaque", "detect"] as const) {
    it(`are reset if they are refused, and the application hears nothing (${protocol})`, async (context) => {
      const server = await rawServer(context, ({ socket }) => socket.pipe(socket));
      const sidecar = await policedSidecar(context, { applicationPort: server.port, protocol, policy: noOthers });
      const good = caller(context, sidecar.port, "127.0.0.1", "\0hello");
      await until("it is through", () => good.text === "\0hello");
      const stranger = caller(context, sidecar.port, "127.0.0.2", "\0hello");
      await until("it is reset", () => stranger.closed === "ECONNRESET");
      assert.equal(server.peers.length, 1);
      const metrics = await sidecar.metrics();
      assert.equal(metricSum(metrics, "inbound_tcp_authz_allow_total", 'authz_name="one"'), 1);
      assert.equal(metricSum(metrics, "inbound_tcp_authz_deny_total", 'authz_name="otherwise"'), 1);
      assert.equal(metricSum(metrics, "inbound_tcp_errors_total", 'error="forbidden"'), 1);
      sidecar.set(nobody);
      await until(
        "both ends are reset",
        () => good.closed === "ECONNRESET" && server.peers[0]?.closed === "ECONNRESET",
      );
      assert.equal(metricSum(await sidecar.metrics(), "inbound_tcp_authz_terminate_total"), 1);
    });
  }

  it("that say nothing do not make the sidecar dial for a stranger", async (context) => {
    const server = await rawServer(context, ({ socket }) => socket.write("220 hello\r\n"));
    const sidecar = await policedSidecar(context, {
      applicationPort: server.port,
      protocol: "detect",
      policy: noOthers,
    });
    const stranger = caller(context, sidecar.port, "127.0.0.2", "");
    await until("it is reset", () => stranger.closed === "ECONNRESET");
    assert.equal(server.peers.length, 0);
    const good = caller(context, sidecar.port, "127.0.0.1", "");
    await until("it is greeted", () => good.text === "220 hello\r\n");
  });
});
