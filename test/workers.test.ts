/** A sidecar with several workers, as its own process: one thing to everybody outside. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import net, { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it, type TestContext } from "node:test";

import { AUTHORIZED } from "./support/api-token.ts";
import { SAME_SIGNAL_MS } from "../src/cli/signals.ts";
import { ANSWER_TIMEOUT_MS, QUESTIONS_MAX } from "../src/proxy/workers/workers.ts";
import { type Application, call, startApplication } from "./support/application.ts";
import { metricSum, startMesh, type TestMesh } from "./support/mesh.ts";
import { needs } from "./support/peers.ts";
import { type ProxyProcess, startProxyProcess } from "./support/proxy-process.ts";
import { rawConnect } from "./support/raw.ts";
import { until } from "./support/until.ts";
import { root } from "./support/up.ts";

/** Connections that the kernel spreads over two workers: the chance that one gets none is 2^-39. */
const CONNECTIONS = 40;

const HOOKS = join(root, "test/fixtures/worker-hooks.mjs");

/** One request on each of so many connections of their own; the agent keeps them. */
async function callOnEach(
  url: string,
  host: string,
  agent: http.Agent,
  path = "/",
): Promise<Awaited<ReturnType<typeof call>>[]> {
  return Promise.all(Array.from({ length: CONNECTIONS }, () => call(url, host, path, { agent })));
}

function keepAlive(context: TestContext): http.Agent {
  const agent = new http.Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  context.after(() => agent.destroy());
  return agent;
}

function statuses(answers: readonly { readonly status: number }[]): number[] {
  return [...new Set(answers.map(({ status }) => status))];
}

