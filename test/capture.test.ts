/**
 * A sidecar to which the rules of `heddle init` redirect everything, in a namespace that is joined by a cable to another
 * one. The sidecar runs as root and the programs as somebody else, so that rules can tell them apart.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";

import { API_TOKEN_ENV, AUTHORIZED } from "./support/api-token.ts";
import { runHere } from "../src/cli/init/firewall.ts";
import type { Namespace } from "../src/cli/up/transparent/namespace.ts";
import { metricSum } from "./support/mesh.ts";
import { namespace, needsRoot, outputIn } from "./support/namespaces.ts";
import { heddle } from "./support/up.ts";
import { until } from "./support/until.ts";

const NOBODY = 65_534;
const ADMIN = "127.0.0.1:4191";

/** Ours and theirs, by documentation's networks (RFC 5737, RFC 3849): no mesh gives them out. */
const OURS = { v4: "192.0.2.1", v6: "2001:db8::1" };
const THEIRS = { v4: "192.0.2.2", v6: "2001:db8::2" };

interface Captured {
  readonly ours: Namespace;
  readonly theirs: Namespace;
  readonly metrics: () => Promise<string>;
}

async function captured(
  context: TestContext,
  words: readonly string[] = [],
  before: (ours: Namespace) => Promise<unknown> = async () => {},
): Promise<Captured> {
  const [ours, theirs] = [await namespace(context), await namespace(context)];
  await ours.shell('ip link add eth0 type veth peer name eth0 netns "$1"', theirs.path);
  for (const [place, { v4, v6 }] of [
    [ours, OURS],
    [theirs, THEIRS],
  ] as const) {
    await place.shell(
      'ip address add "$1/24" dev eth0; ip address add "$2/64" dev eth0 nodad; ip link set eth0 up',
      v4,
      v6,
    );
  }
  // The kernel may take a second to notice that both ends are up; until then IPv6 finds nobody.
  for (const place of [ours, theirs]) {
    await until(
      "the cable is up",
      async () => / state UP /.test(await outputIn(place, ["ip", "link", "show", "eth0"])),
      10_000,
    );
  }
  await outputIn(ours, [process.execPath, heddle, "init", "--proxy-uid", "0"]);
  await before(ours);
  const sidecar = ["proxy", "--workload", "ours-1", "--service", "ours", "--admin", ADMIN];
  const listeners = ["--capture-inbound", "[::]:4143", "--capture-outbound", "[::]:4140"];
  const [file = "", ...args] = ours.enter([process.execPath, heddle, ...sidecar, ...listeners, ...words], {
    directory: "/",
  });
  const child = spawn(file, args, { stdio: ["ignore", "ignore", "pipe"] });
  const gone = once(child, "close");
  context.after(async () => {
    child.kill("SIGKILL");
    await gone;
  });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
  await until(
    "the sidecar listens",
    () => {
      if (child.exitCode !== null) throw new Error(`heddle proxy ended: ${said}`);
      return said.includes("sidecar is listening");
    },
    30_000,
  );
  assert.ok(!said.includes("ExperimentalWarning"), said);
  return { ours, theirs, metrics: () => outputIn(ours, ["curl", "-sS", `http://${ADMIN}/metrics`]) };
}

/** Says whom it was called as, and by whom. */
async function serve(context: TestContext, place: Namespace, host: string, port: number): Promise<void> {
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const { localAddress, remoteAddress } = request.socket;
    response.end(JSON.stringify({ host: request.headers.host, localAddress, remoteAddress, path: request.url }));
  });
  server.listen(place.bind({ host, port }));
  await once(server, "listening");
  context.after(() => {
    server.close();
    server.closeAllConnections();
  });
}

/** What curl says as somebody who is not the sidecar: the answer, and where it was connected to. */
async function curl(place: Namespace, url: string): Promise<{ code: number | null; stdout: string }> {
  const words = ["curl", "-sS", "-g", "--max-time", "20", "-w", " at %{remote_ip} %{http_code}", url];
  return runHere(place.enter(words, { directory: "/", uid: NOBODY }), "");
}

