/** PeerAuthentication from the document to both sidecars, over a real control plane: who calls must hear of it, too. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it, type TestContext } from "node:test";

import { API_TOKEN, AUTHORIZED } from "../support/api-token.ts";
import { startControl } from "../../src/control/control.ts";
import { systemClock } from "../../src/net/clock.ts";
import { startProxy } from "../../src/proxy/proxy.ts";
import { Logger } from "../../src/telemetry/log.ts";
import { call, startApplication } from "../support/application.ts";
import { makeTestCa, TestCredentials } from "../support/identity.ts";
import { ANY_PORT, metricSum, sidecar } from "../support/mesh.ts";
import { CART, PRICE } from "../support/secured.ts";
import { until } from "../support/until.ts";

const MESH = "namespace: shop\nservices: { price: { run: price, protocol: http } }\nresources: [policy.yaml]\n";

interface Pair {
  readonly mode: (mode: string) => Promise<void>;
  /** The status of a call by way of both sidecars. */
  readonly ask: () => Promise<number>;
  /** The same past the caller's sidecar: in plain. */
  readonly askInPlain: () => Promise<number>;
  /** Requests that price has taken in TLS of the mesh, and in plain. */
  readonly taken: () => Promise<readonly [secured: number, plain: number]>;
}

async function pair(context: TestContext): Promise<Pair> {
  const folder = await mkdtemp(join(tmpdir(), "heddle-tls-modes-"));
  context.after(() => rm(folder, { recursive: true, force: true }));
  const mode = (word: string): Promise<void> =>
    writeFile(
      join(folder, "policy.yaml"),
      `apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: { name: default, namespace: shop }\nspec: { mtls: { mode: ${word} } }\n`,
    );
  await writeFile(join(folder, "mesh.yaml"), MESH);
  await mode("PERMISSIVE");
  const control = await startControl({
    api: ANY_PORT,
    apiToken: API_TOKEN,
    xds: ANY_PORT,
    files: [join(folder, "mesh.yaml")],
    stateDirectory: undefined,
    logger: new Logger({ level: "error", format: "plain", sink: { write: () => true } }),
  });
  context.after(() => control.close());
  const application = await startApplication("price");
  context.after(() => application.close());
  const ca = await makeTestCa();
  const known = { namespace: "shop", control: control.xdsAddress };
  const target = { host: "127.0.0.1", port: application.port };
  const inbound = [{ listen: ANY_PORT, target, service: "price", port: 80, protocol: "http" as const }];
  const priceCredentials = new TestCredentials(await ca.credentials(PRICE));
  const price = await startProxy(
    sidecar("price-1", { ...known, service: "price", inbound }),
    systemClock,
    priceCredentials,
  );
  context.after(() => price.close());
  const cartCredentials = new TestCredentials(await ca.credentials(CART));
  const cart = await startProxy(sidecar("cart-1", { ...known, outbound: ANY_PORT }), systemClock, cartCredentials);
  context.after(() => cart.close());
  const addressPort = price.addresses.inbound[0]?.port ?? 0;
  const port = { service: "price", name: "http", port: 80, address: "127.0.0.1", addressPort, meshed: true };
  const response = await fetch(`http://127.0.0.1:${control.apiAddress.port}/api/v1/workloads/shop/price-1`, {
    method: "PUT",
    headers: AUTHORIZED,
    body: JSON.stringify({ ttlSeconds: 600, serviceAccount: "price", ports: [port] }),
  });
  assert.equal(response.status, 201, await response.text());
  const metrics = async (): Promise<string> =>
    (await fetch(`http://127.0.0.1:${price.addresses.admin.port}/metrics`)).text();
  return {
    mode,
    ask: async () => (await call(`http://127.0.0.1:${cart.addresses.outbound?.port}`, "price")).status,
    askInPlain: async () => (await fetch(`http://127.0.0.1:${addressPort}/`)).status,
    taken: async () => {
      const text = await metrics();
      const inboundTotal = (label: string): number =>
        metricSum(text, "request_total", 'direction="inbound"', `tls="${label}"`);
      return [inboundTotal("true"), inboundTotal("no_identity")];
    },
  };
}

it("a port that takes no TLS of the mesh is called in plain, and in TLS again afterwards", async (context) => {
  const { mode, ask, askInPlain, taken } = await pair(context);
  await until("it is called", async () => (await ask()) === 200);
  const [secured, plain] = await taken();
  assert.deepEqual([secured > 0, plain], [true, 0]);

  await mode("DISABLE");
  await until("it is called in plain", async () => (await ask()) === 200 && (await taken())[1] > 0);

  await mode("STRICT");
  await until("nobody else is let in", () =>
    askInPlain().then(
      (status) => status === 403,
      () => true,
    ),
  );
  const [before] = await taken();
  await until("it is called in TLS", async () => (await ask()) === 200 && (await taken())[0] > before);
});
