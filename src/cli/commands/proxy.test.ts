import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { createServer, type AddressInfo } from "node:net";
import { afterEach, describe, it } from "node:test";
import { until } from "../../../test/support/until.ts";
import { heddleCommand } from "../up/host.ts";
import { LOOPBACK, PortAllocator } from "../up/ports.ts";
import { networkProbe } from "../up/readiness.ts";

/** Prints the address of every module that is loaded. */
const SPY = `data:text/javascript,${encodeURIComponent(`
import { registerHooks } from "node:module";
registerHooks({ load(url, context, next) { process.stdout.write(url + "\\n"); return next(url, context); } });
`)}`;

describe("heddle proxy", () => {
  let child: ChildProcess | undefined;
  let output = "";
  afterEach(() => child?.kill("SIGKILL"));

  function start(nodeFlags: readonly string[], ...words: string[]): ChildProcess {
    const [node = "", bin = ""] = heddleCommand();
    const started = spawn(node, [...nodeFlags, bin, "proxy", "--workload", "test-1", ...words]);
    output = "";
    for (const stream of [started.stdout, started.stderr]) {
      stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
    }
    child = started;
    return started;
  }

  it("becomes ready with no more than it needs, and drains on SIGTERM", async () => {
    const port = await new PortAllocator(28_500).allocate();
    const started = start(["--import", SPY], "--admin", `${LOOPBACK}:${port}`, "--outbound", `${LOOPBACK}:0`);
    await until("it is ready", () => networkProbe.answers({ host: LOOPBACK, port }, "/ready"), 15_000);
    const packages = [...output.matchAll(/\/node_modules\/((?:@[^/]+\/)?[^/]+)\//g)].map((match) => match[1]);
    assert.deepEqual(
      [...new Set(packages)].filter((name) => name !== "@bufbuild/protobuf"),
      [],
    );
    assert.ok(output.includes("src/proxy/proxy.ts"), "the spy works");
    assert.doesNotMatch(output, /src\/(control|dialects\/(?!closest))|src\/cli\/(up|demo)\//);
    started.kill("SIGTERM");
    await until("it ends", () => started.exitCode !== null, 15_000);
    assert.equal(started.exitCode, 0);
  });

  it("says which address is taken", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => {
      server.listen(0, LOOPBACK, resolve);
    });
    const { port } = server.address() as AddressInfo;
    const started = start([], "--admin", `${LOOPBACK}:0`, "--outbound", `${LOOPBACK}:${port}`);
    await until("it ends", () => started.exitCode !== null, 15_000);
    server.close();
    assert.equal(started.exitCode, 1);
    assert.match(output, new RegExp(`^heddle: cannot listen on ${LOOPBACK}:${port}: .*\n$`));
  });
});
