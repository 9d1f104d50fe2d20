/** `heddle check` as a person runs it, on meshes of real processes: all well, and each kind of thing wrong. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";

import { type CommandResult, runCaptured } from "../src/cli/testing/captured-io.ts";
import { type Up, up } from "./support/up.ts";
import { until } from "./support/until.ts";

const MESH = `
name: pair
services:
  front: { run: exec "$HEDDLE_NODE" app.cjs, protocol: http, upstreams: [back] }
  back: { run: exec "$HEDDLE_NODE" app.cjs, protocol: http }
resources: [policy]
`;

const PROGRAM = `
require("node:http").createServer((_request, response) => response.end("here")).listen(process.env.PORT, "127.0.0.1");
`;

const POLICY = `
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: back }
spec:
  podSelector: { matchLabels: {} }
  port: 80
  accessPolicy: all-authenticated
`;

const times = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));

/** A good document with so many rules, each with `width` × `width` clauses, that are about no call. */
function denials(rules: number, width: number): string {
  return JSON.stringify({
    apiVersion: "security.istio.io/v1",
    kind: "AuthorizationPolicy",
    metadata: { name: "many" },
    spec: {
      action: "DENY",
      rules: times(rules, (rule) => ({
        from: times(width, (i) => ({ source: { namespaces: [`n${i}`] } })),
        to: times(width, (i) => ({ operation: { paths: [`/nowhere/${rule}/${i}`] } })),
      })),
    },
  });
}

/** Milliseconds: nine processes on a busy machine. */
const SLOW_MS = 60_000;

interface CheckJson {
  readonly success: boolean;
  readonly categories: readonly {
    readonly categoryName: string;
    readonly checks: readonly { readonly description: string; readonly result: string; readonly error?: string }[];
  }[];
}

