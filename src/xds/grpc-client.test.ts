/** Real proxyless gRPC clients (`@grpc/grpc-js-xds`) on our server. */
import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { after, afterEach, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

import { Server, ServerCredentials } from "@grpc/grpc-js";

import { until } from "../../test/support/until.ts";
import type { Endpoint } from "../model/endpoint.ts";
import { emptyMesh, type Mesh } from "../model/mesh.ts";
import type { Route } from "../model/route.ts";
import { type CallRequest, type CallResult, ECHO_PATH } from "./testing/grpc-caller.ts";
import { serveMesh, type ServedMesh } from "./testing/served-mesh.ts";

/** gRPC status codes. */
const OK = 0;
const DEADLINE_EXCEEDED = 4;
const UNAVAILABLE = 14;

const asIs = (bytes: Buffer): Buffer => bytes;

/** Answers with its name; to "slow" never. */
class EchoServer {
  readonly name: string;
  readonly #server = new Server();
  port = 0;
  calls = 0;

  constructor(name: string) {
    this.name = name;
    const who = { path: ECHO_PATH, requestStream: false, responseStream: false };
    const codec = {
      requestSerialize: asIs,
      requestDeserialize: asIs,
      responseSerialize: asIs,
      responseDeserialize: asIs,
    };
    this.#server.addService(
      { who: { ...who, ...codec } },
      {
        who: (_call: unknown, answer: (error: null, value: Buffer) => void) => {
          this.calls++;
          if (name !== "slow") answer(null, Buffer.from(name));
        },
      },
    );
  }

  async start(): Promise<void> {
    this.port = await new Promise((resolve, reject) =>
      this.#server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
        error === null ? resolve(port) : reject(error),
      ),
    );
  }

  get endpoint(): Endpoint {
    return {
      address: "127.0.0.1",
      port: this.port,
      workload: this.name,
      locality: { region: "", zone: "", subZone: "" },
      weight: 1,
      health: "healthy",
      labels: {},
      meshed: false,
      identity: "",
    };
  }

  stop(): void {
    this.#server.forceShutdown();
  }
}

/** A child process with a gRPC client in it. */
class Caller {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (result: CallResult) => void>();
  #lastId = 0;

