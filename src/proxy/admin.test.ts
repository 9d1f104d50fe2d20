import assert from "node:assert/strict";
import { get } from "node:http";
import { after, before, describe, it } from "node:test";

import type { LogLevel } from "../telemetry/log.ts";
import { Admin } from "./admin.ts";

describe("the admin listener", () => {
  let admin: Admin;
  let base: string;
  let ready = false;
  let level: LogLevel = "info";
  let shutdowns = 0;
  let live = true;
  let missing: string | undefined;

  before(async () => {
    admin = await Admin.open({
      address: { host: "127.0.0.1", port: 0 },
      expose: async () => {
        if (missing !== undefined) throw new Error(missing);
        return "a_metric 1\n";
      },
      isLive: async () => live,
      isReady: () => ready,
      logLevel: { get: () => level, set: (next) => (level = next) },
      onShutdown: () => shutdowns++,
    });
    base = `http://127.0.0.1:${admin.address.port}`;
  });
  after(() => admin.close());

  it("serves metrics, gzipped on demand", async () => {
    const plain = await fetch(`${base}/metrics`, { headers: { "accept-encoding": "identity" } });
    assert.equal(plain.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert.equal(await plain.text(), "a_metric 1\n");
    const zipped = await fetch(`${base}/metrics`, { headers: { "accept-encoding": "gzip" } });
    assert.equal(zipped.headers.get("content-encoding"), "gzip");
    assert.equal(await zipped.text(), "a_metric 1\n");
  });

  it("tells whether it is ready, and that it lives", async () => {
    assert.equal((await fetch(`${base}/ready`)).status, 503);
    ready = true;
    const response = await fetch(`${base}/ready`);
    assert.equal(response.status, 200);
    assert.equal(await response.text(), "ready\n");
    assert.equal(await (await fetch(`${base}/live`)).text(), "live\n");
    live = false;
    assert.equal((await fetch(`${base}/live`)).status, 503);
  });

  it("serves no metrics rather than some of them, and says what is missing", async () => {
    missing = "worker 2 has not answered";
    const response = await fetch(`${base}/metrics`);
    assert.deepEqual([response.status, await response.text()], [503, "worker 2 has not answered\n"]);
    missing = undefined;
    assert.equal((await fetch(`${base}/metrics`)).status, 200);
  });

  it("shows its own variables only", async () => {
    process.env.HEDDLE_TEST_SHOWN = "yes";
    process.env.HEDDLE_JOIN_TOKEN = "secret";
    process.env.SECRET_OF_THE_APPLICATION = "no";
    const all = (await (await fetch(`${base}/env.json`)).json()) as Record<string, string>;
    assert.equal(all.HEDDLE_TEST_SHOWN, "yes");
    assert.ok(!("SECRET_OF_THE_APPLICATION" in all));
    assert.ok(!("HEDDLE_JOIN_TOKEN" in all));
    assert.deepEqual(await (await fetch(`${base}/env.json?HEDDLE_JOIN_TOKEN`)).json(), {});
    assert.deepEqual(await (await fetch(`${base}/env.json?HEDDLE_TEST_SHOWN&SECRET_OF_THE_APPLICATION`)).json(), {
      HEDDLE_TEST_SHOWN: "yes",
    });
    assert.equal((await fetch(`${base}/env.json?A=b`)).status, 400);
    delete process.env.HEDDLE_TEST_SHOWN;
    delete process.env.HEDDLE_JOIN_TOKEN;
    delete process.env.SECRET_OF_THE_APPLICATION;
  });

  it("takes no orders from a web page, even in a browser on this host", async () => {
    const headers = { origin: "http://evil.example" };
    assert.equal((await fetch(`${base}/shutdown`, { method: "POST", headers })).status, 403);
    assert.equal((await fetch(`${base}/proxy-log-level`, { method: "PUT", body: "error", headers })).status, 403);
    assert.equal(shutdowns, 0);
    assert.equal(level, "info");
  });

  it("shows nothing to a web page that has pointed a name of its own at this host", async () => {
    const ask = (host: string): Promise<number> =>
      new Promise((resolve, reject) => {
        const { port } = admin.address;
        get({ host: "127.0.0.1", port, path: "/env.json", agent: false, headers: { host } }, (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        }).on("error", reject);
      });
    assert.equal(await ask("evil.example"), 403);
    assert.equal(await ask(`evil.example:${admin.address.port}`), 403);
    assert.equal(await ask(`localhost:${admin.address.port}`), 200);
    assert.equal(await ask("127.0.0.1"), 200);
  });

  it("changes the log level, and refuses one that does not exist", async () => {
    assert.equal(await (await fetch(`${base}/proxy-log-level`)).text(), "info\n");
    await fetch(`${base}/proxy-log-level`, { method: "PUT", body: "debug" });
    assert.equal(level, "debug");
    const bad = await fetch(`${base}/proxy-log-level`, { method: "PUT", body: "loud" });
    assert.equal(bad.status, 400);
    assert.match(await bad.text(), /"loud" is no log level; there are error, warn, info, debug/);
    const long = await fetch(`${base}/proxy-log-level`, { method: "PUT", body: "x".repeat(100_000) });
    assert.equal(long.status, 400);
    assert.equal(level, "debug");
  });

  it("says what is wrong with a target that is no URL", async () => {
    const { hostname, port } = new URL(base);
    for (const path of ["//", "http://[/", "http://a:99999/"]) {
      const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
      get({ hostname, port, path, agent: false }, (response) => resolve(response.resume().statusCode)).on(
        "error",
        reject,
      );
      assert.equal(await promise, 400, path);
    }
  });

  it("shuts down on POST only", async () => {
    assert.equal((await fetch(`${base}/shutdown`)).status, 405);
    assert.equal(shutdowns, 0);
    assert.equal((await fetch(`${base}/shutdown`, { method: "POST" })).status, 200);
    assert.equal(shutdowns, 1);
  });

  it("says what there is when asked for what there is not", async () => {
    const response = await fetch(`${base}/nope`);
    assert.equal(response.status, 404);
    assert.match(await response.text(), /\/metrics, \/ready/);
  });

  it("names the address that is taken", async () => {
    const { port } = admin.address;
    await assert.rejects(
      Admin.open({
        address: { host: "127.0.0.1", port },
        expose: async () => "",
        isLive: async () => true,
        isReady: () => true,
        logLevel: { get: () => level, set() {} },
        onShutdown() {},
      }),
      new RegExp(`cannot listen on 127.0.0.1:${port}: another process listens there already`),
    );
  });
});
