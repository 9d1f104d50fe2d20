import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";

import { startLoad } from "./support/load.ts";
import { until } from "./support/until.ts";
import { root, up, type Up } from "./support/up.ts";

const RATE = 200;

describe("crashes under load", () => {
  let mesh: Up;

  before(async () => {
    mesh = await up(join(root, "test/fixtures/pair/mesh.yaml"));
  });
  after(() => mesh.stop());

  it("an application killed with SIGKILL costs no request but those in its hands, and comes back", async () => {
    const load = startLoad(mesh.outbound, "echo", "/", RATE);
    await until("both instances serve", () => new Set(load.sent.map(({ body }) => body)).size === 2);
    const victim = Number(load.sent[0]?.body);
    process.kill(victim, "SIGKILL");
    // Until then the kernel goes on accepting connections for it: those are in its hands.
    await until("it is gone", () => !alive(victim));
    const killedAt = performance.now();
    await until(
      "a third process serves",
      () => new Set(load.sent.filter((s) => s.status === 200).map((s) => s.body)).size === 3,
    );
    const sent = await load.stop();
    const failed = sent.filter(({ status }) => status !== 200);
    const lost = failed.filter(({ at }) => at > killedAt);
    assert.deepEqual(lost, [], "requests sent after its end");
    assert.ok(failed.length <= RATE * 0.05, `${failed.length} failed: more than can have been in its hands`);
    const late = sent.filter(({ at, body }) => body === String(victim) && at > killedAt + 1_000);
    assert.deepEqual(late, []);
  });

  it("a control plane killed with SIGKILL costs nothing, and comes back knowing everything", async () => {
    const load = startLoad(mesh.outbound, "echo", "/", RATE);
    await until("there is traffic", () => load.sent.length > 50);
    const control = mesh.descendants().find((pid) => isControl(pid, mesh));
    assert.ok(control !== undefined, "the control plane was found");
    process.kill(control, "SIGKILL");
    const at = load.sent.length;
    await until("it is back with both workloads", () => knowsBoth(mesh), 15_000);
    await until("traffic went on", () => load.sent.length > at + RATE / 2);
    const sent = await load.stop();
    assert.deepEqual(
      sent.filter(({ status }) => status !== 200),
      [],
    );
  });
});

describe("a stop", () => {
  it("leaves no process behind", async () => {
    const mesh = await up(join(root, "test/fixtures/pair/mesh.yaml"));
    const children = mesh.descendants();
    assert.ok(children.length >= 6, `control plane, three sidecars, two services: found ${children.length}`);
    await mesh.stop();
    await until("all have ended", () => children.every((pid) => !alive(pid)));
  });

  it("leaves no process behind even when `heddle up` itself is killed", async () => {
    const mesh = await up(join(root, "test/fixtures/pair/mesh.yaml"));
    const children = mesh.descendants();
    mesh.process.kill("SIGKILL");
    await until("all have ended", () => children.every((pid) => !alive(pid)), 10_000);
    await mesh.stop();
  });
});

function isControl(pid: number, mesh: Up): boolean {
  const text = mesh.commandLine(pid);
  return text.includes("control") && text.includes(mesh.api);
}

async function knowsBoth(mesh: Up): Promise<boolean> {
  try {
    const response = await fetch(`http://${mesh.api}/api/v1/endpoints?service=echo`);
    const endpoints = (await response.json()) as { health: string }[];
    return endpoints.filter(({ health }) => health === "healthy").length === 2;
  } catch {
    return false;
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