  constructor(xdsPort: number) {
    const bootstrap = {
      xds_servers: [{ server_uri: `127.0.0.1:${xdsPort}`, channel_creds: [{ type: "insecure" }] }],
      node: { id: "grpc-client-1", locality: { region: "", zone: "", sub_zone: "" } },
    };
    this.#child = fork(fileURLToPath(new URL("testing/grpc-caller.ts", import.meta.url)), {
      env: { ...process.env, GRPC_XDS_BOOTSTRAP_CONFIG: JSON.stringify(bootstrap) },
      execArgv: [],
    });
    this.#child.on("message", (message) => {
      const result = message as CallResult;
      this.#waiting.get(result.id)?.(result);
      this.#waiting.delete(result.id);
    });
  }

  call(target: string, deadlineMs = 10_000): Promise<CallResult> {
    const request: CallRequest = { id: ++this.#lastId, target, deadlineMs };
    return new Promise((resolve) => {
      this.#waiting.set(request.id, resolve);
      this.#child.send(request);
    });
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}

const KEY = "price-grpc.default:9090";

function mesh(servers: readonly EchoServer[], routes: readonly Route[] = [], extra: Partial<Endpoint>[] = []): Mesh {
  const endpoints = servers.map((server, index) => ({ ...server.endpoint, ...extra[index] }));
  return {
    ...emptyMesh,
    services: [
      { name: "price-grpc", namespace: "default", ports: [{ name: "grpc", port: 9090, protocol: "grpc" }] },
      { name: "slow", namespace: "default", ports: [{ name: "grpc", port: 9090, protocol: "grpc" }] },
    ],
    endpoints: new Map([
      [KEY, endpoints.filter(({ workload }) => workload !== "slow")],
      ["slow.default:9090", endpoints.filter(({ workload }) => workload === "slow")],
    ]),
    routes: routes.length === 0 ? new Map() : new Map([[KEY, routes]]),
  };
}

describe("a gRPC client with grpc-js-xds", () => {
  const one = new EchoServer("one");
  const two = new EchoServer("two");
  const slow = new EchoServer("slow");
  let served: ServedMesh;
  let caller: Caller;

  before(async () => {
    for (const server of [one, two, slow]) await server.start();
    served = await serveMesh(mesh([one]));
    caller = new Caller(served.port);
  });

  after(async () => {
    caller.kill();
    await served.close();
    for (const server of [one, two, slow]) server.stop();
  });

  afterEach(() => {
    const nodes = served.server.nodes();
    assert.equal(nodes.length, 1);
    assert.equal(nodes[0]?.lastNack, null);
  });

  it("calls a service by every form of its name", async () => {
    for (const name of [
      "price-grpc",
      "price-grpc.default",
      "price-grpc:9090",
      "price-grpc.default.svc.cluster.local:9090",
    ]) {
      assert.deepEqual(await caller.call(`xds:///${name}`), {
        id: (await caller.call(`xds:///${name}`)).id - 1,
        code: 0,
        text: "one",
      });
    }
    const [node] = served.server.nodes();
    assert.equal(node?.id, "grpc-client-1");
    assert.ok((node?.acked ?? 0) >= 4);
  });

  it("follows the endpoints without a failed call", async () => {
    const results: CallResult[] = [];
    const going = new AbortController();
    const load = async (): Promise<void> => {
      while (!going.signal.aborted) results.push(await caller.call("xds:///price-grpc"));
    };
    const loads = [load(), load()];
    const answering = (text: string) => () => results.slice(-10).every((result) => result.text === text);
    await until("calls", () => results.length >= 10);
    served.server.setMesh(mesh([one, two]));
    await until("both answer", () => results.slice(-20).some(({ text }) => text === "two"));
    served.server.setMesh(mesh([two]));
    await until("only the second answers", answering("two"));
    // An unhealthy endpoint and one in a locality without a healthy one get nothing.
    const elsewhere = { locality: { region: "far", zone: "", subZone: "" }, health: "draining" as const };
    served.server.setMesh(mesh([one, two], [], [{}, elsewhere]));
    await until("only the first answers", answering("one"));
    going.abort();
    await Promise.all(loads);
    assert.deepEqual(
      results.filter(({ code }) => code !== 0),
      [],
    );
  });

  it("obeys weights and timeouts", async () => {
    const route: Route = {
      name: "split",
      match: { path: { kind: "prefix", value: "/" }, method: "", headers: [] },
      backends: [
        { backend: KEY, weight: 10 },
        { backend: "slow.default:9090", weight: 10 },
      ],
      timeoutMs: 200,
    };
    served.server.setMesh(mesh([one, slow], [route]));
    await until("the split", async () => (await caller.call("xds:///price-grpc", 5_000)).code === DEADLINE_EXCEEDED);
    const results = await Promise.all(Array.from({ length: 60 }, () => caller.call("xds:///price-grpc", 5_000)));
    const slowOnes = results.filter(({ code }) => code === DEADLINE_EXCEEDED).length;
    const quickOnes = results.filter(({ code }) => code === OK).length;
    assert.equal(slowOnes + quickOnes, 60, JSON.stringify(results));
    // Binomial: outside this range once in ten million runs.
    assert.ok(slowOnes > 9 && slowOnes < 51, `${slowOnes} of 60`);
  });

  it("fails at once where there is no such service or no endpoint, and recovers", async () => {
    served.server.setMesh(mesh([one]));
    const started = performance.now();
    const nobody = await caller.call("xds:///nobody");
    assert.equal(nobody.code, UNAVAILABLE, nobody.text);
    assert.match(nobody.text, /Failed to route call/);
    assert.equal((await caller.call("xds:///slow:9090")).code, UNAVAILABLE);
    assert.ok(performance.now() - started < 3_000);

    const renamed = mesh([one]);
    const services = [
      { ...renamed.services[0], name: "nobody" } as (typeof renamed.services)[number],
      ...renamed.services,
    ];
    served.server.setMesh({
      ...renamed,
      services,
      endpoints: new Map([...renamed.endpoints, ["nobody.default:9090", [two.endpoint]]]),
    });
    await until("it is there", async () => (await caller.call("xds:///nobody")).text === "two");
    served.server.setMesh(renamed);
    await until("it is gone", async () => (await caller.call("xds:///nobody")).code === UNAVAILABLE);
  });

  it("is not held up by a route to a service that does not exist", async () => {
    const route: Route = {
      name: "dangling",
      match: { path: { kind: "prefix", value: "/" }, method: "", headers: [] },
      backends: [
        { backend: KEY, weight: 1_000_000 },
        { backend: "gone.default:80", weight: 0 },
      ],
      timeoutMs: 0,
    };
    served.server.setMesh(mesh([two], [route]));
    await until("the new route", async () => (await caller.call("xds:///price-grpc", 3_000)).text === "two");
  });
});
