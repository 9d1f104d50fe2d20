/** External authorization in front of a whole sidecar, by a real gRPC server. */
import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { describe, it, type TestContext } from "node:test";

import * as grpc from "@grpc/grpc-js";

import type { ExternalAuthorizer, InboundPolicy } from "../src/model/inbound-policy.ts";
import { type Application, startApplication } from "./support/application.ts";
import { type Authorizer, startAuthorizer } from "./support/authorizer.ts";
import { metricSum } from "./support/mesh.ts";
import { onPath, policedSidecar, policyOf, rule } from "./support/policed.ts";
import { rawConnect, rawServer } from "./support/raw.ts";
import { until } from "./support/until.ts";

const OK = { status: { code: 0 } };
const DENIED = { status: { code: 7 } };

async function application(context: TestContext): Promise<Application> {
  const one = await startApplication("price");
  context.after(() => one.close());
  return one;
}

/** Asks about everything; then everything else is allowed but /never. */
function asking({ address }: { address: string }, over: Partial<ExternalAuthorizer> = {}): InboundPolicy {
  const ask = { ...rule("external", "ask"), provider: "opa" };
  return policyOf("allow", [ask, rule("deny", "never", onPath("/never"))], {
    providers: [{ name: "opa", address, timeoutMs: 2_000, failOpen: false, ...over }],
  });
}

/** Says no to /no. */
function mind(request: { attributes: { request: { http: { path: string } | null } } }): object {
  return request.attributes.request.http?.path.startsWith("/no") === true ? DENIED : OK;
}

function pass(bytes: Buffer): Buffer {
  return bytes;
}

async function silent(context: TestContext): Promise<{ address: string }> {
  const server = await rawServer(context);
  return { address: `127.0.0.1:${server.port}` };
}

async function stopped(context: TestContext): Promise<Authorizer> {
  const authorizer = await startAuthorizer(context, mind);
  authorizer.stop();
  return authorizer;
}

function answering(answer: () => object | undefined): (context: TestContext) => Promise<Authorizer> {
  return (context) => startAuthorizer(context, answer);
}

function field(key: string, value: string, over: object = {}): object {
  return { header: { key, value }, ...over };
}

