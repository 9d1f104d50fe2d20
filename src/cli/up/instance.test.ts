import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { FakeHost, settle, type FakeProcess } from "../testing/fake-host.ts";
import { Instance } from "./instance.ts";
import type { InstanceDefinition } from "./plan.ts";

const http = { name: "http", port: 80, protocol: "http", env: "PORT" } as const;
const definition: InstanceDefinition = {
  namespace: "default",
  service: {
    name: "price",
    command: ["node", "price.ts"],
    directory: "/work/shop",
    ports: [http],
    upstreams: [],
    env: {},
    labels: {},
    ready: "",
  },
  instance: { name: "price-1", env: {}, labels: {} },
};
const APP = 1000;
const ADMIN = 5000;

describe("Instance", () => {
  let host: FakeHost;
  let instance: Instance;
  let readies: number;
  beforeEach(() => {
    host = new FakeHost();
    readies = 0;
    instance = new Instance({
      definition,
      ports: { ports: [{ definition: http, app: APP, inbound: 2000 }], upstreams: [], outbound: 4000, admin: ADMIN },
      addresses: { xds: { host: "127.0.0.1", port: 4181 } },
      sidecar: { logLevel: "warn", shutdownGraceMs: 4_000 },
      host,
      onReady: () => readies++,
    });
  });

  function process(program: string): FakeProcess {
    const found = host.running.find(({ program: { command } }) => command[0] === program);
    assert.ok(found, `${program} runs`);
    return found;
  }

  function health(): string | undefined {
    return host.registrations.get("default/price-1")?.health;
  }

  async function pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 10) {
      await settle();
      host.clock.advance(10);
    }
    await settle();
  }

  async function becomeReady(): Promise<void> {
    instance.start();
    host.open.add(ADMIN);
    await pass(50);
    host.open.add(APP);
    await pass(600);
    assert.equal(instance.ready, true);
  }

  it("starts the sidecar, then the program, and is healthy when both are ready", async () => {
    instance.start();
    await pass(100);
    assert.deepEqual(
      host.running.map(({ program }) => program.command[0]),
      ["heddle"],
    );
    assert.equal(instance.waitingFor, "its sidecar is not ready");
    assert.equal(health(), "unhealthy");
    host.open.add(ADMIN);
    await pass(500);
    assert.equal(process("node").program.env["PORT"], "1000");
    assert.equal(instance.waitingFor, "nothing listens on 127.0.0.1:1000 (the variable PORT tells it to)");
    host.open.add(APP);
    await pass(500);
    assert.equal(instance.waitingFor, "");
    assert.deepEqual([health(), instance.ready, readies], ["healthy", true, 1]);
  });

  it("takes no traffic from the moment its program ends until it is ready again", async () => {
    await becomeReady();
    host.open.delete(APP);
    process("node").exit({ signal: "SIGKILL" });
    await settle();
    assert.deepEqual([health(), instance.ready], ["unhealthy", false]);
    assert.equal(instance.waitingFor, "its program was ended by SIGKILL");
    await pass(200);
    assert.equal(health(), "unhealthy");
    host.open.add(APP);
    await pass(500);
    assert.equal(health(), "healthy");
    assert.equal(readies, 2);
  });

  it("takes no traffic while its sidecar is away; the program goes on", async () => {
    await becomeReady();
    const program = process("node");
    host.open.delete(ADMIN);
    process("heddle").exit({ code: 1 });
    await settle();
    assert.equal(health(), "unhealthy");
    host.open.add(ADMIN);
    await pass(700);
    assert.equal(health(), "healthy");
    assert.equal(process("node"), program);
  });

  it("is not ready before the control plane has accepted it", async () => {
    host.trouble = new Error("gone");
    instance.start();
    host.open.add(ADMIN).add(APP);
    await pass(200);
    assert.deepEqual([instance.ready, instance.waitingFor], [false, "the control plane does not answer"]);
    host.trouble = undefined;
    await pass(300);
    assert.equal(instance.ready, true);
  });

  it("is healthy without ports as soon as its program runs", async () => {
    const { service } = definition;
    const caller = new Instance({
      definition: { ...definition, service: { ...service, ports: [] } },
      ports: { ports: [], upstreams: [], outbound: 4000, admin: ADMIN },
      addresses: { xds: { host: "127.0.0.1", port: 4181 } },
      sidecar: { logLevel: "warn", shutdownGraceMs: 4_000 },
      host,
      onReady: () => readies++,
    });
    host.open.add(ADMIN);
    caller.start();
    await pass(100);
    assert.equal(caller.ready, true);
  });

  it("leaves no timer and no process behind", async () => {
    await becomeReady();
    await instance.deregister();
    const sidecar = instance.stopSidecar(4_000);
    const program = instance.stopProgram(3_000);
    process("node").exit({ code: 0 });
    process("heddle").exit({ code: 0 });
    await Promise.all([sidecar, program]);
    await settle();
    assert.deepEqual([host.clock.pending, host.running.length], [0, 0]);
    assert.equal(host.calls.at(-1), "DELETE default/price-1");
  });
});
