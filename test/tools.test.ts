import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import net from "node:net";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";

import { type Application, startApplication } from "./support/application.ts";
import { sidecar, startMesh, type TestMesh } from "./support/mesh.ts";
import { needs } from "./support/peers.ts";
import { until } from "./support/until.ts";
import { type RunningProxy, startProxy } from "../src/proxy/proxy.ts";

const run = promisify(execFile);

/** Runs a load tool with a time limit and gives its output. */
async function output(program: string, ...args: string[]): Promise<string> {
  const { stdout } = await run(program, args, { timeout: 60_000, maxBuffer: 8 * 1024 * 1024 });
  return stdout;
}

describe("well-known clients through a sidecar", () => {
  let application: Application;
  let proxy: RunningProxy;
  let url: string;

  before(async () => {
    application = await startApplication("tools");
    proxy = await startProxy(
      sidecar("tools-1", {
        service: "tools",
        inbound: [
          {
            listen: { host: "127.0.0.1", port: 0 },
            target: { host: "127.0.0.1", port: application.port },
            service: "tools",
            port: 80,
            protocol: "http",
          },
        ],
      }),
    );
    url = `http://127.0.0.1:${proxy.addresses.inbound[0]?.port}/`;
  });
  after(() => {
    proxy.close();
    application.close();
  });

  it("curl, in HTTP/1.1 and in HTTP/2 with prior knowledge", needs("curl"), async () => {
    for (const version of ["--http1.1", "--http1.0", "--http2-prior-knowledge"]) {
      const text = await output("curl", "-sS", "--fail", "-m", "10", version, "-d", "hello", url);
      assert.equal((JSON.parse(text) as { body: string }).body, "hello", version);
    }
  });

  it("ab -n 1000, which speaks HTTP/1.0 with keep-alive", needs("ab"), async () => {
    for (const flags of [[], ["-k"]]) {
      const text = await output("ab", "-q", "-n", "1000", "-c", "20", ...flags, url);
      assert.match(text, /Complete requests:\s+1000\n/);
      assert.match(text, /Failed requests:\s+0\n/);
      assert.doesNotMatch(text, /Non-2xx/);
    }
  });

  it("wrk", needs("wrk"), async () => {
    const text = await output("wrk", "-t1", "-c50", "-d2s", url);
    assert.match(text, /requests in/);
    assert.doesNotMatch(text, /Socket errors|Non-2xx/);
  });

  it("h2load, with many streams on few connections", needs("h2load"), async () => {
    const text = await output("h2load", "-n", "5000", "-c", "8", "-m", "20", url);
    assert.match(text, /requests: 5000 total, 5000 started, 5000 done, 5000 succeeded, 0 failed, 0 errored, 0 timeout/);
  });
});

describe("many connections", () => {
  it("5,000 at once are held, and each is served", async () => {
    const application = await startApplication("many");
    const mesh: TestMesh = await startMesh([
      { service: "many", workload: "many-1", protocol: "http", applicationPort: application.port },
    ]);
    const { port } = new URL(mesh.outbound);
    const sockets: net.Socket[] = [];
    let answered = 0;
    let failed = 0;
    for (let i = 0; i < 5_000; i++) {
      const socket = net.connect(Number(port), "127.0.0.1");
      socket.on("error", () => failed++);
      socket.on("data", (chunk) => (answered += chunk.toString("latin1").startsWith("HTTP/1.1 200") ? 1 : 0));
      sockets.push(socket);
      // In waves, since the kernel queues only so many that are not accepted yet.
      if (i % 500 === 499) await until("the wave is connected", () => sockets.every((s) => !s.connecting), 20_000);
    }
    for (const [i, socket] of sockets.entries()) {
      socket.write("GET / HTTP/1.1\r\nHost: many\r\n\r\n");
      if (i % 500 === 499) await until("the wave is answered", () => answered >= i + 1, 20_000);
    }
    assert.equal(failed, 0);
    assert.equal(answered, 5_000);
    assert.match(
      await mesh.metrics("caller"),
      /^tcp_open_connections\{direction="outbound",peer="src",tls="disabled"\} 5000$/m,
    );
    sockets.forEach((socket) => socket.destroy());
    await mesh.close();
    application.close();
  });
});
