/** A sidecar whose application listens on a Unix socket. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it, type TestContext } from "node:test";

import type { PortProtocol } from "../src/model/service.ts";
import { type RunningProxy, startProxy } from "../src/proxy/proxy.ts";
import { call } from "./support/application.ts";
import { ANY_PORT, metricSum, sidecar } from "./support/mesh.ts";
import { needs } from "./support/peers.ts";
import { rawConnect } from "./support/raw.ts";
import { until } from "./support/until.ts";

async function start(
  context: TestContext,
  path: string,
  protocol: PortProtocol = "http",
): Promise<{ proxy: RunningProxy; port: number; url: string; metrics: () => Promise<string> }> {
  const inbound = [{ listen: ANY_PORT, target: { path }, service: "price", port: 80, protocol }];
  const proxy = await startProxy(sidecar("price-1", { service: "price", inbound }));
  context.after(() => proxy.close());
  const port = proxy.addresses.inbound[0]?.port ?? 0;
  return {
    proxy,
    port,
    url: `http://127.0.0.1:${port}`,
    metrics: async () => (await fetch(`http://127.0.0.1:${proxy.addresses.admin.port}/metrics`)).text(),
  };
}

async function serve(context: TestContext, path: string, listener: http.RequestListener): Promise<void> {
  const server = http.createServer(listener).listen(path);
  context.after(() => {
    server.close();
    server.closeAllConnections();
  });
  await once(server, "listening");
}

describe("an application on a Unix socket", () => {
  let folder: string;
  before(async () => (folder = await mkdtemp(join(tmpdir(), "heddle-unix-"))));
  after(() => rm(folder, { recursive: true }));

  it("is called, with bodies in both directions, and counted under the socket's path", async (context) => {
    const path = join(folder, "http.sock");
    await serve(context, path, (request, response) => request.pipe(response));
    const { url, metrics } = await start(context, path);
    const agent = new http.Agent({ keepAlive: true });
    context.after(() => agent.destroy());
    const body = "0123456789".repeat(100_000);
    for (let i = 0; i < 3; i++) {
      const answer = await call(url, "price", "/", { method: "POST", body, agent });
      assert.equal(answer.status, 200);
      assert.equal(answer.body, body);
    }
    const label = `target_addr="unix:${path}"`;
    const sum = async (name: string): Promise<number> => metricSum(await metrics(), name, label);
    await until("all is counted", async () => (await sum("response_total")) === 3);
    assert.equal(await sum("tcp_open_total"), 1, "its connection is kept");
    assert.ok((await sum("tcp_write_bytes_total")) > 3 * body.length);
    assert.ok((await sum("tcp_read_bytes_total")) > 3 * body.length);
    assert.doesNotMatch(await metrics(), /target_(ip|port)=/);
  });

  it("that is not there is named in the answer, and is used as soon as it is there", async (context) => {
    const path = join(folder, "late.sock");
    const { url } = await start(context, path);
    const missing = await call(url, "price");
    assert.equal(missing.status, 502);
    assert.match(missing.body, new RegExp(`ENOENT ${path}`));
    // A file that nobody listens on, as a killed application leaves it behind.
    await writeFile(path, "");
    const left = await call(url, "price");
    assert.equal(left.status, 502);
    assert.match(left.body, new RegExp(`ECONNREFUSED ${path}`));
    await rm(path);
    await serve(context, path, (_request, response) => response.end("here"));
    assert.equal((await call(url, "price")).body, "here");
  });

  it("loses a request whose caller vanishes, and nothing else", async (context) => {
    const path = join(folder, "vanish.sock");
    let begun = 0;
    let lost = 0;
    await serve(context, path, (request, response) => {
      if (request.url !== "/silence") {
        response.end("ok");
        return;
      }
      begun++;
      request.socket.on("close", () => lost++);
    });
    const { url, port } = await start(context, path);
    for (let i = 1; i <= 3; i++) {
      const peer = await rawConnect(context, port);
      peer.socket.write("GET /silence HTTP/1.1\r\nHost: price\r\n\r\n");
      await until("the application works on it", () => begun === i);
      if (i === 2) peer.socket.end();
      else peer.socket.resetAndDestroy();
      await until("the application knows", () => lost === i);
    }
    assert.equal((await call(url, "price")).body, "ok");
  });

  it("gets a byte stream as it is, half-closed too", async (context) => {
    const path = join(folder, "echo.sock");
    const server = net.createServer({ allowHalfOpen: true }, (socket) => {
      let text = "";
      socket.on("data", (chunk) => (text += String(chunk)));
      socket.on("end", () => socket.end(text.toUpperCase()));
    });
    server.listen(path);
    context.after(() => server.close());
    await once(server, "listening");
    const { port } = await start(context, path, "opaque");
    const peer = await rawConnect(context, port);
    peer.socket.end("all of it");
    await until("it has answered", () => peer.ended);
    assert.equal(peer.text, "ALL OF IT");
  });

  it("may be a real nginx", needs("nginx"), async (context) => {
    const path = join(folder, "nginx.sock");
    const config = join(folder, "nginx.conf");
    await writeFile(
      config,
      `daemon off; pid ${folder}/nginx.pid; error_log stderr;
       events { worker_connections 64; }
       http { access_log off; client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder};
              uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
              server { listen unix:${path}; location / { return 200 "$request_method $host\\n"; } } }\n`,
    );
    const nginx = spawn("nginx", ["-e", "stderr", "-c", config], { stdio: "ignore" });
    context.after(async () => {
      nginx.kill("SIGTERM");
      await once(nginx, "exit");
    });
    const { url } = await start(context, path);
    await until("nginx serves", async () => (await call(url, "price")).status === 200, 10_000);
    const answers = await Promise.all(Array.from({ length: 200 }, () => call(url, "price")));
    for (const { status, body } of answers) assert.deepEqual([status, body], [200, "GET price\n"]);
  });
});
