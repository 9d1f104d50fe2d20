import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { API_TOKEN, AUTHORIZED } from "../../test/support/api-token.ts";
import { openPolicy } from "../model/inbound-policy.ts";
import { emptyMesh, type Mesh } from "../model/mesh.ts";
import { VirtualClock } from "../net/virtual-clock.ts";
import { ApiError } from "./api-error.ts";
import { BODY_BYTES_MAX, createApi, type ApiState } from "./api.ts";
import type { IdentityApi } from "./identity/api.ts";
import { buildMesh } from "./mesh-builder.ts";
import { Registry, WORKLOADS_MAX } from "./sources/registry.ts";
import { registration, registrationBody } from "./testing/registration.ts";
import type { EdgeQuery } from "./stat/edges.ts";
import type { StatQuery } from "./stat/stat-table.ts";
import { recordingLogger } from "./testing/logger.ts";

/** Its routes have their own tests. */
const noIdentity: IdentityApi = {
  joinToken: () => "full",
  rotate: () => Promise.resolve("under way"),
  get status(): never {
    throw new Error("not asked for here");
  },
};

const settings = { trustDomain: "mesh.test", policyOf: () => openPolicy };

function setUp(more: Partial<ApiState> = {}) {
  const { logger } = recordingLogger();
  const registry = new Registry({ clock: new VirtualClock(), logger, onChange: () => {} });
  const queries: StatQuery[] = [];
  const edgeQueries: EdgeQuery[] = [];
  const internal: string[] = [];
  const app = createApi({
    version: "1.2.3",
    apiToken: API_TOKEN.secret,
    xds: () => "127.0.0.1:4181",
    insecureXds: false,
    registry,
    ready: () => true,
    mesh: (): Mesh => (registry.size === 0 ? emptyMesh : buildMesh([], registry.all(), settings).mesh),
    nodes: () => [],
    sources: () => [{ name: "/m.yaml", kind: "file", state: "ok", loadedAt: null, diagnostics: [] }],
    stat: (query) => {
      queries.push(query);
      return [];
    },
    edges: (query) => {
      edgeQueries.push(query);
      return [];
    },
    authz: {
      list: () => [],
      explain: () => {
        throw new ApiError("not-found", "nobody");
      },
      generate: () => ({ documents: [], notes: [] }),
    },
    identity: noIdentity,
    metrics: () => "# metrics\n",
    onInternalError: (error, path) => internal.push(`${path}: ${error.message}`),
    ...more,
  });
  const call = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const init = {
      method,
      headers: { host: "localhost", ...AUTHORIZED, ...headers },
      ...(text === undefined ? {} : { body: text }),
    };
    const response = await app.request(path, init);
    const answer = await response.text();
    return { status: response.status, headers: response.headers, text: answer, json: parse(answer) };
  };
  return { app, registry, queries, edgeQueries, internal, call };
}

type Json = { error: { code: string; message: string; hint: string; fields?: unknown[] } } & Record<string, unknown>;

function parse(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return {} as Json;
  }
}

