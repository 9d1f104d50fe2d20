import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { afterEach, describe, it } from "node:test";

import { until } from "../../test/support/until.ts";
import type { Endpoint } from "../model/endpoint.ts";
import { emptyMesh, type Mesh, type ServiceView } from "../model/mesh.ts";
import { systemClock } from "../net/clock.ts";
import { VERSION } from "../telemetry/version.ts";
import { XdsClient } from "./client.ts";
import { memoryLogger, serveMesh, type ServedMesh } from "./testing/served-mesh.ts";

const node = { workload: "caller-1", namespace: "shop", service: "caller", admin: "127.0.0.1:4191" };

function endpoint(address: string): Endpoint {
  return {
    address,
    port: 8080,
    workload: "price-1",
    locality: { region: "", zone: "", subZone: "" },
    weight: 1,
    health: "healthy",
    labels: {},
    meshed: false,
    identity: "",
  };
}

function mesh(...addresses: string[]): Mesh {
  return {
    ...emptyMesh,
    services: [{ name: "price", namespace: "shop", ports: [{ name: "http", port: 80, protocol: "http" }] }],
    endpoints: new Map([["price.shop:80", addresses.map(endpoint)]]),
  };
}

/** What a watcher of "price" was told last. */
class Recorder {
  views: ServiceView[] = [];
  unknown = 0;

  onView(view: ServiceView): void {
    this.views.push(view);
  }

  onUnknown(): void {
    this.unknown++;
  }

  get addresses(): string {
    const endpoints = this.views.at(-1)?.backends.get("price.shop:80")?.endpoints;
    return endpoints === undefined ? "none" : endpoints.map(({ address }) => address).join();
  }
}

describe("XdsClient and AdsServer over HTTP/2", () => {
  const clients: XdsClient[] = [];
  const servers: ServedMesh[] = [];
  const silent: Server[] = [];

  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    for (const server of servers.splice(0)) await server.close();
    for (const server of silent.splice(0)) server.close();
  });

  async function serve(world: Mesh, port = 0): Promise<ServedMesh> {
    const served = await serveMesh(world, port);
    servers.push(served);
    return served;
  }

  function dial(port: number): { client: XdsClient; log: string[] } {
    const { logger, lines } = memoryLogger();
    const client = new XdsClient({ address: { host: "127.0.0.1", port }, node, logger, clock: systemClock });
    clients.push(client);
    return { client, log: lines };
  }

  it("follow a service, and know each other", async () => {
    const served = await serve(mesh("10.0.0.1"));
    const { client } = dial(served.port);
    const changes: boolean[] = [];
    client.onConnectionChange = (connected) => changes.push(connected);
    await until("connected without having asked for anything", () => client.connected);
    assert.deepEqual(changes, [true]);

    const price = new Recorder();
    client.watch("price", price);
    await until("the view", () => price.views.length === 1);
    assert.equal(price.addresses, "10.0.0.1");
    served.server.setMesh(mesh("10.0.0.1", "10.0.0.2"));
    await until("the change", () => price.addresses === "10.0.0.1,10.0.0.2");

    const unknown = new Recorder();
    client.watch("nobody", unknown);
    await until("the answer", () => unknown.unknown === 1);

    served.server.setMesh(emptyMesh);
    await until("the removal", () => price.unknown === 1);

    await until("the server knows what is no more needed", () => served.server.nodes()[0]?.subscriptions === 2);
    const [status] = served.server.nodes();
    assert.ok(status);
    const { connectedSince, acked, ...rest } = status;
    assert.ok(Date.now() - connectedSince.getTime() < 60_000);
    assert.ok(acked >= 6, `${acked}`);
    const program = { program: "heddle", version: VERSION };
    const answers = { identity: "", nacked: 0, lastNack: null, refused: [] };
    assert.deepEqual(rest, { id: "caller-1.shop", ...program, ...node, subscriptions: 2, ...answers });

    client.close();
    assert.deepEqual(changes, [true, false]);
    await until("the server noticed", () => served.server.nodes().length === 0);
  });

  it("keep what is known while the server is away, and get only what changed when it is back", async () => {
    const first = await serve(mesh("10.0.0.1"));
    const { client, log } = dial(first.port);
    const price = new Recorder();
    client.watch("price", price);
    await until("the view", () => price.views.length === 1);

    await first.close();
    await until("the loss", () => !client.connected);
    const late = new Recorder();
    client.watch("price.shop", late);
    const again = new Recorder();
    client.watch("price", again);
    assert.equal(again.addresses, "10.0.0.1");

    const second = await serve(mesh("10.0.0.1"), first.port);
    await until("connected again", () => client.connected);
    await until("the late view", () => late.views.length === 1);
    assert.equal(price.views.length, 1, "the same content is not told again");
    assert.equal(price.unknown, 0);
    second.server.setMesh(mesh("10.0.0.3"));
    await until("the change", () => price.addresses === "10.0.0.3" && late.addresses === "10.0.0.3");
    assert.equal(log.filter((line) => line.includes("no connection")).length, 1, log.join(""));
  });

  it("say why a stream was refused", async () => {
    const served = await serve(emptyMesh);
    served.server.close();
    const { client, log } = dial(served.port);
    await until("the reason", () =>
      log.some((line) => line.includes("gRPC status UNAVAILABLE: the control plane is shutting down")),
    );
    assert.equal(client.connected, false);
  });

  it("survive a server that is something else", async () => {
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      sockets.push(socket);
      socket.on("error", () => {});
      socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    silent.push(server);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { client, log } = dial((server.address() as { port: number }).port);
    await until("a second attempt", () => sockets.length >= 2);
    assert.equal(client.connected, false);
    assert.equal(log.filter((line) => line.includes("no connection")).length, 1);
  });
});