for (const workers of [1, 2]) {
  describe(`a captured workload, its sidecar with ${workers} workers`, () => {
    it("calls an unknown address through its sidecar, in IPv4 and IPv6", needsRoot("nft", "curl"), async (context) => {
      const { ours, theirs, metrics } = await captured(context, ["--workers", String(workers)]);
      await serve(context, theirs, "::", 8080);
      for (const [url, host, ip] of [
        [`http://${THEIRS.v4}:8080/a`, `${THEIRS.v4}:8080`, THEIRS.v4],
        [`http://[${THEIRS.v6}]:8080/b`, `[${THEIRS.v6}]:8080`, THEIRS.v6],
      ] as const) {
        const { code, stdout } = await curl(ours, url);
        assert.equal(code, 0, stdout);
        assert.ok(stdout.includes(`"host":"${host}"`), stdout);
        assert.ok(stdout.endsWith(` at ${ip} 200`), stdout);
        const text = await metrics();
        assert.equal(metricSum(text, "request_total", 'direction="outbound"', `target_addr="${host}"`), 1, host);
        assert.equal(metricSum(text, "response_total", `target_addr="${host}"`, 'status_code="200"'), 1, host);
      }
    });

    it(
      "is called through its sidecar, at ports that are known and at others",
      needsRoot("nft", "curl"),
      async (context) => {
        const known = "9000=127.0.0.1:9000,service=price,port=80,protocol=http";
        const { ours, theirs, metrics } = await captured(context, ["--captured", known, "--workers", String(workers)]);
        await serve(context, ours, "127.0.0.1", 9_000);
        await serve(context, ours, "::", 9_001);
        await serve(context, ours, "127.0.0.1", 9_002);
        assert.match((await curl(theirs, `http://${OURS.v4}:9000/`)).stdout, /"localAddress":"127.0.0.1".* 200$/);
        assert.match(
          (await curl(theirs, `http://${OURS.v4}:9001/`)).stdout,
          /"localAddress":"(::ffff:)?192.0.2.1".* 200$/,
        );
        assert.match((await curl(theirs, `http://[${OURS.v6}]:9001/`)).stdout, /"localAddress":"2001:db8::1".* 200$/);
        const loopback = await curl(theirs, `http://${OURS.v4}:9002/`);
        assert.match(loopback.stdout, /HED1005.* 502$/s, "what listens on loopback alone is for nobody else");
        const text = await metrics();
        for (const target of ["127.0.0.1:9000", `${OURS.v4}:9001`, `[${OURS.v6}]:9001`]) {
          const labels = ['direction="inbound"', `target_addr="${target}"`, 'status_code="200"'];
          assert.equal(metricSum(text, "response_total", ...labels), 1, target);
        }
      },
    );
  });
}

/** Judged by the number of the port, since nobody has said which port of the mesh that is. */
const UNKNOWN_PORTS = `apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: admin }
spec: { podSelector: {}, port: 9001, proxyProtocol: HTTP/1 }
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: ours }
spec:
  selector: { matchLabels: { app: ours } }
  portLevelMtls: { 9003: { mode: STRICT } }
`;

/** A control plane beside the sidecar, where it is registered with one port, 9000. */
async function control(context: TestContext, ours: Namespace): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "heddle-capture-"));
  context.after(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, "mesh.yaml"), "services: { ours: { run: ours } }\nresources: [policy.yaml]\n");
  await writeFile(join(folder, "policy.yaml"), UNKNOWN_PORTS);
  const words = [process.execPath, heddle, "control", "-f", join(folder, "mesh.yaml")];
  const [file = "", ...args] = ours.enter(words, { directory: "/" });
  const child = spawn(file, args, { stdio: "ignore", env: { ...process.env, ...API_TOKEN_ENV } });
  const gone = once(child, "close");
  context.after(async () => {
    child.kill("SIGKILL");
    await gone;
  });
  const port = { service: "ours", name: "http", port: 80, address: OURS.v4, addressPort: 9_000, appPort: 9_000 };
  const body = JSON.stringify({ ttlSeconds: 600, labels: { app: "ours" }, ports: [{ ...port, meshed: true }] });
  const url = "http://127.0.0.1:4180/api/v1/workloads/default/ours-1";
  const authorized = `authorization: ${AUTHORIZED.authorization}`;
  const put = ours.enter(["curl", "-sS", "-f", "-X", "PUT", "-H", authorized, "-d", body, url], { directory: "/" });
  await until("it is registered", async () => (await runHere(put, "")).code === 0, 30_000);
}

