import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { defaultMeshPolicy, type MeshFile, type MeshFileService } from "../../dialects/mesh/mesh-file.ts";
import { FakeHost, settle } from "../testing/fake-host.ts";
import {
  CONTROL_GRACE_MS,
  DEREGISTER_GRACE_MS,
  MeshSupervisor,
  PROGRAM_GRACE_MS,
  SIDECAR_GRACE_MS,
  type SupervisorOptions,
} from "./supervisor.ts";

function service(name: string, more: Partial<MeshFileService> = {}): MeshFileService {
  return {
    name,
    command: ["serve", name],
    directory: "/work/shop",
    ports: [{ name: "http", port: 80, protocol: "http", env: "PORT" }],
    upstreams: [],
    env: {},
    labels: {},
    instances: [{ name: `${name}-1`, env: {}, labels: {} }],
    ready: "",
    ...more,
  };
}

function mesh(...services: MeshFileService[]): MeshFile {
  return {
    file: "/work/shop/mesh.yaml",
    name: "shop",
    namespace: "default",
    services,
    resourcePaths: [],
    policy: defaultMeshPolicy,
  };
}

function at(port: number): { host: string; port: number } {
  return { host: "127.0.0.1", port };
}

describe("MeshSupervisor", () => {
  let host: FakeHost;
  beforeEach(() => {
    host = new FakeHost();
  });

  async function started(file: MeshFile, more: Partial<SupervisorOptions> = {}): Promise<MeshSupervisor> {
    const supervisor = new MeshSupervisor({
      mesh: file,
      addresses: { api: at(1), xds: at(2), outbound: at(3), admin: at(4) },
      basePort: 41_000,
      stateDirectory: "/work/shop/.heddle",
      logLevel: "warn",
      identityLifetime: "24h",
      apiToken: undefined,
      host,
      ...more,
    });
    // Whatever is started is ready.
    host.probe.accepts = () => Promise.resolve(true);
    host.probe.answers = () => Promise.resolve(true);
    await supervisor.start();
    await untilRunning(2 + 2 * file.services.reduce((sum, { instances }) => sum + instances.length, 0));
    return supervisor;
  }

  async function untilRunning(count: number): Promise<void> {
    for (let turn = 0; host.running.length !== count && turn < 100; turn++) {
      await settle();
      host.clock.advance(10);
    }
    await settle();
    assert.equal(host.running.length, count, names().join("\n"));
  }

  /** "control", "proxy price-1", "serve price" */
  function names(): string[] {
    return host.running.map(({ program: { command } }) => {
      const [first, second = ""] = command;
      if (first !== "heddle") return command.join(" ");
      return second === "proxy" ? `proxy ${command[command.indexOf("--workload") + 1]}` : second;
    });
  }

  it("runs the control plane, the keyboard's sidecar, and each instance with its own", async () => {
    const supervisor = await started(mesh(service("gateway"), service("price")));
    assert.deepEqual(names().sort(), [
      "control",
      "proxy gateway-1",
      "proxy keyboard",
      "proxy price-1",
      "serve gateway",
      "serve price",
    ]);
    await supervisor.allReady;
    assert.deepEqual(supervisor.waitingFor, []);
    assert.deepEqual([...host.registrations].map(([name, { health }]) => `${name} ${health}`).sort(), [
      "default/gateway-1 healthy",
      "default/keyboard healthy",
      "default/price-1 healthy",
    ]);
  });

  it("gives every listener a port of its own", async () => {
    await started(mesh(service("gateway", { upstreams: ["price"] }), service("price")));
    const ports = host.running
      .filter(({ program }) => program.command[1] === "proxy")
      .flatMap(({ program }) => [...program.command.join(" ").matchAll(/:(\d+)/g)].map((match) => match[1]))
      .filter((port) => port !== "2");
    assert.equal(new Set(ports).size, ports.length, String(ports));
  });

  it("touches only what changed in the mesh file", async () => {
    const supervisor = await started(mesh(service("gateway"), service("price"), service("old")));
    const before = new Map(host.running.map((process, index) => [names()[index], process]));
    const change = supervisor.apply(mesh(service("gateway"), service("price", { env: { A: "1" } }), service("new")));
    await settle();
    for (const name of ["proxy price-1", "proxy old-1", "serve price", "serve old"]) {
      before.get(name)?.exit({ code: 0 });
      await settle();
    }
    await change;
    await untilRunning(8);
    const after = new Map(host.running.map((process, index) => [names()[index], process]));
    assert.equal(after.get("serve gateway"), before.get("serve gateway"));
    assert.equal(after.get("proxy gateway-1"), before.get("proxy gateway-1"));
    assert.equal(after.get("serve price")?.program.env["A"], "1");
    assert.ok(after.has("serve new") && !after.has("serve old"));
    assert.ok(host.calls.includes("DELETE default/old-1"));
  });

  it("says everything again when the control plane was started anew", async () => {
    await started(mesh(service("price")));
    const calls = host.calls.length;
    host.running.find(({ program }) => program.command[1] === "control")?.exit({ signal: "SIGKILL" });
    assert.equal(host.lines.at(-1), "control was ended by SIGKILL; it is started again in 100 ms");
    host.clock.advance(100);
    await settle();
    assert.deepEqual(host.calls.slice(calls).sort(), ["PUT default/keyboard healthy", "PUT default/price-1 healthy"]);
  });

  it("ends in good order: deregister, sidecars, programs, control plane", async () => {
    const supervisor = await started(mesh(service("price")));
    const stopped = supervisor.stop();
    await settle();
    assert.deepEqual(host.calls.slice(-2).sort(), ["DELETE default/keyboard", "DELETE default/price-1"]);
    for (const expected of [["proxy keyboard", "proxy price-1"], ["serve price"], ["control"]]) {
      const asked = host.running.filter(({ signals }) => signals.length > 0);
      const labels = names().filter((_, index) => host.running[index] && asked.includes(host.running[index]));
      assert.deepEqual(labels.sort(), expected);
      for (const process of asked) process.exit({ code: 0 });
      await settle();
    }
    await stopped;
    assert.deepEqual([host.running.length, host.clock.pending], [0, 0]);
  });

  it("ends within ten seconds whatever does not want to", async () => {
    const supervisor = await started(mesh(service("price")));
    host.client.deregister = () => new Promise(() => undefined);
    let stopped = false;
    void supervisor.stop().then(() => (stopped = true));
    for (const grace of [DEREGISTER_GRACE_MS, SIDECAR_GRACE_MS, PROGRAM_GRACE_MS, CONTROL_GRACE_MS]) {
      await settle();
      host.clock.advance(grace);
    }
    await settle();
    assert.deepEqual([stopped, host.running.length], [true, 0]);
    assert.equal(DEREGISTER_GRACE_MS + SIDECAR_GRACE_MS + PROGRAM_GRACE_MS + CONTROL_GRACE_MS, 10_000);
  });

  it("tells its control plane alone the API token, and how long certificates live", async () => {
    await started(mesh(service("price")), { identityLifetime: "20s", apiToken: "secret" });
    const [control, ...others] = host.running.map(({ program }) => program);
    assert.match(control?.command.join(" ") ?? "", /^heddle control .*--identity-lifetime 20s /);
    assert.equal(control?.env["HEDDLE_API_TOKEN"], "secret");
    assert.equal(others.length, 3);
    for (const { command, env } of [control, ...others].flatMap((program) => program ?? [])) {
      assert.doesNotMatch(command.join(" "), /secret/);
      if (command[1] !== "control") assert.doesNotMatch(JSON.stringify(env), /secret/);
    }
  });

  it("starts without a control plane that does not come up, and says what it waits for", async () => {
    host.client.ready = () => Promise.resolve(false);
    const supervisor = new MeshSupervisor({
      mesh: mesh(service("price")),
      addresses: {
        api: at(1),
        xds: at(2),
        outbound: at(3),
        admin: at(4),
      },
      basePort: 41_000,
      stateDirectory: "/work/shop/.heddle",
      logLevel: "warn",
      identityLifetime: "24h",
      apiToken: undefined,
      host,
    });
    const start = supervisor.start();
    await settle();
    assert.deepEqual(names(), ["control"]);
    for (let passed = 0; passed < 4_000; passed += 100) {
      host.clock.advance(100);
      await settle();
    }
    await start;
    assert.deepEqual(supervisor.waitingFor, [
      "keyboard: its sidecar is not ready",
      "price-1: its sidecar is not ready",
    ]);
  });
});
