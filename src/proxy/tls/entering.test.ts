import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import net from "node:net";
import { it } from "node:test";

import { makeTestCa, TestCredentials } from "../../../test/support/identity.ts";
import { sidecar } from "../../../test/support/mesh.ts";
import { PRICE } from "../../../test/support/secured.ts";
import { until } from "../../../test/support/until.ts";
import { root } from "../../../test/support/up.ts";
import { systemClock } from "../../net/clock.ts";
import { acceptConnection } from "../../net/connection.ts";
import { Logger } from "../../telemetry/log.ts";
import { ProxyContext } from "../context.ts";
import { inboundPort } from "../inbound.ts";
import { ProxyMetrics } from "../metrics.ts";
import { openPolicySource } from "../policy-source.ts";
import { HANDSHAKES_MAX, MeshTls } from "./mesh-tls.ts";

const quiet = new Logger({ level: "error", format: "plain", sink: { write: () => true } });

it("a connection is over once, also if there are too many handshakes: ports not in use are told by that", async (context) => {
  const credentials = new TestCredentials(await (await makeTestCa()).credentials(PRICE));
  const metrics = new ProxyMetrics();
  const ticketSecret = new Uint8Array(32);
  const tls = new MeshTls({ credentials, ticketSecret, clock: systemClock, metrics, logger: quiet });
  const config = sidecar("price-1", { namespace: "shop", service: "price" });
  const security = { tls };
  const proxy = new ProxyContext(config, systemClock, Math.random, metrics, quiet, openPolicySource, security);
  const target = { host: "127.0.0.1", port: 1 };
  const port = inboundPort({ target, service: "price", port: 80, protocol: "detect" }, proxy);
  let [begun, over] = [0, 0];
  const server = net.createServer({ pauseOnConnect: true }, (socket) => {
    begun++;
    port.serve(acceptConnection(socket), () => over++);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const clients: net.Socket[] = [];
  context.after(() => {
    for (const client of clients) client.destroy();
    server.close();
    port.backend.destroy();
    port.guard.close();
    tls.close();
  });
  const hello = readFileSync(`${root}/fuzz/corpus/client-hello/sidecar`);
  const open = (): Promise<unknown> => {
    const client = net.connect((server.address() as net.AddressInfo).port, "127.0.0.1");
    clients.push(client);
    client.on("error", () => {}).write(hello);
    return once(client, "data").catch(() => {});
  };
  await Promise.all(Array.from({ length: HANDSHAKES_MAX }, open));
  await open();
  await until("all are there", () => begun === HANDSHAKES_MAX + 1);
  for (const client of clients) client.destroy();
  await until("all are over", () => over >= begun, 30_000);
  // Whatever were to come a second time would have come with the close of that connection.
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(over, begun);
});
