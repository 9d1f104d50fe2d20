/**
 * A control plane on one machine and sidecars on another, as processes. The machines are two network namespaces, joined by
 * a cable; what passes on it is recorded.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";

import { RegistryStore } from "../src/control/sources/registry-store.ts";
import { registration } from "../src/control/testing/registration.ts";
import type { Namespace } from "../src/cli/up/transparent/namespace.ts";
import { systemClock } from "../src/net/clock.ts";
import { logger } from "./support/certify.ts";
import { metricSum } from "./support/mesh.ts";
import { namespace, needsRoot, outputIn } from "./support/namespaces.ts";
import { heddle } from "./support/up.ts";
import { until } from "./support/until.ts";

/** By a network of documentation (RFC 5737): no mesh gives them out. */
const NEAR = "192.0.2.1";
const FAR = "192.0.2.2";
const API = "127.0.0.1:4180";
const XDS = `${NEAR}:4181`;
/** Long, since processes start on a machine that others use as well. */
const START_MS = 40_000;

interface Machines {
  /** Of the control plane. */
  readonly near: Namespace;
  /** Of the sidecars. */
  readonly far: Namespace;
  readonly folder: string;
}

interface Started {
  readonly process: ChildProcess;
  output(): string;
}

async function machines(context: TestContext): Promise<Machines> {
  const folder = await mkdtemp(join(tmpdir(), "heddle-machines-"));
  context.after(() => rm(folder, { recursive: true, maxRetries: 10 }));
  // Each has the same addresses: what commands keep of one there is not for the next.
  process.env.HOME = folder;
  const [near, far] = [await namespace(context), await namespace(context)];
  await near.shell('ip link add eth0 type veth peer name eth0 netns "$1"', far.path);
  for (const [place, address] of [
    [near, NEAR],
    [far, FAR],
  ] as const) {
    await place.shell('ip address add "$1/24" dev eth0; ip link set eth0 up', address);
  }
  return { near, far, folder };
}

function start(
  context: TestContext,
  place: Namespace,
  command: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Started {
  const [file = "", ...args] = place.enter(command, { directory: "/" });
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
  const gone = once(child, "close");
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (text += String(chunk)));
  context.after(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    await gone;
  });
  return { process: child, output: () => text };
}

async function says(started: Started, what: RegExp): Promise<void> {
  await until(`it says ${what}`, () => what.test(started.output()), START_MS).catch((error: unknown) => {
    throw new Error(started.output(), { cause: error });
  });
}

async function startControl(context: TestContext, { near, folder }: Machines, ...words: string[]): Promise<Started> {
  const command = ["control", "--xds", "0.0.0.0:4181", "--state-dir", folder, "--log-level", "debug", ...words];
  const control = start(context, near, [process.execPath, heddle, ...command]);
  await says(control, /control plane is ready/);
  return control;
}

async function newToken({ near }: Machines, workload: string, serviceAccount: string): Promise<string> {
  const words = ["identity", "token", workload, "--service-account", serviceAccount, "--control", API];
  return (await outputIn(near, [process.execPath, heddle, ...words])).trim();
}

function startSidecar(context: TestContext, { far }: Machines, token: string, ...words: string[]): Started {
  const command = ["proxy", "--xds", XDS, "--log-level", "debug", ...words];
  return start(context, far, [process.execPath, heddle, ...command], token === "" ? {} : { HEDDLE_JOIN_TOKEN: token });
}

/** The body of an answer, "" for none or another status than 200. */
async function get(place: Namespace, url: string, ...flags: string[]): Promise<string> {
  const { code, stdout } = await place.run(["curl", "-s", "-f", "-m", "5", ...flags, url], "");
  return code === 0 ? stdout : "";
}

async function ready({ far }: Machines, admin: string, sidecar: Started): Promise<void> {
  await until("the sidecar is ready", async () => (await get(far, `http://${admin}/ready`)) !== "", START_MS).catch(
    (error: unknown) => {
      throw new Error(sidecar.output(), { cause: error });
    },
  );
}

async function refused({ near }: Machines, reason: string): Promise<number> {
  const text = await get(near, `http://${API}/metrics`);
  return metricSum(text, "heddle_control_xds_refused_total", `reason="${reason}"`);
}

