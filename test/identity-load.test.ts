/** Certificates that are renewed, and a root and an issuer that change, while a handshake is made many times a second. */
import assert from "node:assert/strict";
import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";

import { API_TOKEN, AUTHORIZED } from "./support/api-token.ts";
import type { IdentityAnswer } from "../src/cli/control-client.ts";
import { type RunningControl, startControl } from "../src/control/control.ts";
import { defaultIdentitySettings, LEAF_LIFETIME_MIN_MS } from "../src/control/identity/identity.ts";
import type { ProxyConfig } from "../src/proxy/config.ts";
import { type RunningProxy, startProxy } from "../src/proxy/proxy.ts";
import { Logger } from "../src/telemetry/log.ts";
import { ANY_PORT, metricSum, sidecar } from "./support/mesh.ts";
import { until } from "./support/until.ts";

/** Milliseconds between two connections; each is a byte stream, so each is a handshake between two sidecars. */
const CONNECT_EVERY_MS = 20;

const quiet = new Logger({ level: "error", format: "plain", sink: process.stderr });

describe("a mesh whose certificates live ten seconds", { timeout: 110_000 }, () => {
  let control: RunningControl;
  let api: string;
  let echo: net.Server;
  let caller: RunningProxy;
  const proxies: RunningProxy[] = [];

  async function post(path: string, body: object): Promise<unknown> {
    const headers = { "content-type": "application/json", ...AUTHORIZED };
    const response = await fetch(`${api}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
    if (!response.ok) throw new Error(await response.text());
    return response.json();
  }

  async function start(workload: string, serviceAccount: string, over: Partial<ProxyConfig>): Promise<RunningProxy> {
    const subject = { namespace: "default", serviceAccount, workload };
    const { token: joinToken } = (await post("/api/v1/join-tokens", subject)) as { token: string };
    const identity = { trustDomain: "cluster.local", serviceAccount, joinToken };
    const xds = { host: "127.0.0.1", port: control.xdsAddress.port };
    const proxy = await startProxy(sidecar(workload, { control: xds, identity, ...over }));
    proxies.push(proxy);
    return proxy;
  }

  async function register(workload: string, serviceAccount: string, ports: object[]): Promise<void> {
    const response = await fetch(`${api}/api/v1/workloads/default/${workload}`, {
      method: "PUT",
      headers: { "content-type": "application/json", ...AUTHORIZED },
      body: JSON.stringify({ serviceAccount, labels: {}, weight: 1, health: "healthy", ports, ttlSeconds: 600 }),
    });
    if (!response.ok) throw new Error(await response.text());
  }

  async function authority(): Promise<IdentityAnswer> {
    return (await (await fetch(`${api}/api/v1/identity`)).json()) as IdentityAnswer;
  }

  const metrics = async (): Promise<string> => {
    return (await fetch(`http://127.0.0.1:${caller.addresses.admin.port}/metrics`)).text();
  };

  before(async () => {
    echo = net.createServer((socket) => socket.on("error", () => socket.destroy()).pipe(socket));
    echo.listen(0, "127.0.0.1");
    await once(echo, "listening");
    control = await startControl({
      api: ANY_PORT,
      apiToken: API_TOKEN,
      xds: ANY_PORT,
      files: [],
      stateDirectory: undefined,
      identity: { ...defaultIdentitySettings, lifetimeMs: LEAF_LIFETIME_MIN_MS },
      logger: quiet,
    });
    api = `http://127.0.0.1:${control.apiAddress.port}`;
    const target = { host: "127.0.0.1", port: (echo.address() as AddressInfo).port };
    for (const workload of ["echo-1", "echo-2"]) {
      const inbound = [{ listen: ANY_PORT, target, service: "echo", port: 7, protocol: "opaque" as const }];
      const proxy = await start(workload, "echo", { service: "echo", inbound });
      const at = proxy.addresses.inbound[0];
      const port = { service: "echo", name: "echo", port: 7, protocol: "opaque", meshed: true };
      await register(workload, "echo", [{ ...port, address: at?.host, addressPort: at?.port }]);
    }
    caller = await start("caller", "caller", { upstreams: [{ listen: ANY_PORT, authority: "echo:7" }] });
    await register("caller", "caller", []);
    for (const { addresses } of proxies) {
      const ready = async (): Promise<boolean> => (await fetch(`http://127.0.0.1:${addresses.admin.port}/ready`)).ok;
      await until("it is ready", ready, 20_000);
    }
  });
  after(async () => {
    for (const proxy of proxies) proxy.close();
    await control.close();
    echo.close();
  });

  it("loses no connection while they are renewed and while root and issuer change", async (context) => {
    const failures: string[] = [];
    let done = 0;
    const upstream = caller.addresses.upstreams[0];
    assert.ok(upstream);
    const open = new Set<Promise<void>>();
    const timer = setInterval(() => {
      const exchange = echoed(upstream.port).then(
        () => void done++,
        (error: Error) => void failures.push(error.message),
      );
      open.add(exchange);
      void exchange.finally(() => open.delete(exchange));
    }, CONNECT_EVERY_MS);
    context.after(() => clearInterval(timer));

    const first = await authority();
    await until(
      "all were renewed once",
      async () => metricSum(await metrics(), "identity_cert_refresh_count") >= 2,
      20_000,
    );
    await post("/api/v1/identity/rotation", { what: "all" });
    await until("root and issuer are others", async () => (await authority()).rotation === null, 40_000);
    await post("/api/v1/identity/rotation", { what: "issuer" });
    await until("the issuer is another", async () => (await authority()).rotation === null, 40_000);
    const count = metricSum(await metrics(), "identity_cert_refresh_count");
    const again = async (): Promise<boolean> => metricSum(await metrics(), "identity_cert_refresh_count") > count;
    await until("they are renewed once more", again, 20_000);
    clearInterval(timer);
    await Promise.all(open);

    assert.deepEqual(failures, []);
    assert.ok(done > 200, `only ${done} connections`);
    const last = await authority();
    assert.equal(last.roots.length, 1);
    assert.notEqual(last.roots[0]?.fingerprint, first.roots[0]?.fingerprint);
    assert.ok(metricSum(await metrics(), "tcp_open_total", 'peer="dst"', 'tls="true"') >= done, "all of it was TLS");
  });
});

/** One connection: says something, hears it, and both ends end it. */
async function echoed(port: number): Promise<void> {
  const socket = net.connect({ port, host: "127.0.0.1" });
  let heard = "";
  socket.on("data", (chunk: Buffer) => {
    heard += chunk.toString();
    if (heard === "hello") socket.end();
  });
  socket.write("hello");
  await once(socket, "close");
  if (heard !== "hello") throw new Error(`heard "${heard}"`);
}
