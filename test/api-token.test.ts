/** Who may change a mesh: the user who runs its control plane, found by nothing but the API's address, and nobody else. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, it, type TestContext } from "node:test";

import { API_TOKEN_ENV, AUTHORIZED } from "./support/api-token.ts";
import { call } from "./support/application.ts";
import { needs } from "./support/peers.ts";
import { freePorts } from "./support/ports.ts";
import { heddle, read, root, type Up, up } from "./support/up.ts";
import { until } from "./support/until.ts";

/** Long, since many processes start on a machine that others use as well. */
const SLOW_MS = 30_000;
const MESH = join(root, "test", "fixtures", "pair", "mesh.yaml");
const NOBODY = "65534";

let home: string;
const children: ChildProcess[] = [];
before(async () => {
  home = await mkdtemp(join(tmpdir(), "heddle-api-token-"));
});
after(() => rm(home, { recursive: true, force: true }));
afterEach(async () => {
  for (const child of children.splice(0)) await end(child, "SIGKILL");
});

interface Ran {
  readonly code: number | null;
  readonly text: string;
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill(signal);
  await gone;
}

function begin(command: readonly string[], env: Readonly<Record<string, string>>): ChildProcess & { text: string } {
  const [file = "", ...args] = command;
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env }, cwd: "/" });
  const begun = Object.assign(child, { text: "" });
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (begun.text += String(chunk)));
  children.push(child);
  return begun;
}

async function run(
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
  as: readonly string[] = [],
): Promise<Ran> {
  const child = begin([...as, process.execPath, heddle, ...words], { HOME: home, ...env });
  await once(child, "close");
  return { code: child.exitCode, text: child.text };
}

async function startControl(
  port: number,
  env: Readonly<Record<string, string>> = {},
): Promise<ChildProcess & { text: string }> {
  const words = ["control", "--api", `127.0.0.1:${port}`, "--xds", "127.0.0.1:0"];
  const child = begin([process.execPath, heddle, ...words], { HOME: home, ...env });
  await until("the control plane is ready", () => child.text.includes("control plane is ready"), SLOW_MS);
  return child;
}

const folder = (): string => join(home, ".heddle", "api");
const fileOf = (port: string): string => {
  const name = readdirSync(folder()).find((one) => one.startsWith(`127.0.0.1-${port}-`));
  return join(folder(), name ?? `none of ${port}`);
};
const tokenOf = (port: string): string => readFileSync(fileOf(port), "utf8").trim();
const newToken = (api: string): string[] => ["identity", "token", "price-1", "--control", api];