describe("sidecars on another machine than the control plane", { timeout: 400_000 }, () => {
  it(
    "get certificates and discovery in TLS, with nothing configured, and carry traffic",
    needsRoot("curl", "tcpdump"),
    async (context) => {
      const of = await machines(context);
      await register(of.folder);
      const record = join(of.folder, "wire.pcap");
      const recorder = start(context, of.near, [
        "tcpdump",
        "-U",
        "--immediate-mode",
        "-i",
        "eth0",
        "-w",
        record,
        "tcp",
        "port",
        "4181",
      ]);
      await says(recorder, /listening on/);
      const control = await startControl(context, of);
      const application = `require("node:http").createServer((_, answer) => answer.end("9.99")).listen(8080, "127.0.0.1")`;
      start(context, of.far, [process.execPath, "-e", application]);
      const [priceToken, cartToken] = [await newToken(of, "price-1", "price"), await newToken(of, "cart-1", "cart")];
      const inbound = `${FAR}:20003=127.0.0.1:8080,port=80,protocol=http`;
      const names = ["--workload", "price-1", "--service", "price"];
      const price = startSidecar(context, of, priceToken, ...names, "--inbound", inbound, "--workers", "2");
      const out = ["--outbound", "127.0.0.1:4140", "--admin", "127.0.0.1:4192"];
      const cart = startSidecar(context, of, cartToken, "--workload", "cart-1", "--service-account", "cart", ...out);
      await ready(of, "127.0.0.1:4191", price);
      await ready(of, "127.0.0.1:4192", cart);
      const answer = (): Promise<string> => get(of.far, "http://127.0.0.1:4140/", "-H", "host: price");
      await until("an answer", async () => (await answer()) === "9.99", 20_000).catch((error: unknown) => {
        throw new Error(cart.output() + price.output() + control.output(), { cause: error });
      });
      // Between the sidecars it is TLS, so both have certificates of the same authority.
      assert.ok(metricSum(await get(of.far, "http://127.0.0.1:4192/metrics"), "heddle_tls_handshakes_total") >= 1);

      recorder.process.kill("SIGINT");
      await until("the record is whole", () => recorder.process.exitCode !== null);
      const wire = (await readFile(record)).toString("latin1");
      assert.ok(wire.length > 4_000 && wire.includes("heddle-control.heddle.serviceaccount"));
      const secrets = [priceToken, cartToken].flatMap((token) => token.split(".").slice(1, 3));
      for (const word of [...secrets, "price-1", "cart-1", "price.default", "envoy.service", "Certify"]) {
        assert.ok(!wire.includes(word), word);
      }
      for (const started of [control, price, cart]) {
        for (const secret of secrets) assert.ok(!started.output().includes(secret));
      }
      assert.doesNotMatch(control.output(), /refused/);
    },
  );

  it("are refused in plain, and told the remedy; served with --insecure-xds", needsRoot("curl"), async (context) => {
    const of = await machines(context);
    const control = await startControl(context, of);
    const plain = startSidecar(context, of, "", "--workload", "price-1");
    await says(plain, /without a join token this sidecar speaks to the control plane in plain/);
    await until("it is counted", async () => (await refused(of, "plaintext")) > 0);
    assert.match(control.output(), /WARN .*reason=plaintext .*HEDDLE_JOIN_TOKEN.*--insecure-xds/);
    assert.equal(await get(of.far, "http://127.0.0.1:4191/ready"), "");
    // On its own machine it is served as ever.
    const own = ["proxy", "--workload", "keyboard", "--xds", "127.0.0.1:4181", "--outbound", "127.0.0.1:4140"];
    const keyboard = start(context, of.near, [process.execPath, heddle, ...own]);
    await says(keyboard, /connected to the control plane/);

    control.process.kill("SIGTERM");
    await once(control.process, "close");
    await startControl(context, of, "--insecure-xds");
    await says(plain, /connected to the control plane/);
    const secured = startSidecar(context, of, await newToken(of, "price-2", "price"), ...SECOND);
    await ready(of, "127.0.0.1:4192", secured);
  });

  it(
    "come back after they stood still while the root was changed, though they know the old one only",
    needsRoot("curl"),
    async (context) => {
      const of = await machines(context);
      await startControl(context, of);
      const one = startSidecar(context, of, await newToken(of, "price-1", "price"), "--workload", "price-1", ...PRICE);
      await ready(of, "127.0.0.1:4191", one);
      const other = startSidecar(context, of, await newToken(of, "price-2", "price"), ...SECOND);
      await ready(of, "127.0.0.1:4192", other);
      other.process.kill("SIGSTOP");
      // Most of its time the control plane finds out that nobody is there (PING), and waits for who may come back.
      const rotated = start(context, of.near, [process.execPath, heddle, "identity", "rotate", "--control", API]);
      await until("the root is changed", () => rotated.process.exitCode !== null, 150_000);
      assert.equal(rotated.process.exitCode, 0, rotated.output());
      assert.doesNotMatch(rotated.output(), /price-2 .*yes/);
      other.process.kill("SIGCONT");
      const times = (what: RegExp): number => other.output().match(what)?.length ?? 0;
      await until(
        "it has a new certificate, and discovery again",
        () => times(/a new certificate is in use/g) === 2 && times(/connected to the control plane/g) === 2,
        START_MS,
      ).catch((error: unknown) => {
        throw new Error(other.output(), { cause: error });
      });
      const shown = await outputIn(of.near, [process.execPath, heddle, "identity", "show", "--control", API]);
      assert.equal(shown.match(/^default +price-\d .* current +1\/1 +yes$/gm)?.length, 2, shown);
    },
  );

  it("end with a token that was cut, and do not show it", needsRoot(), async (context) => {
    const of = await machines(context);
    await startControl(context, of);
    const token = await newToken(of, "price-1", "price");
    const sidecar = startSidecar(context, of, token.slice(0, -40), "--workload", "price-1");
    await says(sidecar, /HEDDLE_JOIN_TOKEN has no join token: root 1 in it is not/);
    await until("it has ended", () => sidecar.process.exitCode !== null);
    assert.equal(sidecar.process.exitCode, 2);
    for (const part of token.split(".").slice(1)) assert.ok(!sidecar.output().includes(part));
  });
});

const PRICE = ["--service", "price"];
const SECOND = ["--workload", "price-2", ...PRICE, "--admin", "127.0.0.1:4192"];

/** As if `price-1` had been registered before the control plane was started. */
async function register(folder: string): Promise<void> {
  const port = { service: "price", name: "http", port: 80, protocol: "http", meshed: true };
  const more = { serviceAccount: "price", ports: [{ ...port, address: FAR, addressPort: 20_003 }], ttlSeconds: 600 };
  const registrations = (): ReturnType<typeof registration>[] => [registration("price-1", more)];
  const store = new RegistryStore({ folder, clock: systemClock, logger: logger([]), registrations });
  store.changed();
  await store.close();
}
