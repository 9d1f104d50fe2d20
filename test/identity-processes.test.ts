/** The control plane, sidecars and the command line as processes of their own: certificates from the first to the last. */
import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, it, type TestContext } from "node:test";
import { promisify } from "node:util";

import type { IdentityAnswer } from "../src/cli/control-client.ts";
import { metricSum } from "./support/mesh.ts";
import { freePorts } from "./support/ports.ts";
import { root, heddle, up } from "./support/up.ts";
import { until } from "./support/until.ts";

const run = promisify(execFile);

interface Control {
  readonly process: ChildProcess;
  readonly api: string;
  readonly xds: string;
  output(): string;
}

interface Sidecar {
  readonly process: ChildProcess;
  readonly admin: string;
  readonly token: string;
  output(): string;
}

const children: ChildProcess[] = [];
let state: string;
before(async () => {
  state = await mkdtemp(join(tmpdir(), "heddle-identity-"));
});
after(() => rm(state, { recursive: true }));
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill("SIGKILL");
    await once(child, "exit");
  }
});

function begin(words: readonly string[], env: Readonly<Record<string, string>> = {}): ChildProcess & { text: string } {
  const child = spawn(process.execPath, [heddle, ...words], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  const begun = Object.assign(child, { text: "" });
  child.stdout.on("data", (chunk) => (begun.text += String(chunk)));
  child.stderr.on("data", (chunk) => (begun.text += String(chunk)));
  children.push(child);
  return begun;
}

async function startControl(...more: string[]): Promise<Control> {
  const [api, xds] = await freePorts(2);
  const words = ["control", "--api", `127.0.0.1:${api}`, "--xds", `127.0.0.1:${xds}`, "--state-dir", state, ...more];
  const child = begin(words);
  await until("the control plane is ready", () => child.text.includes("control plane is ready"), 30_000);
  return { process: child, api: `127.0.0.1:${api}`, xds: `127.0.0.1:${xds}`, output: () => child.text };
}

async function newToken({ api }: Control, workload: string): Promise<string> {
  const words = ["identity", "token", workload, "--service-account", "price", "-n", "shop", "--control", api];
  return (await run(process.execPath, [heddle, ...words])).stdout.trim();
}

async function startSidecar(control: Control, workload: string, token: string, ...more: string[]): Promise<Sidecar> {
  const [admin] = await freePorts(1);
  const words = ["proxy", "--workload", workload, "-n", "shop", "--service", "price", "--xds", control.xds];
  const child = begin([...words, "--admin", `127.0.0.1:${admin}`, ...more], { HEDDLE_JOIN_TOKEN: token });
  await until("it listens or has ended", () => /is listening/.test(child.text) || child.exitCode !== null, 30_000);
  return { process: child, admin: `http://127.0.0.1:${admin}`, token, output: () => child.text };
}

async function ready(sidecar: Sidecar): Promise<void> {
  const answers = async () => (await fetch(`${sidecar.admin}/ready`).catch(() => undefined))?.ok ?? false;
  await until("the sidecar is ready", answers, 30_000).catch((error: unknown) => {
    throw new Error(sidecar.output(), { cause: error });
  });
}

async function refreshes({ admin }: Sidecar): Promise<number> {
  return metricSum(await (await fetch(`${admin}/metrics`)).text(), "identity_cert_refresh_count");
}

async function identity({ api }: Control): Promise<IdentityAnswer> {
  return (await (await fetch(`http://${api}/api/v1/identity`)).json()) as IdentityAnswer;
}

describe("certificates of processes", { timeout: 110_000 }, () => {
  it("come by a token, are renewed again and again, and the token shows nowhere", async () => {
    const control = await startControl("--identity-lifetime", "10s", "--log-level", "debug");
    const sidecar = await startSidecar(control, "price-1", await newToken(control, "price-1"), "--log-level", "debug");
    await ready(sidecar);
    await until("it has been renewed twice", async () => (await refreshes(sidecar)) >= 3, 40_000);
    const text = await (await fetch(`${sidecar.admin}/metrics`)).text();
    const expires = metricSum(text, "identity_cert_expiration_timestamp_seconds");
    assert.ok(expires > Date.now() / 1_000 && expires < Date.now() / 1_000 + 11);
    const [, secret = "-"] = sidecar.token.split(".");
    const shown = [control.output(), sidecar.output(), await (await fetch(`${sidecar.admin}/env.json`)).text()].join(
      "",
    );
    assert.ok(!shown.includes(secret));
    assert.ok(!readFileSync(`/proc/${sidecar.process.pid}/cmdline`, "utf8").includes(secret));
    const own = await (await fetch(`http://${control.api}/metrics`)).text();
    assert.ok(metricSum(own, "heddle_control_certificates_issued_total") >= 3);
    assert.ok(metricSum(own, "issuer_cert_ttl_seconds") > 300 * 86_400);
  });

  it("are not given for a token that was used: the sidecar is never ready, says why and ends", async () => {
    const control = await startControl();
    const token = await newToken(control, "price-1");
    await ready(await startSidecar(control, "price-1", token));
    const again = await startSidecar(control, "price-1", token);
    if (again.process.exitCode === null) await once(again.process, "exit");
    assert.equal(again.process.exitCode, 1);
    assert.match(again.output(), /gives this sidecar no certificate: .*the join token is not known/);
    assert.match(again.output(), /HEDDLE_JOIN_TOKEN/);
  });

  it("are ready for threads, too, and root and issuer change under all of them", async () => {
    const control = await startControl();
    const sidecars = await Promise.all(
      ["price-1", "price-2", "price-3"].map(async (name, index) => {
        const more = index === 0 ? ["--workers", "2"] : [];
        return startSidecar(control, name, await newToken(control, name), ...more);
      }),
    );
    for (const sidecar of sidecars) await ready(sidecar);
    const earlier = await identity(control);
    const rotate = [heddle, "identity", "rotate", "--control", control.api];
    const rotated = await run(process.execPath, rotate, { timeout: 60_000 });
    assert.match(rotated.stderr, /1 of 3, .*\n(?:.*\n)*2 of 3, .*\n(?:.*\n)*3 of 3, .*\n(?:.*\n)*Rotated\.\n$/);
    const later = await identity(control);
    assert.equal(later.rotation, null);
    assert.equal(later.roots.length, 1);
    assert.notEqual(later.roots[0]?.fingerprint, earlier.roots[0]?.fingerprint);
    for (const proxy of later.proxies) {
      assert.deepEqual([proxy.issuer, proxy.roots], [later.issuer.fingerprint, [later.roots[0]?.fingerprint]]);
    }
    for (const sidecar of sidecars) {
      assert.equal(sidecar.process.exitCode, null);
      assert.equal(await refreshes(sidecar), 2);
    }
    const shown = await run(process.execPath, [heddle, "identity", "show", "-o", "json", "--control", control.api]);
    assert.equal((JSON.parse(shown.stdout) as { proxies: unknown[] }).proxies.length, 3);

    const issuer = await run(process.execPath, [...rotate, "--issuer"], { timeout: 60_000 });
    assert.match(issuer.stderr, /Rotated\.\n$/);
    const last = await identity(control);
    assert.equal(last.roots[0]?.fingerprint, later.roots[0]?.fingerprint);
    assert.notEqual(last.issuer.fingerprint, later.issuer.fingerprint);
  });
});

describe("a mesh of heddle up", { timeout: 110_000 }, () => {
  it("has a certificate for every sidecar, and a new one for a sidecar that was started again", async (context: TestContext) => {
    const mesh = await up(join(root, "test", "fixtures", "pair", "mesh.yaml"));
    context.after(() => mesh.stop());
    const proxies = async () =>
      ((await (await fetch(`http://${mesh.api}/api/v1/identity`)).json()) as IdentityAnswer).proxies;
    const first = await proxies();
    assert.ok(first.some(({ workload, identity: id }) => workload === "keyboard" && id.endsWith("/sa/keyboard")));
    assert.ok(first.length >= 2);
    const one = first.find(({ workload }) => workload !== "keyboard");
    assert.ok(one);
    assert.ok(one.workload.startsWith(one.identity.split("/").at(-1) ?? "-"));
    const pid = mesh.descendants().find((id) => mesh.commandLine(id).includes(` proxy --workload ${one.workload} `));
    assert.ok(pid);
    process.kill(pid, "SIGKILL");
    await until(
      "it is back, with another certificate",
      async () => {
        const now = (await proxies()).find(({ workload }) => workload === one.workload);
        return now?.connected === true && now.notAfter !== null && now.notAfter > (one.notAfter ?? "");
      },
      30_000,
    );
    // No token stands where others can see it.
    for (const id of mesh.descendants()) assert.doesNotMatch(mesh.commandLine(id), /token/i);
  });
});
