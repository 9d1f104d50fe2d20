import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { until } from "../../../test/support/until.ts";
import { ControlClient } from "../control-client.ts";
import { isAlive } from "../testing/alive.ts";
import { capturedIo } from "../testing/captured-io.ts";
import { heddleCommand } from "../up/host.ts";
import { PortAllocator } from "../up/ports.ts";

/** A program that says who and how old it is. */
const PROGRAM = `
require("http").createServer((request, response) => {
  if (request.url === "/crash") process.exit(5);
  response.end(JSON.stringify({ word: process.env.WORD, pid: process.pid, upstream: process.env.HEDDLE_UPSTREAM_ECHO }));
}).listen(process.env.PORT, "127.0.0.1", () => console.log("ready " + process.env.HEDDLE_WORKLOAD));
`;
const SLOW_MS = 30_000;

interface Heddle {
  readonly process: ChildProcess;
  stdout(): string;
  stderr(): string;
}

describe("heddle up and heddle run", () => {
  let folder: string;
  let file: string;
  let ports: { api: number; xds: number; outbound: number; admin: number };
  const started: Heddle[] = [];
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "heddle-up-"));
    file = join(folder, "mesh.yaml");
    writeFileSync(join(folder, "echo.cjs"), PROGRAM);
    const allocator = new PortAllocator(28_000);
    ports = {
      api: await allocator.allocate(),
      xds: await allocator.allocate(),
      outbound: await allocator.allocate(),
      admin: await allocator.allocate(),
    };
  });
  afterEach(async (context) => {
    if ("passed" in context && !context.passed) {
      for (const running of started) console.error(running.stdout(), running.stderr());
    }
    for (const { process: child } of started.splice(0)) {
      child.kill("SIGKILL");
      await until("it is gone", () => child.exitCode !== null || child.signalCode !== null);
    }
  });
  after(() => rmSync(folder, { recursive: true }));

  function heddle(...words: string[]): Heddle {
    const [node = "", bin = ""] = heddleCommand();
    // What is killed leaves its API token at home.
    const child = spawn(node, [bin, ...words], { cwd: folder, env: { ...process.env, HOME: folder } });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    const running = { process: child, stdout: () => stdout, stderr: () => stderr };
    started.push(running);
    return running;
  }

  function write(text: string, more = ""): void {
    writeFileSync(
      file,
      `services:\n  echo:\n    run: '"$HEDDLE_NODE" echo.cjs'\n    protocol: http\n    env: { WORD: ${text} }\n${more}`,
    );
  }

  async function up(): Promise<Heddle> {
    const words = Object.entries(ports).flatMap(([name, port]) => [`--${name}`, `127.0.0.1:${port}`]);
    // What a killed mesh has left there must not show in the next test.
    const state = mkdtempSync(join(folder, "state-"));
    const running = heddle("up", "--base-port", "28100", "--state-dir", state, ...words);
    await until(`it is ready: ${running.stderr()}`, () => running.stderr().includes("is ready"), SLOW_MS);
    return running;
  }

  function control(): ControlClient {
    return new ControlClient(`127.0.0.1:${ports.api}`, capturedIo());
  }

  async function workloadNames(): Promise<string[]> {
    return (await control().workloads()).map(({ name }) => name).sort();
  }

  /** The body of an answer through the keyboard's sidecar, or its status if that is not 200. */
  async function call(service: string, path = "/"): Promise<Record<string, unknown> | number> {
    const { promise, resolve, reject } = Promise.withResolvers<Record<string, unknown> | number>();
    const options = { host: "127.0.0.1", port: ports.outbound, path, agent: false, headers: { host: service } };
    const request = get(options, (response) => {
      let text = "";
      response.on("data", (chunk: Buffer) => (text += chunk.toString()));
      response.on("error", reject);
      response.on("end", () => {
        const { statusCode = 0 } = response;
        resolve(statusCode === 200 ? (JSON.parse(text) as Record<string, unknown>) : statusCode);
      });
    });
    request.on("error", reject);
    return promise;
  }

  async function word(service = "echo"): Promise<unknown> {
    const answer = await call(service);
    return typeof answer === "number" ? answer : answer["word"];
  }

  it("runs a mesh, follows its file, restarts what crashes, and ends in good order", async () => {
    write("one");
    const running = await up();
    assert.equal(await word(), "one");
    assert.match(running.stdout(), /^echo-1 +\| ready echo-1$/m);
    assert.match(running.stderr(), /curl -H 'Host: echo' http:\/\/127\.0\.0\.1:/);

    await call("echo", "/crash");
    await until("it is told", () => /echo-1 exited with code 5; it is started again in 100 ms/.test(running.stderr()));
    await until("it serves again", async () => (await word()) === "one", SLOW_MS);

    assert.equal(typeof (await word("extra")), "number");
    write("two", "  extra:\n    run: '\"$HEDDLE_NODE\" echo.cjs'\n    env: { WORD: more }\n");
    await until(
      "the change is there",
      async () => (await word()) === "two" && (await word("extra")) === "more",
      SLOW_MS,
    );
    write("[three]");
    await until("the error is told", () => running.stderr().includes("what runs stays as it was"));
    assert.match(running.stderr(), /mesh\.yaml:5:\d+: error: /);
    assert.equal(await word(), "two");
    write("two");
    await until("the other is gone", async () => (await workloadNames()).join(" ") === "echo-1 keyboard", SLOW_MS);

    const answer = await call("echo");
    running.process.kill("SIGINT");
    await until("it ends", () => running.process.exitCode !== null, SLOW_MS);
    assert.equal(running.process.exitCode, 0);
    assert.equal(isAlive((answer as { pid: number }).pid), false);
  });

  it("leaves no process when it is killed", async () => {
    write("one");
    const running = await up();
    const { pid } = (await call("echo")) as { pid: number };
    running.process.kill("SIGKILL");
    await until("the service is gone", () => !isAlive(pid), SLOW_MS);
    await until("its control plane is gone", async () => !(await control().ready()), SLOW_MS);
  });

  it("lets a program join, and passes on signals and exit codes", async () => {
    write("one");
    await up();
    const at = ["--control", `127.0.0.1:${ports.api}`, "--xds", `127.0.0.1:${ports.xds}`, "--base-port", "28300"];
    const joined = heddle(
      "run",
      "--service",
      "guest",
      "--upstream",
      "echo",
      ...at,
      "--",
      "env",
      "WORD=guest",
      process.execPath,
      "echo.cjs",
    );
    await until("it serves", async () => (await word("guest")) === "guest", SLOW_MS);
    const { pid, upstream } = (await call("guest")) as { pid: number; upstream: string };
    assert.match(upstream, /^127\.0\.0\.1:\d+$/);
    joined.process.kill("SIGTERM");
    await until("it ends", () => joined.process.exitCode !== null, SLOW_MS);
    assert.deepEqual([joined.process.exitCode, isAlive(pid)], [143, false]);
    assert.deepEqual(await workloadNames(), ["echo-1", "keyboard"]);

    const failing = heddle("run", "--service", "guest", ...at, "--", "/bin/sh", "-c", "echo hello; exit 9");
    await until("it ends", () => failing.process.exitCode !== null, SLOW_MS);
    assert.deepEqual([failing.process.exitCode, failing.stdout()], [9, "hello\n"]);
    const missing = heddle("run", "--service", "guest", ...at, "--", "no-such-program");
    await until("it ends", () => missing.process.exitCode !== null, SLOW_MS);
    assert.equal(missing.process.exitCode, 127);
    assert.match(missing.stderr(), /there is no program "no-such-program"/);
  });
});
