import assert from "node:assert/strict";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { createServer, request as httpRequest } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";

import { API_TOKEN, AUTHORIZED } from "../../test/support/api-token.ts";
import { until } from "../../test/support/until.ts";
import type { ServiceView } from "../model/mesh.ts";
import { systemClock } from "../net/clock.ts";
import { XdsClient } from "../xds/client.ts";
import type { NodeStatus } from "../xds/node.ts";
import { API_CONNECTIONS_MAX, type ControlOptions, type RunningControl, startControl } from "./control.ts";
import type { SourceStatus } from "./sources/source.ts";
import { registrationBody } from "./testing/registration.ts";
import type { StatRow } from "./stat/stat-table.ts";
import { recordingLogger } from "./testing/logger.ts";

const ANY = { host: "127.0.0.1", port: 0 };

const cleanups: (() => void | Promise<void>)[] = [];
let folder = "";
let file = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "heddle-control-"));
  file = join(folder, "mesh.yaml");
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
  await rm(folder, { recursive: true, force: true });
});

async function start(more: Partial<ControlOptions> = {}) {
  const { logger, lines } = recordingLogger();
  const options = {
    api: ANY,
    apiToken: API_TOKEN,
    xds: ANY,
    files: [file],
    stateDirectory: join(folder, "state"),
    logger,
    ...more,
  };
  const control = await startControl(options);
  cleanups.push(() => control.close());
  return { control, lines };
}