describe("heddle check of a mesh of heddle up", { timeout: 240_000 }, () => {
  let folder = "";
  let mesh: Up;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "heddle-check-"));
    await mkdir(join(folder, "policy"));
    await writeFile(join(folder, "mesh.yaml"), MESH);
    await writeFile(join(folder, "app.cjs"), PROGRAM);
    process.env["NODE_OPTIONS"] = `--import ${join(import.meta.dirname, "fixtures", "older-sidecar.mjs")}`;
    mesh = await up(join(folder, "mesh.yaml")).finally(() => delete process.env["NODE_OPTIONS"]);
  });
  after(async () => {
    await mesh?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const check = (...words: string[]): Promise<CommandResult> =>
    runCaptured(["check", ...words], { HEDDLE_CONTROL: mesh.api });
  const call = (): Promise<number> =>
    new Promise((resolve) => {
      get(`${mesh.outbound}/`, { agent: false, headers: { host: "front" } }, (response) => {
        response.resume();
        response.on("close", () => resolve(response.statusCode ?? 0));
      }).on("error", () => resolve(0));
    });
  const sidecarOf = (workload: string): number => {
    const [pid] = mesh.descendants().filter((one) => mesh.commandLine(one).includes(` proxy --workload ${workload} `));
    return pid ?? assert.fail(`no sidecar of ${workload}`);
  };

  it("finds that all is well", async () => {
    const { code, stdout } = await check("--wait", "30s");
    assert.equal(code, 0, stdout);
    assert.doesNotMatch(stdout, /[‼×]/u);
    assert.match(stdout, /^√ data plane proxies are ready$/m);
    assert.ok(stdout.endsWith("\nStatus check results are √\n"));
    assert.equal((await check("-o", "short")).stdout, "Status check results are √\n");
    const answer = JSON.parse((await check("-o", "json")).stdout) as CheckJson;
    assert.equal(answer.success, true);
    assert.ok(answer.categories.flatMap(({ checks }) => checks).every(({ result }) => result === "success"));
  });

  it("names file and line of a broken document, while traffic flows", async () => {
    const file = join(folder, "policy", "back.yaml");
    await writeFile(file, POLICY);
    assert.equal(await call(), 200);
    await writeFile(file, POLICY.replace("all-authenticated", "all-autenticated"));
    let found: CommandResult | undefined;
    await until("it is found", async () => (found = await check("--wait", "0s")).code === 1, SLOW_MS);
    assert.match(found?.stdout ?? "", /^× documents are valid\n {4}what was read at \S+ stays in force:$/m);
    assert.match(found?.stdout ?? "", /^ {4}\S+\/policy\/back\.yaml:8:17: error: .*all-autenticated/m);
    assert.match(found?.stdout ?? "", /^ {4}see docs\/check\.md#documents-are-valid for hints$/m);
    assert.equal(await call(), 200);
    await writeFile(file, POLICY);
    await until("it is mended", async () => (await check("--wait", "0s")).code === 0, SLOW_MS);
  });

  it("names a sidecar that hangs, and waits for it to come back", async () => {
    const pid = sidecarOf("back-1");
    process.kill(pid, "SIGSTOP");
    try {
      let found: CommandResult | undefined;
      await until("it is found", async () => (found = await check("--wait", "0s")).code === 1, SLOW_MS);
      assert.match(
        found?.stdout ?? "",
        /^× data plane proxies are ready\n {4}default\/back-1 did not answer the last \d+ times at 127\.0\.0\.1:\d+ \(timeout\)$/m,
      );
      const waiting = check("--wait", "1m");
      process.kill(pid, "SIGCONT");
      const { code, stdout } = await waiting;
      assert.equal(code, 0, stdout);
    } finally {
      process.kill(pid, "SIGCONT");
    }
  });

  it("names a policy that no sidecar could obey", async () => {
    const file = join(folder, "policy", "many.yaml");
    await writeFile(file, denials(20, 32));
    let found: CommandResult | undefined;
    await until("it is found", async () => (found = await check("--wait", "0s")).code === 1, SLOW_MS);
    assert.match(
      found?.stdout ?? "",
      /^× policies of all workloads can be made\n {4}default\/(back|front)-1: the rules of port 80 have 20482 clauses: at most 20000 are taken$/m,
    );
    assert.match(found?.stdout ?? "", /^√ documents are valid$/m);
    assert.equal(await call(), 200);
    await rm(file);
    await until("it is mended", async () => (await check("--wait", "0s")).code === 0, SLOW_MS);
  });

  it("shows what a sidecar has refused, and why, until it accepts something else", async () => {
    const file = join(folder, "policy", "some.yaml");
    await writeFile(file, denials(1, 4));
    let found: CommandResult | undefined;
    await until("it is found", async () => (found = await check("-o", "short", "--wait", "0s")).code === 1, SLOW_MS);
    assert.match(
      found?.stdout ?? "",
      /^heddle-data-plane\n-+\n× data plane proxies accept their configuration\n {4}default\/back-1 refuses InboundPolicy "default\/back-1" since \S+: the rules of port 80 have 18 clauses: at most 10 are taken\n {4}see \S+ for hints\n\nStatus check results are ×\n$/,
    );
    assert.equal(await call(), 200);
    await rm(file);
    await until("it is mended", async () => (await check("--wait", "0s")).code === 0, SLOW_MS);
  });

  it("names a sidecar that is not there, and waits for it to come", async () => {
    // Whoever would start it again rests.
    mesh.process.kill("SIGSTOP");
    try {
      process.kill(sidecarOf("back-1"), "SIGKILL");
      let found: CommandResult | undefined;
      await until("it is found", async () => (found = await check("--proxy", "--wait", "0s")).code === 1);
      assert.match(
        found?.stdout ?? "",
        /^× data plane proxies are connected to the control plane\n {4}default\/back-1 is registered, and its sidecar \(127\.0\.0\.1:\d+\) is not connected$/m,
      );
      assert.doesNotMatch(found?.stdout ?? "", /trust anchors/);
      assert.equal((await check("--proxy", "-n", "elsewhere", "--wait", "0s")).code, 1);
    } finally {
      mesh.process.kill("SIGCONT");
    }
    const { code, stdout } = await check("--proxy", "--wait", "1m");
    assert.equal(code, 0, stdout);
    sidecarOf("back-1");
  });

  it("fails when the control plane is gone, and asks nothing else", async () => {
    const [pid] = mesh.descendants().filter((one) => / control --api /.test(mesh.commandLine(one)));
    assert.ok(pid !== undefined);
    process.kill(pid, "SIGSTOP");
    try {
      const { code, stdout } = await check("--wait", "0s");
      assert.equal(code, 1);
      assert.match(stdout, /^× can query the control plane's API\n {4}cannot reach .*: no answer within 5 s$/m);
      assert.equal(stdout.match(/^[√‼×]/gmu)?.length, 1);
    } finally {
      process.kill(pid, "SIGCONT");
    }
    assert.equal((await check("--wait", "1m")).code, 0);
  });
});
