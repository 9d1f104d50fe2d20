/** What a sidecar that is asked to leave does with what has only just begun. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { describe, it, type TestContext } from "node:test";
import { promisify } from "node:util";

import { AUTHORIZED } from "./support/api-token.ts";
import { type RunningProxy, startProxy } from "../src/proxy/proxy.ts";
import { type Application, call, startApplication } from "./support/application.ts";
import { ANY_PORT, sidecar, startMesh } from "./support/mesh.ts";
import { needs } from "./support/peers.ts";
import { rawConnect } from "./support/raw.ts";
import { until } from "./support/until.ts";

describe("a sidecar that is drained", () => {
  it("serves the request of a connection that had not said anything yet, and closes the one that never does", async (context) => {
    const { proxy, port } = await alone(context);
    const talker = await rawConnect(context, port);
    const silent = await rawConnect(context, port);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const drained = proxy.drain();
    talker.socket.write("GET / HTTP/1.1\r\nHost: price\r\n\r\n");
    await until("it is answered", () => talker.text.startsWith("HTTP/1.1 200"));
    assert.match(talker.text, /connection: close/i);
    await until("both are closed", () => talker.ended && silent.ended);
    talker.socket.destroy();
    silent.socket.destroy();
    await drained;
  });

  it("lets its application call others for as long as it has requests to answer", async (context) => {
    const price = await startApplication("price-1");
    let outbound = "";
    let called = 0;
    const server = http.createServer((_request, response) => {
      called++;
      // Long enough for the drain to have begun.
      setTimeout(() => {
        call(outbound, "price", "/", { agent: new http.Agent() }).then(
          ({ status }) => response.writeHead(status).end(),
          () => response.writeHead(599).end(),
        );
      }, 100);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    context.after(() => {
      price.close();
      server.close();
      server.closeAllConnections();
    });
    const mesh = await startMesh([
      { service: "price", workload: "price-1", protocol: "http", applicationPort: price.port },
    ]);
    context.after(() => mesh.close());
    // Whom the control plane does not know nobody may call.
    const url = `http://127.0.0.1:${mesh.control.apiAddress.port}/api/v1/workloads/default/shop-1`;
    const headers = { "content-type": "application/json", ...AUTHORIZED };
    const known = await fetch(url, { method: "PUT", headers, body: JSON.stringify({ ports: [], ttlSeconds: 600 }) });
    assert.ok(known.ok, await known.text());
    const target = { host: "127.0.0.1", port: (server.address() as AddressInfo).port };
    const shop = await startProxy(
      sidecar("shop-1", {
        control: { host: "127.0.0.1", port: mesh.control.xdsAddress.port },
        outbound: ANY_PORT,
        inbound: [{ listen: ANY_PORT, target, service: "shop", port: 80, protocol: "http" }],
      }),
    );
    context.after(() => shop.close());
    const ready = `http://127.0.0.1:${shop.addresses.admin.port}/ready`;
    await until("the sidecar is ready", async () => (await fetch(ready)).ok);
    outbound = `http://127.0.0.1:${shop.addresses.outbound?.port}`;
    const answer = call(`http://127.0.0.1:${shop.addresses.inbound[0]?.port}`, "shop");
    await until("the application works on it", () => called === 1);
    const drained = shop.drain();
    assert.equal((await answer).status, 200);
    await drained;
    await assert.rejects(call(outbound, "price"), /ECONNREFUSED/);
  });

  it("fails no request of h2load's: a hundred are on their way when it begins", needs("h2load"), async (context) => {
    const { application, proxy, port } = await alone(context);
    application.delayMs = 500;
    const load = promisify(execFile)("h2load", ["-n100", "-c2", "-m50", `http://127.0.0.1:${port}/`], {
      timeout: 30_000,
    });
    await until("all are with the application", () => application.requests === 100, 20_000);
    const drained = proxy.drain();
    assert.match((await load).stdout, /100 succeeded, 0 failed, 0 errored, 0 timeout/);
    await drained;
  });

  it("fails no request of a node:http2 client that goes on until it is told", async (context) => {
    const { application, proxy, port } = await alone(context);
    application.delayMs = 5;
    const session = http2.connect(`http://127.0.0.1:${port}`);
    context.after(() => session.destroy());
    const goaways: number[] = [];
    session.on("goaway", (code) => goaways.push(code));
    let answered = 0;
    const worker = async (): Promise<void> => {
      // Node marks the session closed with the first GOAWAY.
      while (!session.closed) {
        const stream = session.request({ ":path": "/", ":authority": "price" });
        const [headers] = (await once(stream, "response")) as [http2.IncomingHttpHeaders];
        assert.equal(headers[":status"], 200);
        for await (const _ of stream);
        answered++;
      }
    };
    const workers = Promise.all(Array.from({ length: 20 }, worker));
    await until("it is under way", () => answered > 100, 20_000);
    const already = answered;
    const drained = proxy.drain();
    await workers;
    await drained;
    assert.ok(answered > already);
    assert.equal(answered, application.requests, "each that was sent was answered");
    assert.ok(goaways.length >= 1 && goaways.every((code) => code === 0));
  });
});

/** A sidecar with its application and no mesh. */
async function alone(context: TestContext): Promise<{ application: Application; proxy: RunningProxy; port: number }> {
  const application = await startApplication("price-1");
  context.after(() => application.close());
  const target = { host: "127.0.0.1", port: application.port };
  const inbound = [{ listen: ANY_PORT, target, service: "price", port: 80, protocol: "http" as const }];
  const proxy = await startProxy(sidecar("price-1", { inbound }));
  context.after(() => proxy.close());
  return { application, proxy, port: proxy.addresses.inbound[0]?.port ?? 0 };
}