describe("a sidecar with two workers", () => {
  let application: Application;
  let mesh: TestMesh;

  before(async () => {
    application = await startApplication("price-1");
    mesh = await startMesh([
      { service: "price", workload: "price-1", protocol: "http", applicationPort: application.port },
    ]);
    // Whom the control plane does not know nobody may call.
    const url = `http://127.0.0.1:${mesh.control.apiAddress.port}/api/v1/workloads/default/gate-1`;
    const headers = { "content-type": "application/json", ...AUTHORIZED };
    const known = await fetch(url, { method: "PUT", headers, body: JSON.stringify({ ports: [], ttlSeconds: 600 }) });
    assert.ok(known.ok, await known.text());
  });
  after(async () => {
    await mesh.close();
    application.close();
  });

  function start(context: TestContext, ...words: string[]): Promise<ProxyProcess> {
    const xds = `127.0.0.1:${mesh.control.xdsAddress.port}`;
    const options = ["--workload", "gate-1", "--workers", "2", "--xds", xds, ...words];
    return startProxyProcess(context, options, { preload: [HOOKS] });
  }

  /** A gateway: calls to any service, and itself the service "gate", whose application is that of price. */
  function startBoth(context: TestContext, ...words: string[]): Promise<ProxyProcess> {
    const inbound = `127.0.0.1:0=127.0.0.1:${application.port},protocol=http`;
    return start(context, "--service", "gate", "--outbound", "127.0.0.1:0", "--inbound", inbound, ...words);
  }

  it("uses both, and its metrics are those of both together", async (context) => {
    const proxy = await startBoth(context);
    await isReady(proxy);
    const [inbound, outbound] = [keepAlive(context), keepAlive(context)];
    for (let round = 0; round < 5; round++) {
      assert.deepEqual(statuses(await callOnEach(proxy.outbound, "price", outbound)), [200]);
      assert.deepEqual(statuses(await callOnEach(proxy.inbound, "gate", inbound)), [200]);
    }
    assert.deepEqual(statuses(await callOnEach(proxy.outbound, "nobody", outbound)), [404]);
    // The answer has arrived before the sidecar has counted it.
    const sum = async (name: string, ...labels: string[]): Promise<number> =>
      metricSum(await proxy.metrics(), name, ...labels);
    await until(
      "all answers are counted",
      async () => (await sum("response_total", 'classification="success"')) === 10 * CONNECTIONS,
    );
    for (const direction of ["inbound", "outbound"]) {
      const label = `direction="${direction}"`;
      assert.equal(await sum("request_total", label), 5 * CONNECTIONS);
      assert.equal(await sum("response_latency_ms_count", label), 5 * CONNECTIONS);
      assert.equal(await sum("tcp_open_total", label, 'peer="src"'), CONNECTIONS);
      assert.equal(await sum("tcp_open_connections", label, 'peer="src"'), CONNECTIONS);
    }
    assert.equal(await sum("outbound_http_errors_total", 'error="unknown_service"'), CONNECTIONS);
    assert.equal(await sum("outbound_http_balancer_endpoints", 'endpoint_state="ready"'), 1, "seen by both, and one");
    const of = (worker: number): Promise<number> => sum("heddle_worker_connections", `worker="${worker}"`);
    const [first, second] = [await of(1), await of(2)];
    assert.ok(first > 0 && second > 0, `one has ${first} connections, the other ${second}`);
    assert.equal(first + second, 2 * CONNECTIONS);
    for (const worker of [1, 2]) assert.ok((await sum("heddle_worker_cpu_seconds_total", `worker="${worker}"`)) > 0);
    const text = await proxy.metrics();
    const names = [...text.matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1]);
    assert.equal(new Set(names).size, names.length, "each family once");
    for (const name of ["process_cpu_seconds_total", "process_start_time_seconds", "process_resident_memory_bytes"]) {
      assert.equal(text.match(new RegExp(`^${name} `, "gm"))?.length, 1);
    }
    const threads = (await sum("heddle_worker_cpu_seconds_total")) + 0.05;
    assert.ok((await sum("process_cpu_seconds_total")) >= threads - 0.1, "that of the process is that of all threads");
  });

  it("is one proxy to the control plane", async (context) => {
    const proxy = await startBoth(context);
    await isReady(proxy);
    const agent = keepAlive(context);
    assert.deepEqual(statuses(await callOnEach(proxy.outbound, "price", agent)), [200]);
    const response = await fetch(`http://127.0.0.1:${mesh.control.apiAddress.port}/api/v1/proxies`);
    const nodes = (await response.json()) as { id: string; admin: string }[];
    assert.deepEqual(
      nodes.filter(({ id }) => id === "gate-1.default").map(({ admin }) => `http://${admin}`),
      [proxy.admin],
    );
  });

  it("forgets the series of an endpoint that has been gone for ten minutes when no worker uses it any more", async (context) => {
    const folder = await mkdtemp(join(tmpdir(), "heddle-later-"));
    context.after(() => rm(folder, { recursive: true }));
    process.env.HURT_WORKER_WITH = folder;
    const proxy = await startBoth(context);
    delete process.env.HURT_WORKER_WITH;
    await isReady(proxy);
    const instance = { service: "price", workload: "price-1", protocol: "http", applicationPort: 0 } as const;
    const agent = keepAlive(context);
    await callOnEach(proxy.outbound, "price", agent);
    const series = async (): Promise<number> => (await proxy.metrics()).split('dst_workload="price-1"').length - 1;
    assert.ok((await series()) > 5);
    await writeFile(join(folder, "later"), "");
    await proxy.metrics();
    assert.ok((await series()) > 5, "its endpoint is there");
    await rm(join(folder, "later"));
    await mesh.register(instance, "unhealthy");
    context.after(() => mesh.register(instance));
    await until("its connections are closed", async () => {
      return metricSum(await proxy.metrics(), "tcp_open_connections", 'dst_workload="price-1"') === 0;
    });
    assert.ok((await series()) > 5, "it was there a moment ago");
    await writeFile(join(folder, "later"), "");
    await until("they are gone", async () => (await series()) === 0);
  });

  it("follows changes of the mesh in both", async (context) => {
    const proxy = await startBoth(context);
    await isReady(proxy);
    const agent = keepAlive(context);
    assert.deepEqual(statuses(await callOnEach(proxy.outbound, "price", agent)), [200]);
    const instance = { service: "price", workload: "price-1", protocol: "http", applicationPort: 0 } as const;
    await mesh.register(instance, "unhealthy");
    context.after(() => mesh.register(instance));
    const ready = async (): Promise<number> =>
      metricSum(await proxy.metrics(), "outbound_http_balancer_endpoints", 'endpoint_state="ready"');
    await until("no endpoint is left", async () => (await ready()) === 0);
    await mesh.register(instance);
    await until("both have it again", async () => (await ready()) === 1);
    assert.deepEqual(statuses(await callOnEach(proxy.outbound, "price", agent)), [200]);
  });

  it("changes the log level of both", async (context) => {
    const proxy = await start(context, "--outbound", "127.0.0.1:0");
    const agent = keepAlive(context);
    const logged = (): number => proxy.output().split('"message":"a request failed"').length - 1;
    const setLevel = async (level: string): Promise<void> => {
      const response = await fetch(`${proxy.admin}/proxy-log-level`, { method: "PUT", body: level });
      assert.equal(await response.text(), `${level}\n`);
      assert.equal(await (await fetch(`${proxy.admin}/proxy-log-level`)).text(), `${level}\n`);
    };
    // What a worker has written comes by way of the main thread: an answer of the main thread comes after it.
    await setLevel("warn");
    await callOnEach(proxy.outbound, "nobody", agent);
    await proxy.metrics();
    assert.equal(logged(), 0, proxy.output());
    await setLevel("info");
    await callOnEach(proxy.outbound, "nobody", agent);
    await until("each is logged", () => logged() === CONNECTIONS);
    await setLevel("error");
    await callOnEach(proxy.outbound, "nobody", agent);
    await proxy.metrics();
    assert.equal(logged(), CONNECTIONS);
  });

  it("drains both: what has begun is answered, then it ends with 0", async (context) => {
    const proxy = await startBoth(context);
    await isReady(proxy);
    const { promise, resolve: answer } = Promise.withResolvers<void>();
    application.held = promise;
    context.after(() => answer());
    const answers = Promise.all([
      callOnEach(proxy.inbound, "gate", keepAlive(context)),
      callOnEach(proxy.outbound, "price", keepAlive(context)),
    ]);
    await until("all are under way", async () => {
      return metricSum(await proxy.metrics(), "request_total") === 2 * CONNECTIONS;
    });
    proxy.process.kill("SIGTERM");
    await until("it listens no more", () => refused(proxy.inbound));
    assert.equal((await fetch(`${proxy.admin}/ready`)).status, 503);
    answer();
    assert.deepEqual(statuses((await answers).flat()), [200]);
    assert.equal(await proxy.exited, 0, proxy.output());
  });

  it("lets the application call others, on either worker, for as long as any has requests to answer", async (context) => {
    let gate: ProxyProcess | undefined;
    let working = 0;
    const server = http.createServer((_request, response) => {
      working++;
      // Long enough for the drain to have begun. Then many connections, of which each worker gets some.
      setTimeout(() => {
        callOnEach(gate?.outbound ?? "", "price", keepAlive(context)).then(
          (answers) => response.end(JSON.stringify(statuses(answers))),
          (error: Error) => response.end(error.message),
        );
      }, 150);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    context.after(() => {
      server.close();
      server.closeAllConnections();
    });
    const target = `127.0.0.1:0=127.0.0.1:${(server.address() as AddressInfo).port},protocol=http`;
    gate = await start(context, "--service", "gate", "--outbound", "127.0.0.1:0", "--inbound", target);
    await isReady(gate);
    const answer = call(gate.inbound, "gate");
    await until("the application works on it", () => working === 1);
    gate.process.kill("SIGTERM");
    assert.equal((await answer).body, "[200]");
    assert.equal(await gate.exited, 0, gate.output());
  });

  it("cuts what is left after the grace period, and says how much", async (context) => {
    const proxy = await startBoth(context, "--shutdown-grace", "200ms");
    const agent = keepAlive(context);
    const silent = callOnEach(proxy.inbound, "gate", agent, "/silence");
    const cut = assert.rejects(silent, { code: "ECONNRESET" });
    await until("all are under way", async () => {
      return metricSum(await proxy.metrics(), "request_total") === CONNECTIONS;
    });
    const response = await fetch(`${proxy.admin}/shutdown`, { method: "POST" });
    assert.equal(response.status, 200);
    await cut;
    assert.equal(await proxy.exited, 0, proxy.output());
    assert.match(proxy.output(), new RegExp(`grace period is over.*"connections":${CONNECTIONS}`));
  });

  it("ends at once at the second signal", async (context) => {
    const proxy = await startBoth(context);
    const peer = await rawConnect(context, Number(new URL(proxy.inbound).port));
    peer.socket.write("GET /silence HTTP/1.1\r\nHost: gate\r\n\r\n");
    await until("it is under way", async () => metricSum(await proxy.metrics(), "request_total") === 1);
    const asked = performance.now();
    proxy.process.kill("SIGTERM");
    await until("it drains", () => refused(proxy.inbound));
    await until("another signal is another wish", () => performance.now() - asked > 2 * SAME_SIGNAL_MS);
    proxy.process.kill("SIGTERM");
    assert.equal(await proxy.exited, 143);
  });

  it("does not share its port with a sidecar started twice by mistake", async (context) => {
    const proxy = await startBoth(context);
    const address = new URL(proxy.inbound).host;
    for (const workers of ["1", "2"]) {
      const words = ["--workload", "gate-2", "--service", "gate", "--workers", workers];
      const target = `${address}=127.0.0.1:${application.port}`;
      await assert.rejects(startProxyProcess(context, [...words, "--inbound", target]), {
        message: `heddle proxy ended with 1: heddle: cannot listen on ${address}: another process listens there already; stop it or choose another address\n`,
      });
    }
  });

  it("has metrics in which promtool finds nothing wrong", needs("promtool"), async (context) => {
    const proxy = await startBoth(context);
    await isReady(proxy);
    await callOnEach(proxy.outbound, "price", keepAlive(context));
    await callOnEach(proxy.inbound, "gate", keepAlive(context));
    const promtool = spawn("promtool", ["check", "metrics"]);
    let complaints = "";
    promtool.stderr.on("data", (chunk) => (complaints += String(chunk)));
    promtool.stdout.on("data", (chunk) => (complaints += String(chunk)));
    promtool.stdin.end(await proxy.metrics());
    const [code] = (await once(promtool, "close")) as [number];
    // Linkerd's own names keep their units as they are.
    const serious = complaints
      .split("\n")
      .filter((line) => line !== "" && !/response_latency_ms.*(base unit|abbreviated)/.test(line));
    assert.deepEqual(serious, []);
    assert.ok(code === 0 || complaints !== "", `promtool ended with ${code}`);
  });
});

describe("a sidecar with one worker", () => {
  it("has no thread for it, and says nothing of workers", async (context) => {
    for (const [workers, threads] of [
      ["1", 0],
      ["3", 3],
    ] as const) {
      const words = ["--workload", "gate-1", "--workers", workers, "--outbound", "127.0.0.1:0"];
      const proxy = await startProxyProcess(context, words);
      const tasks = `/proc/${proxy.process.pid}/task`;
      const names = readdirSync(tasks).map((task) => readFileSync(join(tasks, task, "comm"), "utf8"));
      assert.equal(names.filter((name) => name.startsWith("worker-")).length, threads);
      assert.equal([...(await proxy.metrics()).matchAll(/^heddle_worker_connections\{/gm)].length, threads);
    }
  });
});

describe("a worker that goes wrong", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "heddle-workers-"));
    process.env.HURT_WORKER_WITH = folder;
  });
  after(async () => {
    delete process.env.HURT_WORKER_WITH;
    await rm(folder, { recursive: true });
  });

  async function hurt(context: TestContext, how: "throw" | "exit" | "hang"): Promise<ProxyProcess> {
    const words = ["--workload", "gate-1", "--workers", "2", "--outbound", "127.0.0.1:0"];
    const proxy = await startProxyProcess(context, words, { preload: [HOOKS] });
    const file = join(folder, how);
    await writeFile(file, "");
    context.after(() => rm(file));
    return proxy;
  }

  it("ends the whole sidecar by an exception that nobody catches, with the reason", async (context) => {
    const proxy = await hurt(context, "throw");
    assert.equal(await proxy.exited, 1);
    assert.match(proxy.output(), /worker 1 has failed[^]*hurt by the test/);
  });

  it("ends the whole sidecar by ending by itself", async (context) => {
    const proxy = await hurt(context, "exit");
    assert.equal(await proxy.exited, 1);
    assert.match(proxy.output(), /worker 1 has ended by itself/);
  });

  it("makes the sidecar not live if it is stuck, and leaves it without half metrics, however often it is asked", async (context) => {
    const proxy = await hurt(context, "hang");
    const url = `${proxy.admin}/live`;
    // Until the worker has found the file, everything is well.
    await until("it does not answer soon", () =>
      fetch(url, { signal: AbortSignal.timeout(500) }).then(
        () => false,
        () => true,
      ),
    );
    const live = fetch(url);
    const answers = await Promise.all(Array.from({ length: 2 * QUESTIONS_MAX }, () => fetch(`${proxy.admin}/metrics`)));
    for (const answer of answers) {
      assert.deepEqual([answer.status, await answer.text()], [503, "worker 1 has not answered within 5000 ms\n"]);
    }
    assert.equal((await live).status, 503);
    // So many questions are open that no further ones are asked: the answer comes at once.
    const began = performance.now();
    assert.equal((await fetch(url)).status, 503);
    assert.ok(performance.now() - began < ANSWER_TIMEOUT_MS - 1_000, "it did not wait for the stuck one");
  });
});

async function isReady(proxy: ProxyProcess): Promise<void> {
  await until("it is ready", async () => (await fetch(`${proxy.admin}/ready`)).ok);
  assert.equal((await fetch(`${proxy.admin}/live`)).status, 200);
}

/** Only a connection: a request would be one more that is under way. */
async function refused(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url);
  const socket = net.connect(Number(port), hostname);
  try {
    await once(socket, "connect");
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ECONNREFUSED";
  } finally {
    socket.destroy();
  }
}
