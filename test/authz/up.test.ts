/**
 * Zero trust from end to end, by nothing but what users have: `heddle up` with certificates of its own, rules generated
 * from the traffic, then refusals, explanations, broken documents, and a control plane that comes back in the middle.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { get } from "node:http";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";

import { runCaptured } from "../../src/cli/testing/captured-io.ts";
import { until } from "../support/until.ts";
import { type Up, up } from "../support/up.ts";

const MESH = `
name: pair
services:
  front: { run: exec "$HEDDLE_NODE" app.cjs, protocol: http, upstreams: [back] }
  back: { run: exec "$HEDDLE_NODE" app.cjs, protocol: http }
resources: [policy]
`;

/** Answers "back", or what back answers. */
const PROGRAM = `
const http = require("node:http");
const back = process.env.HEDDLE_UPSTREAM_BACK;
http.createServer((_request, response) => {
  if (back === undefined) return response.end("back");
  http.get("http://" + back + "/", { agent: false }, (answer) => {
    response.statusCode = answer.statusCode;
    answer.pipe(response);
  }).on("error", () => response.writeHead(599).end());
}).listen(process.env.PORT, "127.0.0.1");
`;

/** Milliseconds: nine processes on a busy machine. */
const SLOW_MS = 30_000;

describe("zero trust in heddle up", { timeout: 120_000 }, () => {
  let folder = "";
  let mesh: Up;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "heddle-authz-"));
    await mkdir(join(folder, "policy"));
    await writeFile(join(folder, "mesh.yaml"), MESH);
    await writeFile(join(folder, "app.cjs"), PROGRAM);
    mesh = await up(join(folder, "mesh.yaml"));
  });
  after(async () => {
    await mesh?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const heddle = (...words: string[]) => runCaptured(words, { HEDDLE_CONTROL: mesh.api });
  /** The status of a call by the person at the keyboard; 0 without an answer. */
  const call = (service: string): Promise<number> =>
    new Promise((resolve) => {
      get(`${mesh.outbound}/`, { agent: false, headers: { host: service } }, (response) => {
        response.resume();
        response.on("close", () => resolve(response.statusCode ?? 0));
      }).on("error", () => resolve(0));
    });
  const policy = (): string => join(folder, "policy", "generated.yaml");
  const sources = async (): Promise<string> => (await fetch(`http://${mesh.api}/api/v1/sources`)).text();
  const control = (): number[] => mesh.descendants().filter((pid) => / control --api /.test(mesh.commandLine(pid)));

  it("secures every edge with nothing configured, and shows it", async () => {
    assert.equal(await call("front"), 200);
    await until("both edges are seen", async () => {
      const { stdout } = await heddle("edges", "-o", "json");
      const edges = JSON.parse(stdout) as { src: string; dst: string; client_id: string; no_tls_reason: string }[];
      const shown = edges.map(({ src, dst, client_id: id, no_tls_reason: reason }) => `${src} ${dst} ${id} ${reason}`);
      return shown.join("; ") === "front back front.default ; keyboard front keyboard.default ";
    });
    const { stdout } = await heddle("edges");
    assert.equal(stdout.match(/√/g)?.length, 2);
  });

  it("generates rules for the traffic seen, that are good and let exactly that pass", async () => {
    const generated = await heddle("authz", "generate", "--since", "1m");
    await writeFile(policy(), generated.stdout);
    const validated = await heddle("validate", policy());
    assert.equal(validated.code, 0, validated.stdout + validated.stderr);
    await until("the keyboard may not call back any more", async () => (await call("back")) === 403);
    // That one may have been let in and cut by the change, which is counted elsewhere.
    assert.equal(await call("back"), 403);
    assert.equal(await call("front"), 200);
    const { stdout } = await heddle("endpoints", "front", "-o", "json");
    const [{ port }] = JSON.parse(stdout) as [{ port: number }];
    const plain = await fetch(`http://127.0.0.1:${port}/`);
    assert.deepEqual([plain.status, plain.headers.get("heddle-error")], [403, "HED1015 forbidden"]);
  });

  it("explains what the sidecars do", async () => {
    const allowed = await heddle("authz", "explain", "--from", "front", "--to", "back");
    assert.equal(allowed.code, 0);
    assert.match(allowed.stdout, /allowed by AuthorizationPolicy default\/back-80-callers \(.*generated\.yaml:\d+\)/);
    const refused = await heddle("authz", "explain", "--from", "keyboard", "--to", "back");
    assert.equal(refused.code, 1);
    assert.match(refused.stdout, /back-80-callers .* would allow it if .*sa\/front \(here .*sa\/keyboard\)/);
    const plain = await heddle("authz", "explain", "--from", "127.0.0.1", "--to", "front");
    assert.equal(plain.code, 1);
    const nobody = await heddle("authz", "explain", "--from", "frnt", "--to", "back");
    assert.deepEqual([nobody.code, /did you mean front\?/.test(nobody.stderr)], [1, true]);
  });

  it("lists the documents, with what they let pass and refused", async () => {
    await until(
      "the counts are there",
      async () => {
        const { stdout } = await heddle("authz", "list", "back", "-o", "json");
        const rows = JSON.parse(stdout) as { action: string; allowed: number; denied: number }[];
        const [allow, otherwise] = rows;
        return rows.length === 2 && (allow?.allowed ?? 0) >= 1 && (otherwise?.denied ?? 0) >= 1;
      },
      SLOW_MS,
    );
  });

  it("keeps the last good documents while they are bad, and says where", async () => {
    await writeFile(
      policy(),
      `${readFileSync(policy(), "utf8")}---\nkind: Nonsense\napiVersion: policy.linkerd.io/v1\n`,
    );
    await until("they are bad", async () => (await sources()).includes('"bad"'));
    assert.deepEqual([await call("front"), await call("back")], [200, 403]);
    await until("it is printed", () => /generated\.yaml:\d+:\d+: error: /.test(mesh.output()));
  });

  it("goes on under the last policy when a control plane comes back that has none", async () => {
    const [old] = control();
    process.kill(old as number, "SIGKILL");
    await until("another one is there", () => control().some((pid) => pid !== old), SLOW_MS);
    await until("it answers", async () => (await sources().catch(() => "")).includes('"bad"'), SLOW_MS);
    await until(
      "its sidecars are with it",
      async () => {
        const proxies = (await (await fetch(`http://${mesh.api}/api/v1/proxies`)).json()) as object[];
        return proxies.length === 3;
      },
      SLOW_MS,
    );
    assert.deepEqual([await call("front"), await call("back")], [200, 403]);
  });

  it("keeps a new sidecar closed until there is a policy again", async () => {
    const sidecar = mesh.descendants().find((pid) => / proxy --workload back-1 /.test(mesh.commandLine(pid)));
    process.kill(sidecar as number, "SIGKILL");
    const admin = async (): Promise<string> => {
      const { stdout } = await heddle("endpoints", "back", "-o", "json");
      return (JSON.parse(stdout) as [{ admin: string }])[0].admin;
    };
    const ready = async (): Promise<number> => fetch(`http://${await admin()}/ready`).then(({ status }) => status);
    await until("it is back, and not ready", async () => (await ready().catch(() => 0)) === 503, SLOW_MS);
    const { stdout } = await heddle("endpoints", "back", "-o", "json");
    const [{ port }] = JSON.parse(stdout) as [{ port: number }];
    assert.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 403);
    assert.ok((await call("front")) >= 500);
    await writeFile(policy(), readFileSync(policy(), "utf8").replace(/---\nkind: Nonsense[^]*$/, ""));
    await until("it takes calls again", async () => (await call("front")) === 200, SLOW_MS);
    assert.equal(await call("back"), 403);
  });

  it("tells nobody a secret", async () => {
    const secrets = mesh.descendants().flatMap((pid) => tokenOf(pid));
    assert.ok(secrets.length > 0, "sidecars have tokens");
    const said = [
      ...(await mesh.pages()),
      mesh.output(),
      ...mesh.descendants().map((pid) => mesh.commandLine(pid)),
    ].join("\n");
    assert.ok(!said.includes("PRIVATE KEY"));
    for (const secret of secrets) assert.ok(!said.includes(secret));
  });
});

/** The token in the environment of a sidecar, if it is one. */
function tokenOf(pid: number): string[] {
  try {
    const variables = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
    return variables.flatMap((text) => /^HEDDLE_JOIN_TOKEN=(.+)$/.exec(text)?.[1] ?? []);
  } catch {
    return [];
  }
}