describe("a mesh of heddle up", { timeout: 180_000 }, () => {
  let mesh: Up;
  let port: string;
  before(async () => {
    mesh = await up(MESH, { HOME: home });
    port = mesh.api.split(":")[1] ?? "";
  });
  after(async () => {
    await mesh.stop();
    assert.deepEqual(readdirSync(folder()), []);
  });

  const control = (): number[] => mesh.descendants().filter((pid) => / control --api /.test(mesh.commandLine(pid)));

  it("is changed by its own user with nothing configured", async () => {
    for (const api of [mesh.api, `localhost:${port}`]) {
      const made = await run(newToken(api));
      assert.equal(made.code, 0, made.text);
    }
  });

  const another = needs("setpriv");
  const asRoot = process.geteuid?.() === 0 ? another : { skip: "becomes another user, which root alone may" };
  it("is looked at by another user, but not changed or joined", asRoot, async (context) => {
    const nobody = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"];
    if ((await run(["version", "--control", mesh.api], {}, nobody)).code !== 0) {
      context.skip("another user cannot start programs of this folder");
      return;
    }
    const looked = await run(["endpoints", "--control", mesh.api], {}, nobody);
    assert.deepEqual([looked.code, /echo-1/.test(looked.text)], [0, true], looked.text);
    const explained = await run(
      ["authz", "explain", "--from", "keyboard", "--to", "echo", "--control", mesh.api],
      {},
      nobody,
    );
    assert.deepEqual([explained.code, /allowed/.test(explained.text)], [0, true], explained.text);

    const started = join(home, "started");
    const attempts = [
      newToken(mesh.api),
      ["identity", "rotate", "--control", mesh.api],
      ["run", "--service", "evil", "--control", mesh.api, "--", "touch", started],
    ];
    for (const words of attempts) {
      const { code, text } = await run(words, {}, nobody);
      assert.equal(code, 1, text);
      assert.match(
        text,
        /demands its API token: there is no file \S+\.token\n {2}Run this as the user who runs the control plane, or set HEDDLE_API_TOKEN/,
      );
    }
    assert.equal(existsSync(started), false);
    const told = await run([...(attempts[1] ?? [])], { HEDDLE_API_TOKEN: "x".repeat(40) }, nobody);
    assert.match(told.text, /HEDDLE_API_TOKEN has another/);
    const stolen = await new Promise((resolve) => {
      const cat = begin([...nobody, "cat", fileOf(port)], {});
      cat.once("close", (code) => resolve(code));
    });
    assert.equal(stolen, 1);
    // Whom its user tells the token may.
    assert.equal((await run(newToken(mesh.api), { HEDDLE_API_TOKEN: tokenOf(port) }, nobody)).code, 0);
  });

  it("has another token when its control plane was started again, which all who had joined find", async (context) => {
    const program = [process.execPath, join(root, "test/fixtures/pair/echo.ts")];
    const joined = begin(
      [process.execPath, heddle, "run", "--service", "extra", "--control", mesh.api, "--", ...program],
      {
        HOME: home,
      },
    );
    context.after(() => end(joined, "SIGINT"));
    await until("it serves", async () => (await call(mesh.outbound, "extra")).status === 200, SLOW_MS);
    const earlier = tokenOf(port);
    const [old] = control();
    process.kill(old as number, "SIGKILL");
    await until("another has left its token", () => tokenOf(port) !== earlier, SLOW_MS);
    const change = async (token: string): Promise<number> => {
      const url = `http://${mesh.api}/api/v1/workloads/default/no-such`;
      const init = { method: "DELETE", headers: { authorization: `Bearer ${token}` } };
      return (await fetch(url, init).catch(() => undefined))?.status ?? 0;
    };
    await until("it answers", async () => (await change(tokenOf(port))) === 404, SLOW_MS);
    assert.equal(await change(earlier), 401);
    const [sidecar] = mesh.descendants().filter((pid) => / proxy --workload echo-1 /.test(mesh.commandLine(pid)));
    process.kill(sidecar as number, "SIGKILL");
    await until("a sidecar gets a join token", () => /echo-1\/proxy.*started again/.test(mesh.output()), SLOW_MS);
    const ready = async (): Promise<boolean> => {
      const rows = JSON.parse((await run(["endpoints", "echo", "-o", "json", "--control", mesh.api])).text) as {
        status?: string;
      }[];
      return rows.length === 2 && !JSON.stringify(rows).includes("unhealthy");
    };
    await until("it is registered as ready again", ready, SLOW_MS);
    await end(joined, "SIGINT");
    const workloads = await (await fetch(`http://${mesh.api}/api/v1/workloads`)).text();
    assert.ok(!workloads.includes("extra"), "it has deregistered");
    assert.doesNotMatch(`${mesh.output()}${joined.text}`, /refused|API token/);
  });

  it("shows the token to nobody, least of all to programs", async () => {
    const token = tokenOf(port);
    const answers = await mesh.pages();
    const pids = mesh.descendants();
    const processes = pids.map((pid) => `${mesh.commandLine(pid)} ${read(`/proc/${pid}/environ`)}`);
    assert.ok(pids.length >= 5);
    for (const text of [...answers, ...processes, mesh.output()]) assert.ok(!text.includes(token));
  });
});

