/**
 * The gRPC project's interoperability tests through two sidecars, with grpc-js and with grpc-go, each as client and as
 * server: by upstream port, and by :authority where the client can choose it.
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import net from "node:net";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";

import * as grpc from "@grpc/grpc-js";

import { cases, connectInterop } from "./interop/cases.ts";
import type { TestClient } from "./interop/protocol.ts";
import { type InteropServer, startInteropServer } from "./interop/server.ts";
import { GO_INSTALL_MS, goProgram } from "./support/go.ts";
import { ANY_PORT, type Instance, metricSum, startMesh, type TestMesh } from "./support/mesh.ts";
import { needs } from "./support/peers.ts";
import { freePorts } from "./support/ports.ts";
import { until } from "./support/until.ts";

const GRPC_GO = "v1.85.0";
const run = promisify(execFile);

/** Calls of a soak test, each of 271,828 bytes up and 314,159 down; on one channel, or on a new one each. */
const SOAK = ["-soak_iterations", "100", "-soak_num_threads", "4", "-soak_overall_timeout_seconds", "15"];

/** What grpc-go's interop client does beside the standard cases; for ORCA both ends must be its own. */
const goExtras = ["rpc_soak", "channel_soak"];
const orcaCases = ["orca_per_rpc", "orca_oob"];
const ORCA = JSON.stringify({ loadBalancingConfig: [{ test_backend_metrics_load_balancer: {} }] });

function instance(service: string, applicationPort: number): Instance {
  return { service, workload: `${service}-1`, protocol: "grpc", applicationPort };
}

describe("gRPC interoperability, grpc-js to grpc-js", () => {
  let server: InteropServer;
  let mesh: TestMesh;
  const clients: TestClient[] = [];

  before(async () => {
    server = await startInteropServer();
    mesh = await startMesh([instance("js", server.port)], [{ listen: ANY_PORT, authority: "js" }]);
    clients.push(
      connectInterop(`127.0.0.1:${mesh.caller.addresses.upstreams[0]?.port}`),
      connectInterop(mesh.outbound.slice("http://".length), "js"),
    );
  });
  after(async () => {
    for (const client of clients) client.close();
    await mesh.close();
    server.close();
  });

  for (const [door, index] of [
    ["by upstream port", 0],
    ["by authority", 1],
  ] as const) {
    for (const [name, makeCalls] of Object.entries(cases)) {
      it(`${name}, ${door}`, { timeout: 20_000 }, () => makeCalls(clients[index] as TestClient));
    }
  }

  it("was measured by both sidecars", () => assertMeshed(mesh, "js-1"));
});

describe("gRPC interoperability with grpc-go", needs("go"), () => {
  let server: InteropServer;
  let goServer: ChildProcess;
  let goClient: string;
  let mesh: TestMesh;
  const clients: TestClient[] = [];

  before(
    async () => {
      goClient = await goProgram("google.golang.org/grpc/interop/client", GRPC_GO);
      const program = await goProgram("google.golang.org/grpc/interop/server", GRPC_GO);
      const [port] = (await freePorts(1)) as [number];
      goServer = spawn(program, ["-port", `${port}`], { stdio: "ignore" });
      await until("grpc-go's server listens", () => accepts(port), 20_000);
      server = await startInteropServer();
      const services = [instance("go", port), instance("js", server.port)];
      mesh = await startMesh(
        services,
        services.map(({ service }) => ({ listen: ANY_PORT, authority: service })),
      );
      clients.push(
        connectInterop(`127.0.0.1:${mesh.caller.addresses.upstreams[0]?.port}`),
        connectInterop(mesh.outbound.slice("http://".length), "go"),
      );
    },
    { timeout: 2 * GO_INSTALL_MS + 30_000 },
  );
  after(async () => {
    for (const client of clients) client.close();
    await mesh?.close();
    server?.close();
    goServer?.kill("SIGKILL");
  });

  for (const [index, service] of ["go", "js"].entries()) {
    for (const name of [...Object.keys(cases), ...goExtras, ...(service === "go" ? orcaCases : [])]) {
      it(`${name}, grpc-go to ${service}`, { timeout: 30_000 }, async () => {
        const port = mesh.caller.addresses.upstreams[index]?.port;
        const options = ["-server_host", "127.0.0.1", "-server_port", `${port}`, "-test_case", name, ...SOAK];
        if (orcaCases.includes(name)) options.push("-service_config_json", ORCA);
        await run(goClient, options, { timeout: 25_000 });
      });
    }
  }

  for (const [door, index] of [
    ["by upstream port", 0],
    ["by authority", 1],
  ] as const) {
    for (const [name, makeCalls] of Object.entries(cases)) {
      it(`${name}, grpc-js to go, ${door}`, { timeout: 20_000 }, () => makeCalls(clients[index] as TestClient));
    }
  }

  it("was measured by all sidecars", async () => {
    for (const workload of ["go-1", "js-1"]) await assertMeshed(mesh, workload);
  });
});

/** Every case went through both sidecars, and each has seen the statuses that the cases end with. */
async function assertMeshed(mesh: TestMesh, workload: string): Promise<void> {
  const [out, into] = [await mesh.metrics("caller"), await mesh.metrics(workload)];
  const target = `dst_workload="${workload}"`;
  const sent = metricSum(out, "request_total", 'direction="outbound"', target);
  assert.ok(sent >= Object.keys(cases).length, `${sent} requests to ${workload}`);
  assert.ok(metricSum(into, "request_total", 'direction="inbound"') > 0);
  for (const [status, classification] of [
    [grpc.status.OK, "success"],
    [grpc.status.UNKNOWN, "failure"],
    [grpc.status.UNIMPLEMENTED, "failure"],
  ] as const) {
    const labels = [`grpc_status="${status}"`, `classification="${classification}"`];
    assert.ok(metricSum(out, "response_total", target, ...labels) > 0, `outbound, ${grpc.status[status]}`);
    assert.ok(metricSum(into, "response_total", ...labels) > 0, `inbound, ${grpc.status[status]}`);
  }
}

async function accepts(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = net.connect(port, "127.0.0.1", () => resolve(true)).on("error", () => resolve(false));
  const accepted = await promise;
  socket.destroy();
  return accepted;
}