describe("a sidecar with an external authorizer", () => {
  it("tells it who asks for what, and does as it says", async (context) => {
    const app = await application(context);
    const authorizer = await startAuthorizer(context, mind);
    const sidecar = await policedSidecar(context, { applicationPort: app.port, policy: asking(authorizer) });
    const headers = { "X-Team": ["a", "b"], host: "price:80" };
    assert.equal((await sidecar.get("/yes?q=1", { headers })).status, 200);
    const refused = await sidecar.get("/no");
    assert.deepEqual([refused.status, refused.headers["heddle-error"]], [403, "HED1018 external_denied"]);
    assert.equal(app.requests, 1);
    const [asked] = authorizer.requests;
    const { source, destination, request } = asked?.attributes ?? assert.fail();
    assert.equal(source.principal, "");
    assert.match(JSON.stringify(source.address), /"address":"127.0.0.1"/);
    assert.match(JSON.stringify(destination.address), /"port_value":80/);
    assert.ok(Math.abs(Number(request.time.seconds) - Date.now() / 1_000) < 60);
    const { method, path, host, scheme, protocol, headers: fields } = request.http ?? assert.fail();
    assert.deepEqual([method, path, host, scheme, protocol], ["GET", "/yes?q=1", "price:80", "http", "HTTP/1.1"]);
    assert.equal(fields["x-team"], "a,b");
    assert.equal(fields[":path"], "/yes?q=1");
    assert.equal(metricSum(await sidecar.metrics(), "inbound_http_errors_total", 'error="external_denied"'), 1);
  });

  it("is not asked about what is refused anyway", async (context) => {
    const app = await application(context);
    const authorizer = await startAuthorizer(context, mind);
    const sidecar = await policedSidecar(context, { applicationPort: app.port, policy: asking(authorizer) });
    assert.equal((await sidecar.get("/never")).headers["heddle-error"], "HED1015 forbidden");
    assert.equal(authorizer.requests.length, 0);
  });

  it("changes the request and the answer as it says", async (context) => {
    const app = await application(context);
    const authorizer = await startAuthorizer(context, () => ({
      ...OK,
      ok_response: {
        headers: [
          field("X-User", "ann"),
          field("x-added", "2", { append: { value: true } }),
          field("x-absent", "3", { append_action: "OVERWRITE_IF_EXISTS" }),
        ],
        headers_to_remove: ["X-Secret"],
        response_headers_to_add: [field("x-checked", "yes")],
      },
    }));
    const sidecar = await policedSidecar(context, { applicationPort: app.port, policy: asking(authorizer) });
    const sent = { "x-user": "root", "x-added": "1", "x-secret": "s" };
    const { body, headers } = await sidecar.get("/", { headers: sent });
    const got = (JSON.parse(body) as { headers: string[] }).headers;
    const values = (name: string): string[] => got.filter((_, i) => i % 2 === 1 && got[i - 1] === name);
    assert.deepEqual(["x-user", "x-added", "x-absent", "x-secret"].map(values), [["ann"], ["1", "2"], [], []]);
    assert.equal(headers["x-checked"], "yes");
  });

  it("passes its refusals on: status, fields, body, and for gRPC the status of gRPC", async (context) => {
    const app = await application(context);
    const authorizer = await startAuthorizer(context, () => ({
      status: { code: 16 },
      denied_response: {
        status: { code: 302 },
        headers: [{ header: { key: "location", value: "https://login.example/" } }],
        body: "log in first",
      },
    }));
    const sidecar = await policedSidecar(context, { applicationPort: app.port, policy: asking(authorizer) });
    const { status, headers, body } = await sidecar.get("/");
    assert.deepEqual([status, headers.location, body], [302, "https://login.example/", "log in first"]);
    assert.equal((await sidecar.get("/", { method: "HEAD" })).status, 302);
    authorizer.answer = () => ({ ...DENIED, denied_response: { status: { code: 401 }, body: "who are you?" } });
    const client = new grpc.Client(`127.0.0.1:${sidecar.port}`, grpc.credentials.createInsecure());
    context.after(() => client.close());
    const error = await new Promise<grpc.ServiceError | null>((resolve) => {
      client.makeUnaryRequest("/a.B/C", pass, pass, Buffer.alloc(0), (failure) => resolve(failure));
    });
    assert.deepEqual([error?.code, error?.details], [grpc.status.UNAUTHENTICATED, "HED1018: who are you?"]);
    authorizer.answer = () => ({ ...DENIED, denied_response: { status: { code: 200 } } });
    assert.equal((await sidecar.get("/")).status, 403);
    assert.equal(app.requests, 0);
  });

  const failing: readonly (readonly [string, (context: TestContext) => Promise<{ address: string }>, RegExp])[] = [
    ["is not there", stopped, /ECONNREFUSED/],
    ["accepts and says nothing", silent, /no answer within 200 ms/],
    ["does not answer", answering(() => undefined), /no answer within 200 ms/],
    ["fails", answering(() => assert.fail("broken")), /gRPC status INTERNAL/],
    [
      "wants what must not be",
      answering(() => ({ ...OK, ok_response: { headers: [{ header: { key: "Host", value: "x" } }] } })),
      /wants to set the field \\"host\\"/,
    ],
    [
      "wants to change the query",
      answering(() => ({ ...OK, ok_response: { query_parameters_to_remove: ["a"] } })),
      /change the query/,
    ],
    [
      "would split the answer",
      answering(() => ({ ...DENIED, denied_response: { headers: [{ header: { key: "a", value: "b\r\nc: d" } }] } })),
      /wants to set the field \\"a\\"/,
    ],
  ];
  for (const [what, start, why] of failing) {
    it(`that ${what} lets nothing pass, or everything if that is wanted`, async (context) => {
      const app = await application(context);
      const authorizer = await start(context);
      const policy = asking(authorizer, { timeoutMs: 200 });
      const sidecar = await policedSidecar(context, { applicationPort: app.port, policy });
      const refused = await sidecar.get("/");
      assert.deepEqual([refused.status, refused.headers["heddle-error"]], [403, "HED1019 authorizer_unavailable"]);
      assert.match(sidecar.log.join(""), why);
      assert.equal(app.requests, 0);
      sidecar.set(asking(authorizer, { timeoutMs: 200, failOpen: true }));
      assert.equal((await sidecar.get("/")).status, 200);
    });
  }

  it("is found again when it comes back, and asked many things at once over one connection", async (context) => {
    const app = await application(context);
    const authorizer = await startAuthorizer(context, mind);
    const sidecar = await policedSidecar(context, { applicationPort: app.port, policy: asking(authorizer) });
    const paths = Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? "/yes" : "/no"));
    const statuses = await Promise.all(paths.map(async (path) => (await sidecar.get(path)).status));
    assert.deepEqual(
      statuses,
      paths.map((path) => (path === "/yes" ? 200 : 403)),
    );
    authorizer.stop();
    assert.equal((await sidecar.get("/yes")).headers["heddle-error"], "HED1019 authorizer_unavailable");
    const other = await startAuthorizer(context, mind);
    sidecar.set(asking(other));
    assert.equal((await sidecar.get("/yes")).status, 200);
  });

  it("whose host is gone without a word is dialled anew", async (context) => {
    const app = await application(context);
    const authorizer = await startAuthorizer(context, mind);
    const port = Number(authorizer.address.split(":")[1]);
    const relay = await rawServer(context, ({ socket }) => {
      if (relay.peers.length === 1) return;
      const far = net.connect(port, "127.0.0.1");
      far.on("error", () => {});
      context.after(() => far.destroy());
      socket.pipe(far).pipe(socket);
    });
    const policy = asking({ address: `127.0.0.1:${relay.port}` }, { timeoutMs: 300 });
    const sidecar = await policedSidecar(context, { applicationPort: app.port, policy });
    assert.equal((await sidecar.get("/yes")).status, 403);
    assert.equal((await sidecar.get("/yes")).status, 200);
    assert.equal(relay.peers.length, 2);
  });

  it("is asked about byte streams, too, and they wait for it", async (context) => {
    const server = await rawServer(context, ({ socket }) => socket.pipe(socket));
    const authorizer = await startAuthorizer(context, () => OK);
    const policy = asking(authorizer);
    const all = { ...policy, layers: policy.layers.map((layer) => ({ ...layer, rules: layer.rules.slice(0, 1) })) };
    const sidecar = await policedSidecar(context, { applicationPort: server.port, protocol: "opaque", policy: all });
    const near = await rawConnect(context, sidecar.port);
    near.socket.write("hello");
    await until("it is through", () => near.text === "hello");
    assert.equal(authorizer.requests[0]?.attributes.request.http, null);
    authorizer.answer = () => DENIED;
    const refused = net.connect(sidecar.port, "127.0.0.1");
    context.after(() => refused.destroy());
    const [error] = (await once(refused, "error")) as [NodeJS.ErrnoException];
    assert.equal(error.code, "ECONNRESET");
    assert.equal(server.peers.length, 1);
    assert.equal(metricSum(await sidecar.metrics(), "inbound_tcp_errors_total", 'error="external_denied"'), 1);
  });
});