async function call(control: RunningControl, method: string, path: string, body?: object): Promise<unknown> {
  const init = { method, headers: AUTHORIZED, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
  const response = await fetch(`http://127.0.0.1:${control.apiAddress.port}${path}`, init);
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
  return text === "" ? undefined : (JSON.parse(text) as unknown);
}

async function register(control: RunningControl, name: string, port: number, more: object = {}): Promise<void> {
  const [first] = registrationBody.ports;
  const body = { ...registrationBody, ports: [{ ...first, addressPort: port }], ...more };
  await call(control, "PUT", `/api/v1/workloads/default/${name}`, body);
}

/** What an xDS client is told about an authority. */
function follow(control: RunningControl, authority: string, admin = "") {
  const { logger } = recordingLogger();
  const node = { workload: "price-1", namespace: "default", service: "price", admin };
  const client = new XdsClient({ address: control.xdsAddress, node, logger, clock: systemClock });
  cleanups.push(() => client.close());
  const seen: { view: ServiceView | undefined; unknown: boolean } = { view: undefined, unknown: false };
  client.watch(authority, {
    onView: (view) => Object.assign(seen, { view, unknown: false }),
    onUnknown: () => Object.assign(seen, { view: undefined, unknown: true }),
  });
  return seen;
}

function workloads(view: ServiceView | undefined): string {
  const endpoints = view?.backends.get("price.default:80")?.endpoints ?? [];
  return endpoints.map(({ workload, port }) => `${workload}:${port}`).join(" ");
}

/** What keeps the process busy that the control plane could have left behind. */
function left(): string[] {
  return process.getActiveResourcesInfo().filter((name) => /TCPServer|FSEvent|FSReq/.test(name));
}

const PRICE = "services: { price: { run: price, protocol: http } }\n";

describe("startControl", () => {
  it("carries files and registrations to xDS clients, through bad files and a restart", async () => {
    await writeFile(file, PRICE);
    const { control, lines } = await start();
    assert.ok(lines.some((line) => /control plane is ready .*services=1 workloads=0/.test(line)));
    const price = follow(control, "price");
    const cart = follow(control, "cart");
    await until("the declared service is known, the other is not", () => price.view !== undefined && cart.unknown);
    assert.equal(price.view?.port.protocol, "http");
    assert.equal(workloads(price.view), "");

    await register(control, "price-1", 1_001);
    await register(control, "price-2", 1_002);
    await until("both endpoints", () => workloads(price.view) === "price-1:1001 price-2:1002");
    await register(control, "price-2", 1_002, { health: "unhealthy" });
    await until("the change of health", () => {
      return price.view?.backends.get("price.default:80")?.endpoints[1]?.health === "unhealthy";
    });

    const sources = async (): Promise<SourceStatus | undefined> =>
      ((await call(control, "GET", "/api/v1/sources")) as SourceStatus[])[0];
    await writeFile(file, "services: { cart: { rum: cart } }\n");
    await until("the file is bad", async () => (await sources())?.state === "bad");
    assert.deepEqual(
      (await sources())?.diagnostics.map(({ line, column, field }) => [line, column, field]),
      [
        [1, 13, "services.cart.run"],
        [1, 21, "services.cart.rum"],
      ],
    );
    assert.ok(lines.some((line) => line.includes(`${file}:1:21: error: services.cart.rum`)));
    assert.ok(cart.unknown && price.view !== undefined);

    await writeFile(`${file}~`, `${PRICE.slice(0, -3)}, cart: { run: cart } }\n`);
    await rename(`${file}~`, file);
    await until("the new service", () => cart.view !== undefined);
    assert.equal((await sources())?.state, "ok");

    const proxies = (await call(control, "GET", "/api/v1/proxies")) as NodeStatus[];
    assert.deepEqual(
      proxies.map(({ id, workload, nacked, lastNack }) => [id, workload, nacked, lastNack]),
      [
        ["price-1.default", "price-1", 0, null],
        ["price-1.default", "price-1", 0, null],
      ],
    );

    await control.close();
    const { control: again } = await start();
    const endpoints = (await call(again, "GET", "/api/v1/endpoints?service=price")) as { workload: string }[];
    assert.deepEqual(
      endpoints.map(({ workload }) => workload),
      ["price-1", "price-2"],
    );
    const after = follow(again, "price:80");
    await until("the endpoints are there at once", () => workloads(after.view) === "price-1:1001 price-2:1002");
    await call(again, "DELETE", "/api/v1/workloads/default/price-1");
    await until("one endpoint less", () => workloads(after.view) === "price-2:1002");
  });

  it("gives numbers of the sidecars that it knows", async () => {
    await writeFile(file, PRICE);
    let answers = 0;
    const sidecar = createServer((_, response) => {
      answers += 50;
      const labels = 'direction="inbound",classification="success"';
      const bucket = `response_latency_ms_bucket{direction="inbound"`;
      response.end(
        `response_total{${labels}} ${answers}\n${bucket},le="10"} ${answers}\n${bucket},le="+Inf"} ${answers}\n`,
      );
    });
    await new Promise<void>((resolve) => sidecar.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => {
      sidecar.closeAllConnections();
      sidecar.close();
    });
    const { control } = await start({ stateDirectory: undefined });
    await register(control, "price-1", 1_001, { admin: `127.0.0.1:${(sidecar.address() as AddressInfo).port}` });
    await register(control, "price-2", 1_002, { admin: "127.0.0.1:1" });
    let row: StatRow | undefined;
    await until("traffic", async () => {
      [row] = (await call(control, "GET", "/api/v1/stat?window=10s")) as StatRow[];
      return (row?.requests ?? 0) > 0;
    });
    assert.deepEqual([row?.name, row?.success, row?.meshed], ["price", 1, { ready: 2, total: 2 }]);
    assert.ok((row?.rps ?? 0) > 20 && (row?.rps ?? 0) < 80, String(row?.rps));
    assert.ok((row?.latency_ms_p99 ?? 0) > 5 && (row?.latency_ms_p99 ?? 0) <= 10);
    const metrics = await fetch(`http://127.0.0.1:${control.apiAddress.port}/metrics`).then((response) =>
      response.text(),
    );
    assert.match(metrics, /heddle_control_scrape_failures_total\{reason="unreachable"\} \d/);
    assert.match(metrics, /heddle_control_registered_workloads 2\n/);
  });

  it("starts with a bad file, and with none", async () => {
    await writeFile(file, "nonsense");
    const { control } = await start({ files: [file, join(folder, "none.yaml")], stateDirectory: undefined });
    const sources = (await call(control, "GET", "/api/v1/sources")) as SourceStatus[];
    assert.deepEqual(
      sources.map(({ state }) => state),
      ["bad", "bad", "ok", "ok"],
    );
    assert.deepEqual(await call(control, "GET", "/api/v1/services"), []);
  });

  it("refuses requests under another name over the wire", async () => {
    const { control } = await start({ files: [] });
    const status = await new Promise((resolve, reject) => {
      const options = {
        port: control.apiAddress.port,
        host: "127.0.0.1",
        path: "/live",
        headers: { host: "evil.example" },
      };
      httpRequest(options, (response) => resolve(response.resume().statusCode))
        .on("error", reject)
        .end();
    });
    assert.equal(status, 403);
  });

  it("says what is in the way of starting, and leaves nothing open then", async () => {
    const { control } = await start({ files: [] });
    await assert.rejects(start({ api: control.apiAddress, stateDirectory: undefined }), {
      message:
        /^cannot listen on 127\.0\.0\.1:\d+ \(API\): another control plane \(heddle [\d.]+\) is already there; .*--api/,
    });
    await assert.rejects(
      start({ xds: control.xdsAddress, stateDirectory: undefined }),
      /\(xDS\): another program is already there/,
    );
    await writeFile(join(folder, "plain"), "");
    await assert.rejects(start({ stateDirectory: join(folder, "plain") }), /cannot use the state folder .*plain: /);
  });

  it("leaves nothing behind", async () => {
    await writeFile(file, PRICE);
    const before = left().length;
    const { control } = await start();
    follow(control, "price");
    await register(control, "price-1", 1_001);
    assert.ok(left().length > before);
    await Promise.all([control.close(), control.close()]);
    await until("nothing is left", () => left().length === before);
    await assert.rejects(fetch(`http://127.0.0.1:${control.apiAddress.port}/live`));
  });

  it("holds so many connections to its API and no more", async () => {
    const { control } = await start({ files: [], stateDirectory: undefined });
    const sockets: Socket[] = [];
    cleanups.push(() => sockets.forEach((socket) => socket.destroy()));
    const open = (): Promise<Socket> =>
      new Promise((resolve, reject) => {
        const socket = connect(control.apiAddress.port, "127.0.0.1", () => resolve(socket)).on("error", reject);
        sockets.push(socket);
      });
    for (let i = 0; i < API_CONNECTIONS_MAX; i++) await open();
    const surplus = await open();
    let closed = false;
    surplus.on("close", () => (closed = true)).resume();
    await until("the surplus connection is closed", () => closed);
    assert.equal(sockets.filter((socket) => socket.destroyed).length, 1);
    (sockets[0] as Socket).end("GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    const answer = await (sockets[0] as Socket).setEncoding("utf8").toArray();
    assert.match(answer.join(""), /^HTTP\/1\.1 200 /);
  });
});
