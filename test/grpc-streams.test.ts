/** Long gRPC streams: they live through every change of the mesh around them, idle or busy. */
import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import { after, before, describe, it } from "node:test";

import * as grpc from "@grpc/grpc-js";

import { API_TOKEN } from "./support/api-token.ts";
import { type RunningControl, startControl } from "../src/control/control.ts";
import { Logger } from "../src/telemetry/log.ts";
import { connectInterop } from "./interop/cases.ts";
import type { OutputRequest, OutputResponse, TestClient } from "./interop/protocol.ts";
import { type InteropServer, startInteropServer } from "./interop/server.ts";
import { ANY_PORT, type Instance, metricSum, startMesh, type TestMesh } from "./support/mesh.ts";
import { until } from "./support/until.ts";

const PING_BYTES = 17;

/** Messages on their way at once. */
const WINDOW = 8;

/** Numbered messages, each answered by as many bytes as its number says; the next goes out as an answer comes in. */
class Conversation {
  answered = 0;
  readonly #call: grpc.ClientDuplexStream<OutputRequest, OutputResponse>;
  readonly #over: Promise<grpc.StatusObject>;
  #asked = 0;
  #ending = false;

  constructor(client: TestClient) {
    this.#call = client.fullDuplexCall();
    this.#call.on("error", () => {});
    this.#over = new Promise((resolve) => this.#call.once("status", resolve));
    this.#call.on("data", ({ payload }: OutputResponse) => {
      assert.equal(payload?.body.length, this.answered, "in order, and none lost");
      this.answered++;
      if (!this.#ending) this.#ask();
    });
    while (this.#asked < WINDOW) this.#ask();
  }

  /** Resolves once so many more messages have been answered. */
  async goesOn(what: string, messages = 100): Promise<void> {
    const target = this.answered + messages;
    await until(`the stream goes on ${what}`, () => this.answered >= target, 10_000);
  }

  async end(): Promise<void> {
    this.#ending = true;
    this.#call.end();
    const status = await this.#over;
    assert.equal(status.code, grpc.status.OK, status.details);
    assert.equal(this.answered, this.#asked);
  }

  #ask(): void {
    this.#call.write({ responseParameters: [{ size: this.#asked }] });
    this.#asked++;
  }
}

describe("a gRPC stream, while the mesh around it changes", () => {
  const servers: InteropServer[] = [];
  const first: Instance = { service: "js", workload: "js-1", protocol: "grpc", applicationPort: 0 };
  const second: Instance = { ...first, workload: "js-2" };
  let instances: [Instance, Instance];
  let mesh: TestMesh;
  let control: RunningControl | undefined;
  let client: TestClient;

  before(async () => {
    servers.push(await startInteropServer(), await startInteropServer());
    instances = [
      { ...first, applicationPort: servers[0]?.port ?? 0 },
      { ...second, applicationPort: servers[1]?.port ?? 0 },
    ];
    mesh = await startMesh(instances, [{ listen: ANY_PORT, authority: "js" }]);
    await mesh.deregister("js-2");
    const endpoints = `http://127.0.0.1:${mesh.control.apiAddress.port}/api/v1/endpoints?service=js`;
    await until("js-2 is gone", async () => ((await (await fetch(endpoints)).json()) as unknown[]).length === 1);
    client = connectInterop(`127.0.0.1:${mesh.caller.addresses.upstreams[0]?.port}`);
  });
  after(async () => {
    client.close();
    await mesh.close();
    await control?.close();
    for (const server of servers) server.close();
  });

  const newCallsReach = (server: InteropServer | undefined): Promise<void> =>
    until("new calls go there", async () => {
      const call = client.fullDuplexCall();
      call.on("error", () => {});
      const begun = once(call, "metadata").catch(() => {});
      call.write({ responseParameters: [{ size: 1 }] });
      await begun;
      const there = (server?.streams.size ?? 0) > (server === servers[0] ? 1 : 0);
      call.cancel();
      return there;
    });

  it("carries every message in order to its end", { timeout: 60_000 }, async () => {
    const stream = new Conversation(client);
    await stream.goesOn("at first");
    assert.equal(servers[0]?.streams.size, 1);

    await mesh.register(instances[1]);
    await newCallsReach(servers[1]);
    await stream.goesOn("beside a new endpoint");

    await mesh.register(instances[0], "unhealthy");
    await mesh.register(instances[0]);
    await stream.goesOn("after its endpoint was unhealthy");

    await mesh.deregister("js-1");
    await until("its endpoint is taken away", async () => (await endpointsReady(mesh)) === 1);
    await newCallsReach(servers[1]);
    await stream.goesOn("after its endpoint was taken away");

    await mesh.deregister("js-2");
    await until("there is nothing left to call", async () => {
      const call = client.fullDuplexCall();
      call.on("error", () => {});
      const status = new Promise<grpc.StatusObject>((resolve) => call.once("status", resolve));
      call.end();
      call.resume();
      return (await status).code === grpc.status.NOT_FOUND;
    });
    await stream.goesOn("after its service was taken away");

    await mesh.register({ ...instances[0], protocol: "http2" });
    await newCallsReach(servers[0]);
    await stream.goesOn("after its routes and clusters were published again, for another protocol");
    await mesh.register(instances[0]);
    await newCallsReach(servers[0]);

    await mesh.control.close();
    await stream.goesOn("without a control plane");
    control = await startControl({
      api: mesh.control.apiAddress,
      apiToken: API_TOKEN,
      xds: mesh.control.xdsAddress,
      files: [],
      stateDirectory: undefined,
      logger: new Logger({ level: "error", format: "plain", sink: { write: () => true } }),
    });
    await stream.goesOn("with a new control plane");
    await mesh.register(instances[1]);
    await newCallsReach(servers[1]);
    await stream.goesOn("after the new one has said what it knows");

    assert.equal(servers[0]?.streams.size, 1, "it is still the same stream");
    await stream.end();
    assert.equal(servers[0]?.streams.size, 0);
  });
});

