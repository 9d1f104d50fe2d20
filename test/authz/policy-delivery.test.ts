/** From documents to a sidecar's verdicts, over a real control plane: at the start, after a change, and without it. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";

import { API_TOKEN, AUTHORIZED } from "../support/api-token.ts";
import { type RunningControl, startControl } from "../../src/control/control.ts";
import { type RunningProxy, startProxy } from "../../src/proxy/proxy.ts";
import { Logger } from "../../src/telemetry/log.ts";
import { ANY_PORT, sidecar } from "../support/mesh.ts";
import { until } from "../support/until.ts";

const MESH = "services: { price: { run: price, protocol: http } }\nresources: [policy.yaml]\n";

/** What a DENY rule about everything, or about nothing that is ever asked for, makes of all calls. */
function deny(path: string): string {
  return `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: no-${path === "/*" ? "calls" : "such-path"} }
spec: { action: DENY, rules: [{ to: [{ operation: { paths: ["${path}"] } }] }] }
`;
}
const CLOSED = deny("/*");
const OPEN = deny("/no/such/path");

const cleanups: (() => unknown)[] = [];
let folder = "";
let application = 0;
/** Requests that it has taken and never answers. */
let held = 0;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "heddle-delivery-"));
  await writeFile(join(folder, "mesh.yaml"), MESH);
  const server = createServer(({ url }, response) => {
    if (url === "/hold") held++;
    else response.end("price");
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => {
    server.on("listening", resolve);
  });
  cleanups.push(() => {
    server.close();
    server.closeAllConnections();
  });
  application = (server.address() as AddressInfo).port;
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
  await rm(folder, { recursive: true, force: true });
});

async function document(text: string): Promise<void> {
  await writeFile(join(folder, "policy.yaml"), text);
}

async function control(): Promise<RunningControl> {
  const running = await startControl({
    api: ANY_PORT,
    apiToken: API_TOKEN,
    xds: ANY_PORT,
    files: [join(folder, "mesh.yaml")],
    stateDirectory: undefined,
    logger: new Logger({ level: "error", format: "plain", sink: { write: () => true } }),
  });
  cleanups.push(() => running.close());
  return running;
}

interface Price {
  readonly proxy: RunningProxy;
  readonly call: () => Promise<number>;
  readonly ready: () => Promise<boolean>;
}

async function price({ xdsAddress }: RunningControl, workers: number): Promise<Price> {
  const target = { host: "127.0.0.1", port: application };
  const inbound = [{ listen: ANY_PORT, target, service: "price", port: 80, protocol: "http" as const }];
  const proxy = await startProxy(sidecar("price-1", { service: "price", control: xdsAddress, inbound, workers }));
  cleanups.push(() => proxy.close());
  return {
    proxy,
    call: async () => (await fetch(`http://127.0.0.1:${proxy.addresses.inbound[0]?.port}/`)).status,
    ready: async () => (await fetch(`http://127.0.0.1:${proxy.addresses.admin.port}/ready`)).ok,
  };
}

async function register({ apiAddress }: RunningControl): Promise<void> {
  const port = { service: "price", name: "http", port: 80, address: "127.0.0.1", addressPort: 1, meshed: true };
  const body = JSON.stringify({ ttlSeconds: 600, ports: [port] });
  const url = `http://127.0.0.1:${apiAddress.port}/api/v1/workloads/default/price-1`;
  assert.equal((await fetch(url, { method: "PUT", headers: AUTHORIZED, body })).status, 201);
}

/** Each connection may meet another worker, so what is true of all of them takes several looks. */
async function all(call: () => Promise<number>, status: number): Promise<boolean> {
  return (await Promise.all(Array.from({ length: 8 }, call))).every((one) => one === status);
}

for (const workers of [1, 2]) {
  describe(`policies on their way to a sidecar with ${workers === 1 ? "one thread" : "two threads"}`, () => {
    it("leave it closed and not ready until it is registered, then hold, change, and stay", async () => {
      await document(OPEN);
      const running = await control();
      const at = await price(running, workers);
      assert.ok(await all(at.call, 403));
      assert.equal(await at.ready(), false);
      await register(running);
      await until("it is open", () => all(at.call, 200));
      await until("it is ready", at.ready);
      held = 0;
      const url = `http://127.0.0.1:${at.proxy.addresses.inbound[0]?.port}/hold`;
      const waiting = Array.from({ length: 8 }, async () => (await fetch(url)).status);
      await until("they are under way", () => held === waiting.length);
      await document(CLOSED);
      await until("it is closed", () => all(at.call, 403));
      assert.deepEqual(new Set(await Promise.all(waiting)), new Set([403]));
      assert.equal(await at.ready(), true);
      await document(OPEN);
      await until("it is open again", () => all(at.call, 200));
      await document(`${CLOSED}---\nnonsense`);
      const sources = `http://127.0.0.1:${running.apiAddress.port}/api/v1/sources`;
      await until("the documents are bad", async () => (await (await fetch(sources)).text()).includes('"bad"'));
      assert.ok(await all(at.call, 200));
      await running.close();
      assert.ok(await all(at.call, 200));
      assert.equal(await at.ready(), true);
    });
  });
}

it("a control plane that starts with bad documents tells nobody anything before they are mended", async () => {
  await document("nonsense");
  const running = await control();
  const at = await price(running, 1);
  await register(running);
  assert.equal(await at.call(), 403);
  assert.equal(await at.ready(), false);
  await document(OPEN);
  await until("it is open", () => all(at.call, 200));
});

it("a policy stays when its workload leaves the mesh", async () => {
  await document(OPEN);
  const running = await control();
  const at = await price(running, 1);
  await register(running);
  await until("it is open", () => all(at.call, 200));
  const url = `http://127.0.0.1:${running.apiAddress.port}/api/v1`;
  const acked = async (): Promise<number> => {
    const [proxy] = (await (await fetch(`${url}/proxies`)).json()) as [{ acked: number }];
    return proxy.acked;
  };
  const before = await acked();
  await fetch(`${url}/workloads/default/price-1`, { method: "DELETE", headers: AUTHORIZED });
  await until("the sidecar was told", async () => (await acked()) > before);
  assert.equal(await at.call(), 200);
});