describe("a captured workload", () => {
  it(
    "is guarded at ports that are not in the mesh, too, by rules that name them",
    needsRoot("nft", "curl"),
    async (context) => {
      const words = ["--xds", "127.0.0.1:4181", "--captured", "9000=127.0.0.1:9000,service=ours,port=80,protocol=http"];
      const { ours, theirs } = await captured(context, words, (place) => control(context, place));
      for (const port of [9_000, 9_001, 9_002, 9_003]) await serve(context, ours, "::", port);
      const status = async (port: number): Promise<string> =>
        (await curl(theirs, `http://${OURS.v4}:${port}/`)).stdout.slice(-3);
      await until("its rules have come", async () => (await status(9_000)) === "200", 30_000);
      assert.deepEqual([await status(9_001), await status(9_002), await status(9_003)], ["403", "200", "403"]);
    },
  );

  it("has bytes of any kind passed through, also where the server speaks first", needsRoot("nft"), async (context) => {
    const { ours, theirs, metrics } = await captured(context);
    const server = createTcpServer((socket) => void socket.on("error", () => {}).end("220 ready\r\n"));
    server.listen(theirs.bind({ host: "::", port: 2_525 }));
    await once(server, "listening");
    context.after(() => void server.close());
    const script = `import socket; s = socket.create_connection(("${THEIRS.v4}", 2525), 10); print(s.recv(99).decode().strip(), s.getpeername()[0])`;
    const ran = await runHere(ours.enter(["python3", "-c", script], { directory: "/", uid: NOBODY }), "");
    assert.equal(ran.stdout, `220 ready ${THEIRS.v4}\n`, ran.stderr);
    const labels = ['direction="outbound"', 'peer="dst"', `target_addr="${THEIRS.v4}:2525"`];
    assert.equal(metricSum(await metrics(), "tcp_open_total", ...labels), 1);
  });

  it(
    "is not passed on to itself for ever: connections to the captured listeners are cut",
    needsRoot("nft", "curl"),
    async (context) => {
      const { ours, theirs, metrics } = await captured(context);
      for (const url of ["http://127.0.0.1:4140/", "http://[::1]:4140/", `http://${OURS.v4}:4140/`]) {
        assert.notEqual((await curl(ours, url)).code, 0, url);
      }
      for (const port of [4140, 4143]) assert.notEqual((await curl(theirs, `http://${OURS.v4}:${port}/`)).code, 0);
      const text = await metrics();
      assert.equal(metricSum(text, "outbound_tcp_errors_total", 'error="loop"'), 3);
      assert.equal(metricSum(text, "inbound_tcp_errors_total", 'error="loop"'), 2);
    },
  );

  it(
    "is no way to elsewhere for a neighbour who sends it what is addressed to others",
    needsRoot("nft", "curl"),
    async (context) => {
      const { ours, theirs, metrics } = await captured(context);
      const third = await namespace(context);
      await ours.shell('ip link add eth1 type veth peer name eth0 netns "$1"', third.path);
      await ours.shell("ip address add 198.51.100.1/24 dev eth1; ip link set eth1 up");
      await third.shell("ip address add 198.51.100.2/24 dev eth0; ip link set eth0 up");
      await serve(context, third, "198.51.100.2", 8080);
      await until(
        "its neighbour answers it",
        async () =>
          (await runHere(ours.enter(["curl", "-sS", "http://198.51.100.2:8080/"], { directory: "/" }), "")).code === 0,
        10_000,
      );
      await theirs.shell('ip route add 198.51.100.0/24 via "$1"', OURS.v4);
      assert.notEqual((await curl(theirs, "http://198.51.100.2:8080/")).code, 0);
      assert.equal(metricSum(await metrics(), "inbound_tcp_errors_total", 'error="elsewhere"'), 1);
    },
  );

  it("calls its own address without the sidecar", needsRoot("nft", "curl"), async (context) => {
    const { ours } = await captured(context);
    await serve(context, ours, "::", 9_001);
    const { stdout } = await curl(ours, `http://${OURS.v4}:9001/self`);
    assert.match(stdout, /"remoteAddress":"(::ffff:)?192.0.2.1".* 200$/);
  });

  it("is told that nobody is there, when nobody is", needsRoot("nft", "curl"), async (context) => {
    const { ours } = await captured(context);
    assert.match((await curl(ours, `http://${THEIRS.v4}:81/`)).stdout, /HED1005.* 502$/s);
  });

  it("is captured no more once the rules are undone", needsRoot("nft", "curl"), async (context) => {
    const { ours, theirs, metrics } = await captured(context);
    await serve(context, theirs, "::", 8080);
    await outputIn(ours, [process.execPath, heddle, "init", "--undo"]);
    assert.equal(await outputIn(ours, ["nft", "list", "ruleset"]), "");
    assert.match(
      (await curl(ours, `http://${THEIRS.v4}:8080/`)).stdout,
      /"remoteAddress":"(::ffff:)?192.0.2.1".* 200$/,
    );
    assert.equal(metricSum(await metrics(), "request_total", 'direction="outbound"'), 0);
  });
});
