/** A sidecar that nobody has registered, but that has proved who it is. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";

import { call } from "./support/application.ts";
import { freePorts } from "./support/ports.ts";
import { heddle, root, up } from "./support/up.ts";
import { until } from "./support/until.ts";

const SLOW_MS = 30_000;
const ID = "spiffe://cluster.local/ns/default/sa/hand";

it("a sidecar that is not registered is known by its certificate", { timeout: 120_000 }, async (context) => {
  const home = await mkdtemp(join(tmpdir(), "heddle-unregistered-"));
  context.after(() => rm(home, { recursive: true, force: true }));
  const mesh = await up(join(root, "test", "fixtures", "pair", "mesh.yaml"), { HOME: home });
  context.after(() => mesh.stop());
  const env = { ...process.env, HOME: home, HEDDLE_CONTROL: mesh.api };
  const begin = (words: readonly string[], more: Readonly<Record<string, string>> = {}): ChildProcess =>
    spawn(process.execPath, [heddle, ...words], { env: { ...env, ...more }, stdio: ["ignore", "pipe", "ignore"] });
  const run = async (...words: string[]): Promise<string> => {
    const child = begin(words);
    let text = "";
    child.stdout?.on("data", (chunk) => (text += String(chunk)));
    await once(child, "close");
    return text;
  };

  const [outbound, admin] = await freePorts(2);
  const token = (await run("identity", "token", "hand-1", "--service-account", "hand")).trim();
  const words = ["proxy", "--workload", "hand-1", "--service-account", "hand", "--xds", mesh.xds];
  words.push("--outbound", `127.0.0.1:${outbound}`, "--admin", `127.0.0.1:${admin}`);
  const sidecar = begin(words, { HEDDLE_JOIN_TOKEN: token });
  context.after(async () => {
    const gone = once(sidecar, "exit");
    sidecar.kill("SIGKILL");
    await gone;
  });
  const ready = (): Promise<boolean> =>
    fetch(`http://127.0.0.1:${admin}/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
  await until("its sidecar is ready", ready, SLOW_MS);

  await until(
    "its edges are secured, with both identities",
    async () => {
      assert.equal((await call(`http://127.0.0.1:${outbound}`, "echo")).status, 200);
      return /^hand-1 +echo +default +default +hand\.default +echo\.default +√$/m.test(
        await run("edges", "-o", "wide"),
      );
    },
    SLOW_MS,
  );
  for (const name of ["hand-1", "hand"]) {
    const text = await run("authz", "explain", "--from", name, "--to", "echo");
    assert.ok(text.startsWith(`hand-1.default (${ID})\n`), text);
  }
  assert.match(await run("authz", "generate"), /name: hand$/m);
});