describe("a mesh of heddle up with a token that was given", { timeout: 120_000 }, () => {
  it("takes no other, leaves it nowhere, and gives it to its control plane alone", async (context) => {
    const secret = API_TOKEN_ENV.HEDDLE_API_TOKEN;
    const mesh = await up(MESH, { HOME: home, ...API_TOKEN_ENV });
    context.after(() => mesh.stop());
    assert.deepEqual(existsSync(folder()) ? readdirSync(folder()) : [], []);
    assert.equal((await run(newToken(mesh.api), API_TOKEN_ENV)).code, 0);
    const { code, text } = await run(newToken(mesh.api));
    assert.deepEqual([code, /there is no file/.test(text)], [1, true], text);
    for (const pid of mesh.descendants()) {
      const given = read(`/proc/${pid}/environ`).includes(secret);
      assert.equal(given, / control --api /.test(mesh.commandLine(pid)), mesh.commandLine(pid));
      assert.ok(!mesh.commandLine(pid).includes(secret));
    }
    assert.ok(!mesh.output().includes(secret));
  });
});

describe("heddle control", { timeout: 120_000 }, () => {
  it("has a token of its own on each port, and takes it away at its end", async () => {
    const [one, two] = await freePorts(2);
    const first = await startControl(one as number);
    const second = await startControl(two as number);
    assert.notEqual(tokenOf(`${one}`), tokenOf(`${two}`));
    for (const port of [one, two]) assert.equal((await run(newToken(`127.0.0.1:${port}`))).code, 0);
    await end(first, "SIGTERM");
    await end(second, "SIGTERM");
    assert.deepEqual(readdirSync(folder()), []);
    assert.ok(!`${first.text}${second.text}`.includes("Bearer"));
  });

  it("replaces what one that was killed has left, and does not touch that of one that lives", async () => {
    const [port] = await freePorts(1);
    const killed = await startControl(port as number);
    const stale = tokenOf(`${port}`);
    await end(killed, "SIGKILL");
    assert.equal(tokenOf(`${port}`), stale);
    const living = await startControl(port as number);
    const token = tokenOf(`${port}`);
    assert.notEqual(token, stale);
    assert.equal((await run(newToken(`127.0.0.1:${port}`))).code, 0);
    const late = await run(["control", "--api", `127.0.0.1:${port}`, "--xds", "127.0.0.1:0"]);
    assert.deepEqual([late.code, /another control plane/.test(late.text)], [1, true], late.text);
    assert.equal(tokenOf(`${port}`), token);
    await end(living, "SIGTERM");
  });

  it("does not start with a token that is none, or where it may not leave one", async (context: TestContext) => {
    const bad = await run(["control", "--api", "127.0.0.1:0", "--xds", "127.0.0.1:0"], {
      HEDDLE_API_TOKEN: "secret-but-short",
    });
    assert.deepEqual(
      [bad.code, bad.text.startsWith("heddle: HEDDLE_API_TOKEN: expected 32 to 1024")],
      [2, true],
      bad.text,
    );
    assert.ok(!bad.text.includes("secret-but-short"));
    const other = await mkdtemp(join(tmpdir(), "heddle-open-"));
    context.after(() => rm(other, { recursive: true }));
    mkdirSync(join(other, ".heddle"));
    chmodSync(join(other, ".heddle"), 0o777);
    const open = await run(["control", "--api", "127.0.0.1:0", "--xds", "127.0.0.1:0"], { HOME: other });
    assert.equal(open.code, 1);
    assert.match(
      open.text,
      /cannot leave the API token in .*\.heddle\/api: .*\.heddle can be written to by others .*chmod 700 .*HEDDLE_API_TOKEN/,
    );
  });

  it("answers a change without the token before it has read what it would be told", async () => {
    const [port] = await freePorts(1);
    await startControl(port as number, API_TOKEN_ENV);
    const url = `http://127.0.0.1:${port}/api/v1/workloads/default/price-1`;
    const body = `{"ttlSeconds":60,"ports":[],"labels":{"x":"${"x".repeat(900_000)}"}}`;
    for (let round = 0; round < 3; round++) {
      assert.equal((await fetch(url, { method: "PUT", body })).status, 401);
      assert.equal((await fetch(url, { method: "PUT", body, headers: AUTHORIZED })).status, 422);
    }
    assert.equal(await (await fetch(`http://127.0.0.1:${port}/api/v1/workloads`)).text(), "[]");
  });
});