async function endpointsReady(mesh: TestMesh): Promise<number> {
  return metricSum(await mesh.metrics("caller"), "outbound_http_balancer_endpoints", 'endpoint_state="ready"');
}

/** From the callers of the outbound sidecar. */
async function bytesHeard(mesh: TestMesh): Promise<number> {
  return metricSum(await mesh.metrics("caller"), "tcp_read_bytes_total", 'direction="outbound"', 'peer="src"');
}

describe("an idle gRPC connection", () => {
  let server: InteropServer;
  let mesh: TestMesh;
  let address: string;

  before(async () => {
    server = await startInteropServer();
    const instance: Instance = { service: "js", workload: "js-1", protocol: "grpc", applicationPort: server.port };
    mesh = await startMesh([instance], [{ listen: ANY_PORT, authority: "js" }]);
    address = `127.0.0.1:${mesh.caller.addresses.upstreams[0]?.port}`;
  });
  after(async () => {
    await mesh.close();
    server.close();
  });

  it("has every PING of its client answered, with a stream or without, and is not taken for an attack", async () => {
    const session = http2.connect(`http://${address}`);
    let ended = false;
    session.on("goaway", () => (ended = true)).on("close", () => (ended = true));
    const ping = (): Promise<number> =>
      new Promise((resolve, reject) =>
        session.ping((error, duration) => (error === null ? resolve(duration) : reject(error))),
      );
    await once(session, "connect");
    for (let i = 0; i < 500; i++) assert.ok((await ping()) < 1_000);
    const stream = session.request({
      ":method": "POST",
      ":path": "/grpc.testing.TestService/FullDuplexCall",
      "content-type": "application/grpc",
      te: "trailers",
    });
    stream.on("error", () => {});
    await until("the stream is open", () => server.streams.size === 1);
    for (let i = 0; i < 500; i++) assert.ok((await ping()) < 1_000);
    assert.equal(ended, false);
    assert.equal(server.streams.size, 1);
    session.destroy();
    await until("the stream is gone", () => server.streams.size === 0);
  });

  it("is kept by a grpc-js client that watches over it", async () => {
    const client = connectInterop(address, undefined, {
      "grpc.keepalive_time_ms": 100,
      "grpc.keepalive_timeout_ms": 2_000,
      "grpc.keepalive_permit_without_calls": 1,
    });
    const stream = new Conversation(client);
    await stream.goesOn("at first");
    await stream.end();
    const channel = client.getChannel();
    const already = await bytesHeard(mesh);
    await until(
      "it was pinged many times",
      async () => {
        assert.equal(channel.getConnectivityState(false), grpc.connectivityState.READY);
        return (await bytesHeard(mesh)) >= already + 10 * PING_BYTES;
      },
      10_000,
    );
    const again = new Conversation(client);
    await again.goesOn("at last");
    await again.end();
    client.close();
  });
});