describe("the API", () => {
  it("says that it lives, is ready, and which version it is", async () => {
    const { call } = setUp();
    assert.equal((await call("GET", "/live")).text, "live\n");
    assert.equal((await call("GET", "/ready")).status, 200);
    assert.equal((await setUp({ ready: () => false }).call("GET", "/ready")).status, 503);
    assert.deepEqual((await call("GET", "/api/v1/version")).json, {
      version: "1.2.3",
      xds: "127.0.0.1:4181",
      insecureXds: false,
    });
    const metrics = await call("GET", "/metrics");
    assert.equal(metrics.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert.equal(metrics.headers.get("server"), "heddle");
  });

  it("registers, renews, shows and forgets workloads", async () => {
    const { call } = setUp();
    const path = "/api/v1/workloads/default/price-1";
    assert.equal((await call("PUT", path, registrationBody)).status, 201);
    assert.equal((await call("PUT", path, registrationBody)).status, 200);
    assert.equal((await call("PUT", "/api/v1/workloads/default/a", { ...registrationBody, ports: [] })).status, 201);
    assert.equal((await call("PUT", path, { ...registrationBody, health: "unhealthy" })).status, 200);
    assert.equal((await call("GET", path)).json["health"], "unhealthy");
    const list = (await call("GET", "/api/v1/workloads")).json as unknown as { name: string; ttlSeconds: number }[];
    assert.deepEqual(
      list.map(({ name, ttlSeconds }) => [name, ttlSeconds]),
      [
        ["a", 10],
        ["price-1", 10],
      ],
    );
    assert.deepEqual((await call("GET", "/api/v1/services")).json, [
      {
        name: "price",
        namespace: "default",
        ports: [{ name: "http", port: 80, protocol: "http" }],
        endpoints: { ready: 0, total: 1 },
      },
    ]);
    const endpoints = [
      {
        namespace: "default",
        service: "price",
        port: 80,
        portName: "http",
        protocol: "http",
        workload: "price-1",
        ip: "127.0.0.1",
        endpointPort: 20_001,
        health: "unhealthy",
        weight: 1,
        labels: {},
        meshed: true,
      },
    ];
    assert.deepEqual((await call("GET", "/api/v1/endpoints")).json, endpoints);
    assert.deepEqual((await call("GET", "/api/v1/endpoints?service=price&namespace=default")).json, endpoints);
    assert.deepEqual((await call("GET", "/api/v1/endpoints?service=cart")).json, []);
    assert.deepEqual((await call("GET", "/api/v1/endpoints?namespace=shop")).json, []);
    assert.equal((await call("DELETE", path)).status, 204);
    const gone = await call("DELETE", path);
    assert.equal(gone.status, 404);
    assert.match(gone.json.error.message, /no workload price-1 is registered in the namespace default/);
  });

  it("says what is wrong with a registration", async () => {
    const { call, registry } = setUp();
    const bad = await call("PUT", "/api/v1/workloads/default/price-1", { ...registrationBody, ttlSeconds: 1 });
    assert.equal(bad.status, 422);
    assert.deepEqual(bad.json.error, {
      code: "bad-fields",
      message: "ttlSeconds: expected a whole number, 5 to 3600",
      hint: "",
      fields: [{ field: "ttlSeconds", message: "expected a whole number, 5 to 3600" }],
    });
    const path = await call("PUT", "/api/v1/workloads/default/Price_1", registrationBody);
    assert.match(path.json.error.message, /^name: expected a DNS label/);
    const torn = await call("PUT", "/api/v1/workloads/default/price-1", '{"ports":');
    assert.deepEqual([torn.status, torn.json.error.code], [400, "bad-json"]);
    assert.deepEqual((await call("PUT", "/api/v1/workloads/default/price-1", "")).status, 400);
    assert.equal(registry.size, 0);
  });

  it("has room for so many workloads", async () => {
    const { call, registry } = setUp();
    registry.restore(Array.from({ length: WORKLOADS_MAX }, (_, i) => registration(`w-${i}`)));
    const { status, json } = await call("PUT", "/api/v1/workloads/default/one-more", registrationBody);
    assert.deepEqual([status, json.error.code], [507, "full"]);
  });

  it("reads bodies up to 1 MiB, whether their length is announced or not", async () => {
    const { app, call } = setUp();
    const path = "/api/v1/workloads/default/price-1";
    const large = `${JSON.stringify(registrationBody)}${" ".repeat(BODY_BYTES_MAX)}`;
    const announced = await call("PUT", path, large, { "content-length": String(large.length) });
    assert.deepEqual([announced.status, announced.json.error.code], [413, "too-large"]);
    const chunk = new Uint8Array(64 * 1024).fill(32);
    const stream = (chunks: number): ReadableStream =>
      new ReadableStream({
        start(controller) {
          for (let i = 0; i < chunks; i++) controller.enqueue(chunk);
          controller.enqueue(Buffer.from(JSON.stringify(registrationBody)));
          controller.close();
        },
      });
    const send = async (chunks: number): Promise<number> => {
      const init = {
        method: "PUT",
        headers: { host: "localhost", ...AUTHORIZED },
        body: stream(chunks),
        duplex: "half",
      };
      return (await app.request(path, init as RequestInit)).status;
    };
    assert.equal(await send(16), 413);
    assert.equal(await send(15), 201);
  });

  it("answers only under loopback names and its own address", async () => {
    const { call } = setUp();
    const { status, json } = await call("GET", "/api/v1/services", undefined, { host: "evil.example:4180" });
    assert.equal(status, 403);
    assert.equal(json.error.message, 'the API is not served under the name "evil.example:4180"');
    assert.equal((await call("GET", "/live", undefined, { host: "127.0.0.1:4180" })).status, 200);
    assert.equal((await call("GET", "/nothing", undefined, { host: "evil.example" })).status, 403);
  });

  it("helps whoever mistypes a path, a method or a parameter", async () => {
    const { call } = setUp();
    const path = await call("GET", "/api/v1/servises");
    assert.deepEqual([path.status, path.json.error.hint], [404, "did you mean /api/v1/services?"]);
    const far = await call("GET", "/favicon.ico");
    assert.deepEqual(far.json.error, { code: "not-found", message: "there is nothing at /favicon.ico", hint: "" });
    const method = await call("POST", "/api/v1/workloads/default/price-1", {});
    assert.deepEqual([method.status, method.json.error.hint], [405, "it answers GET, PUT, DELETE"]);
    assert.equal(method.headers.get("allow"), "GET, PUT, DELETE");
    const parameter = await call("GET", "/api/v1/stat?windw=60s");
    assert.deepEqual([parameter.status, parameter.json.error.hint], [400, "did you mean window?"]);
    assert.equal((await call("GET", "/api/v1/endpoints?banana=1")).json.error.hint, "known: service, namespace");
    const workload = await call("GET", "/api/v1/workloads/default/price-1");
    assert.equal(workload.json.error.hint, "/api/v1/workloads lists all");
  });

  it("suggests a registered workload", async () => {
    const { call, registry } = setUp();
    registry.put(registration("price-1"));
    assert.equal((await call("DELETE", "/api/v1/workloads/default/pirce-1")).json.error.hint, "did you mean price-1?");
  });

  it("takes no orders from web pages of others", async () => {
    const { app, registry } = setUp();
    const send = async (origin: string | undefined, host = "127.0.0.1:4180"): Promise<number> => {
      const headers = { host, ...AUTHORIZED, ...(origin === undefined ? {} : { origin }) };
      const body = JSON.stringify(registrationBody);
      return (await app.request("/api/v1/workloads/default/price-1", { method: "PUT", headers, body })).status;
    };
    for (const origin of ["http://evil.example", "null", "http://127.0.0.1:3000", "https://127.0.0.1:4180"]) {
      assert.equal(await send(origin), 403, origin);
    }
    assert.equal(registry.size, 0);
    assert.equal(await send("http://127.0.0.1:4180"), 201);
    assert.equal(await send(undefined), 200);
    const explain = { method: "POST", headers: { host: "localhost", origin: "http://evil.example" }, body: "{}" };
    assert.equal((await app.request("/api/v1/authz/explain", explain)).status, 403);
    const look = { headers: { host: "localhost", origin: "http://evil.example" } };
    assert.equal((await app.request("/api/v1/services", look)).status, 200);
  });

  const changes: readonly (readonly [method: string, path: string])[] = [
    ["PUT", "/api/v1/workloads/default/price-1"],
    ["DELETE", "/api/v1/workloads/default/price-1"],
    ["POST", "/api/v1/join-tokens"],
    ["POST", "/api/v1/identity/rotation"],
    // Nothing is there, and nobody else is to learn that.
    ["POST", "/api/v1/nothing"],
    ["OPTIONS", "/api/v1/services"],
    ["PATCH", "/api/v1/authz/explain"],
    ["POST", "/api/v1/authz/explain/"],
  ];
  for (const [method, path] of changes) {
    it(`answers ${method} ${path} to nobody without the API token`, async () => {
      const { call, registry } = setUp();
      registry.put(registration("price-1"));
      const { secret } = API_TOKEN;
      const wrong = ["", "Bearer", "Bearer ", `Bearer ${secret}x`, `Basic ${btoa(`x:${secret}`)}`, `Basic ${secret}`];
      for (const authorization of wrong) {
        const { status, headers, text, json } = await call(method, path, registrationBody, { authorization });
        assert.deepEqual([status, headers.get("www-authenticate")], [401, "Bearer"], authorization);
        assert.equal(json.error.code, "unauthorized");
        assert.match(json.error.hint, /Authorization: Bearer TOKEN/);
        assert.ok(!text.includes(secret));
      }
      assert.equal(registry.size, 1);
      assert.notEqual((await call(method, path, registrationBody)).status, 401, "with the token it is another matter");
    });
  }

  it("changes nothing by a route that nobody has thought of here", () => {
    const { app } = setUp();
    const others = app.routes
      .filter(({ method }) => !["GET", "ALL"].includes(method))
      .map(({ method, path }) => `${method} ${path.replace(":namespace", "default").replace(":name", "price-1")}`);
    const known = [...changes.map(([method, path]) => `${method} ${path}`), "POST /api/v1/authz/explain"];
    assert.deepEqual(
      [...new Set(others)].filter((route) => !known.includes(route)),
      [],
    );
  });

  it("answers whoever looks or asks without the API token, or with a wrong one", async () => {
    const { call } = setUp();
    for (const authorization of ["", "Bearer nonsense"]) {
      for (const path of ["/live", "/ready", "/metrics", "/api/v1/version", "/api/v1/services", "/api/v1/workloads"]) {
        for (const method of ["GET", "HEAD"]) {
          assert.equal((await call(method, path, undefined, { authorization })).status, 200, `${method} ${path}`);
        }
      }
      const question = await call("POST", "/api/v1/authz/explain", { from: "a", to: "b" }, { authorization });
      assert.deepEqual([question.status, question.json.error.message], [404, "nobody"]);
    }
  });

  it("reads the parameters of stat", async () => {
    const { call, queries } = setUp();
    await call("GET", "/api/v1/stat");
    await call("GET", "/api/v1/stat?window=10m&by=workload&namespace=shop&service=price");
    await call("GET", "/api/v1/stat?window=1500ms");
    assert.deepEqual(queries, [
      { windowMs: 60_000, by: "service", namespace: undefined, service: undefined },
      { windowMs: 600_000, by: "workload", namespace: "shop", service: "price" },
      { windowMs: 1_500, by: "service", namespace: undefined, service: undefined },
    ]);
    for (const bad of ["window=60", "window=0s", "window=999ms", "window=11m", "window=soon", "by=pod"]) {
      assert.equal((await call("GET", `/api/v1/stat?${bad}`)).status, 400, bad);
    }
  });

  it("reads the parameters of edges", async () => {
    const { call, edgeQueries } = setUp();
    await call("GET", "/api/v1/edges");
    await call("GET", "/api/v1/edges?window=5m&by=workload&namespace=shop");
    assert.deepEqual(edgeQueries, [
      { windowMs: 60_000, by: "service", namespace: undefined },
      { windowMs: 300_000, by: "workload", namespace: "shop" },
    ]);
    assert.equal((await call("GET", "/api/v1/edges?service=price")).status, 400);
  });

  it("does not tell strangers about its own mistakes", async () => {
    const { call, internal } = setUp({
      nodes: () => {
        throw new Error("secret");
      },
    });
    const { status, text } = await call("GET", "/api/v1/proxies");
    assert.equal(status, 500);
    assert.ok(!text.includes("secret"));
    assert.deepEqual(internal, ["/api/v1/proxies: secret"]);
  });
});
