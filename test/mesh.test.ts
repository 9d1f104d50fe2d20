import assert from "node:assert/strict";
import http from "node:http";
import net from "node:net";
import { after, before, describe, it } from "node:test";

import { type Application, call, startApplication } from "./support/application.ts";
import { type Instance, metricSum, startMesh, type TestMesh } from "./support/mesh.ts";
import { until } from "./support/until.ts";

function instance(service: string, workload: string, application: Application): Instance {
  return { service, workload, protocol: "http", applicationPort: application.port };
}

describe("a request through two sidecars", () => {
  let mesh: TestMesh;
  let application: Application;

  before(async () => {
    application = await startApplication("price-1");
    mesh = await startMesh([instance("price", "price-1", application)]);
  });
  after(async () => {
    await mesh.close();
    application.close();
  });

  it("arrives as it was sent: case and order of header names, place of Host, version", async () => {
    const headers = { "X-Mixed-CASE": "1", accept: "*/*", "X-Second": "2" };
    const { status, body } = await call(mesh.outbound, "price", "/a?b=c", { headers });
    assert.equal(status, 200);
    const seen = JSON.parse(body) as { method: string; url: string; headers: string[] };
    assert.equal(seen.method, "GET");
    assert.equal(seen.url, "/a?b=c");
    assert.deepEqual(seen.headers, ["Host", "price", "X-Mixed-CASE", "1", "accept", "*/*", "X-Second", "2"]);
  });

  it("comes back as it was answered", async () => {
    const { rawHeaders } = await call(mesh.outbound, "price");
    assert.equal(rawHeaders[rawHeaders.indexOf("X-Served-By") + 1], "price-1");
    assert.ok(!rawHeaders.some((name) => /^heddle-/i.test(name)), `nothing of the mesh shows: ${rawHeaders.join()}`);
  });

  it("is found by each of its names", async () => {
    for (const host of ["price", "PRICE", "price.default", "price:80", "price.default.svc.cluster.local"]) {
      assert.equal((await call(mesh.outbound, host)).status, 200, host);
    }
  });

  it("carries bodies both ways", async () => {
    const body = "x".repeat(200_000);
    const answer = await call(mesh.outbound, "price", "/", { method: "POST", body });
    assert.equal((JSON.parse(answer.body) as { body: string }).body, body);
  });

  it("is measured on both sides, with Linkerd's names", async () => {
    const count = async (workload: string, ...labels: string[]): Promise<number> =>
      metricSum(await mesh.metrics(workload), "response_total", ...labels);
    const already = await count("caller", 'direction="outbound"', 'dst_service="price"', 'classification="success"');
    await call(mesh.outbound, "price");
    assert.equal(
      await count("caller", 'direction="outbound"', 'dst_service="price"', 'classification="success"'),
      already + 1,
    );
    assert.equal(await count("price-1", 'direction="inbound"', 'classification="success"'), already + 1);
    await call(mesh.outbound, "price", "/status/503");
    assert.equal(await count("price-1", 'direction="inbound"', 'status_code="503"', 'classification="failure"'), 1);
  });

  it("is told when the name is unknown, who says so, and what explains it", async () => {
    const { status, headers, body } = await call(mesh.outbound, "nobody", "/", { headers: { "X-Request-Id": "r-1" } });
    assert.equal(status, 404);
    assert.equal(headers["heddle-error"], "HED1001 unknown_service");
    assert.equal(headers["heddle-hop"], "outbound caller.default");
    assert.equal(headers["x-request-id"], "r-1");
    assert.match(body, /"nobody" is no service of the mesh[\s\S]*heddle explain HED1001/);
  });

  it("fails alone when its answer is cut; the next one is well", async () => {
    await assert.rejects(call(mesh.outbound, "price", "/cut"), /aborted|ECONNRESET|hang up/);
    assert.equal((await call(mesh.outbound, "price")).status, 200);
    await until("the cut is counted", async () => {
      const text = await mesh.metrics("price-1");
      return metricSum(text, "response_total", 'error="closed"') === 1;
    });
  });

  it("is given up on the far side when its caller vanishes", async () => {
    const already = application.requests;
    const request = http.request(`${mesh.outbound}/silence`, { headers: { Host: "price" }, agent: false });
    request.on("error", () => {});
    request.end();
    await until("the application has the request", () => application.requests > already);
    request.destroy();
    await until("the application's sidecar has given it up", async () => {
      const text = await mesh.metrics("price-1");
      return metricSum(text, "response_total", 'error="cancelled"') >= 1;
    });
  });

  it("gets 400 for what is no HTTP, and nothing reaches the application", async () => {
    const already = application.requests;
    const url = new URL(mesh.outbound);
    const socket = net.connect(Number(url.port), url.hostname);
    socket.write("GET / HTTP/1.1\r\nHost: price\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    let text = "";
    for await (const chunk of socket) text += String(chunk);
    assert.match(text, /^HTTP\/1\.1 400 /);
    assert.match(text, /heddle-error: HED1010 bad_request/i);
    assert.equal(application.requests, already);
  });
});

describe("an application that is away", () => {
  it("is named as the one that failed, at the hop where it failed", async () => {
    const application = await startApplication("gone");
    const mesh = await startMesh([instance("gone", "gone-1", application)]);
    application.close();
    const { status, headers, body } = await call(mesh.outbound, "gone");
    assert.equal(status, 502);
    assert.equal(headers["heddle-error"], "HED1005 connect");
    assert.equal(headers["heddle-hop"], "inbound gone-1.default");
    assert.ok(!("heddle-unprocessed" in headers));
    assert.match(body, /ECONNREFUSED/);
    await mesh.close();
  });

  it("costs its callers nothing while another instance is there", async () => {
    const one = await startApplication("one");
    const two = await startApplication("two");
    const mesh = await startMesh([instance("pair", "pair-1", one), instance("pair", "pair-2", two)]);
    for (let i = 0; i < 20; i++) assert.equal((await call(mesh.outbound, "pair")).status, 200);
    two.close();
    const already = one.requests;
    for (let i = 0; i < 100; i++) {
      const options = i % 2 === 0 ? {} : { method: "POST", body: "data" };
      assert.equal((await call(mesh.outbound, "pair", "/", options)).status, 200, `request ${i}`);
    }
    assert.equal(one.requests - already, 100);
    await mesh.close();
    one.close();
  });

  it("waits for the first endpoint and then goes through; without one it is 504 after 3 s", async () => {
    const application = await startApplication("late");
    const late = instance("late", "late-1", application);
    const mesh = await startMesh([late]);
    await mesh.register(late, "unhealthy");
    await until("the caller knows", async () => {
      void call(mesh.outbound, "late").catch(() => {});
      return metricSum(await mesh.metrics("caller"), "outbound_http_balancer_queue_length") > 0;
    });
    const waiting = call(mesh.outbound, "late");
    await mesh.register(late, "healthy");
    assert.equal((await waiting).status, 200);
    await mesh.register(late, "unhealthy");
    await until("the endpoint is gone", async () => {
      const text = await mesh.metrics("caller");
      return metricSum(text, "outbound_http_balancer_endpoints") === 0;
    });
    const startedAt = performance.now();
    const failed = await call(mesh.outbound, "late");
    assert.equal(failed.status, 504);
    assert.equal(failed.headers["heddle-error"], "HED1003 failfast");
    assert.ok(performance.now() - startedAt > 2_500);
    const atOnce = performance.now();
    assert.equal((await call(mesh.outbound, "late")).status, 504);
    assert.ok(performance.now() - atOnce < 1_000, "the next one fails at once");
    await mesh.close();
    application.close();
  });
});

describe("balancing", () => {
  it("gives a slow instance clearly less than half", async () => {
    const fast = await startApplication("fast");
    const slow = await startApplication("slow");
    slow.delayMs = 80;
    const mesh = await startMesh([instance("pair", "fast-1", fast), instance("pair", "slow-1", slow)]);
    const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
    const work = async (): Promise<void> => {
      for (let i = 0; i < 50; i++) await call(mesh.outbound, "pair", "/", { agent });
    };
    await Promise.all(Array.from({ length: 8 }, work));
    const share = slow.requests / (slow.requests + fast.requests);
    assert.ok(share > 0, "it is tried at all");
    assert.ok(share < 0.25, `the slow one got ${(share * 100).toFixed(1)} %`);
    agent.destroy();
    await mesh.close();
    fast.close();
    slow.close();
  });
});

describe("the control plane's absence", () => {
  it("changes nothing for names that are known, and a new name is told why it fails", async () => {
    const application = await startApplication("price");
    const mesh = await startMesh([instance("price", "price-1", application)]);
    assert.equal((await call(mesh.outbound, "price")).status, 200);
    await mesh.control.close();
    for (let i = 0; i < 20; i++) assert.equal((await call(mesh.outbound, "price")).status, 200);
    const unknown = await call(mesh.outbound, "never-heard-of");
    assert.equal(unknown.status, 504);
    assert.equal(unknown.headers["heddle-error"], "HED1002 discovery_timeout");
    await mesh.close();
    application.close();
  });
});

describe("draining", () => {
  it("finishes what has begun, refuses nothing that can go elsewhere, and leaves", async () => {
    const one = await startApplication("one");
    const two = await startApplication("two");
    one.delayMs = 30;
    two.delayMs = 30;
    const mesh = await startMesh([instance("pair", "pair-1", one), instance("pair", "pair-2", two)]);
    const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
    const statuses: number[] = [];
    const traffic = { on: true };
    const work = async (): Promise<void> => {
      while (traffic.on) statuses.push((await call(mesh.outbound, "pair", "/", { agent })).status);
    };
    const workers = Array.from({ length: 16 }, work);
    await until("there is traffic", () => statuses.length > 50);
    await mesh.sidecars.get("pair-1")?.drain();
    const at = statuses.length;
    await until("traffic goes on", () => statuses.length > at + 50);
    traffic.on = false;
    await Promise.all(workers);
    assert.deepEqual([...new Set(statuses)], [200]);
    agent.destroy();
    await mesh.close();
    one.close();
    two.close();
  });
});
