/**
 * The gRPC project's interoperability tests through two sidecars, with grpc-js and with grpc-go, each as client and as
 * server: by upstream port, and by :authority where the client can choose it.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import net from "node:net";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";

import { cases, connectInterop } from "./interop/cases.ts";
import type { TestClient } from "./interop/protocol.ts";
import { type InteropServer, startInteropServer } from "./interop/server.ts";
import { GO_INSTALL_MS, goProgram } from "./support/go.ts";
import { ANY_PORT, type Instance, startMesh, type TestMesh } from "./support/mesh.ts";
import { needs } from "./support/peers.ts";
import { freePorts } from "./support/ports.ts";
import { until } from "./support/until.ts";

const GRPC_GO = "v1.85.0";
const run = promisify(execFile);

/** What grpc-go's interop client has of the standard cases. */
const goCases = Object.keys(cases);

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
    for (const [name, run] of Object.entries(cases)) {
      it(`${name}, ${door}`, { timeout: 20_000 }, () => run(clients[index] as TestClient));
    }
  }
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
    for (const name of goCases) {
      it(`${name}, grpc-go to ${service}`, { timeout: 20_000 }, async () => {
        const port = mesh.caller.addresses.upstreams[index]?.port;
        const options = ["-server_host", "127.0.0.1", "-server_port", `${port}`, "-test_case", name];
        await run(goClient, options, { timeout: 15_000 });
      });
    }
  }

  for (const [door, index] of [
    ["by upstream port", 0],
    ["by authority", 1],
  ] as const) {
    for (const [name, run] of Object.entries(cases)) {
      it(`${name}, grpc-js to go, ${door}`, { timeout: 20_000 }, () => run(clients[index] as TestClient));
    }
  }
});

async function accepts(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = net.connect(port, "127.0.0.1", () => resolve(true)).on("error", () => resolve(false));
  const accepted = await promise;
  socket.destroy();
  return accepted;
}
