import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";

import { meshJsonSchema } from "../src/dialects/mesh/schema.ts";
import { GRPC_CODE_NAMES } from "../src/protocol/grpc.ts";
import { failures } from "../src/proxy/failure.ts";
import { needs } from "./support/peers.ts";
import { freePorts } from "./support/ports.ts";
import { until } from "./support/until.ts";
import { heddle, root } from "./support/up.ts";

const run = promisify(execFile);

function page(name: string): string {
  return readFileSync(join(root, name), "utf8");
}

/** One block of the tour. The README marks what is to be run, and what it prints, with comments that readers do not see. */
interface Step {
  readonly script: string;
  /** It runs until Ctrl-C. */
  readonly background: boolean;
  /** undefined: anything. */
  readonly prints: string | undefined;
}

function tour(text: string): Step[] {
  const blocks = text.matchAll(/<!-- (tour|tour: background|prints) -->\s+```(?:sh|text)\n([\s\S]*?)\n```/g);
  const steps: Step[] = [];
  for (const [, mark, content = ""] of blocks) {
    if (mark === "prints") steps.push({ ...(steps.pop() as Step), prints: content });
    else steps.push({ script: content, background: mark !== "tour", prints: undefined });
  }
  return steps;
}

/** Numbers and the widths of columns are not the same twice. */
function comparable(output: string): string {
  return output
    .replaceAll(/\d+(\.\d+)?/g, "0")
    .replaceAll(/[ \t]+/g, " ")
    .trim();
}

/** The first cell of each row of the table under a heading, if it is code: its text without back-ticks. */
function namesUnder(text: string, heading: string): string[] {
  const section = text.split(/^## /m).find((part) => part.startsWith(heading));
  assert.ok(section !== undefined, `there is a section "${heading}"`);
  return [...section.matchAll(/^\| `([^`]+)`/gm)].map((match) => match[1] as string);
}

describe("the README's tour", needs("bash", "curl", "python3"), () => {
  let folder: string;
  let place: string;
  let api: string;
  let ports: readonly number[];
  const running: ChildProcess[] = [];
  const said: string[] = [];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "heddle-tour-"));
    place = folder;
    ports = await freePorts(6);
    api = `127.0.0.1:${ports[2]}`;
  });
  after(async () => {
    // As Ctrl-C does, which reaches the whole process group; the guest before its mesh.
    for (const child of running.toReversed()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = once(child, "exit");
      process.kill(-(child.pid as number), "SIGINT");
      await gone;
    }
    await rm(folder, { recursive: true, force: true });
  });

  /** The same script beside whatever else runs on this machine. */
  function moved(script: string): string {
    const [outbound, admin, , xds, base, otherBase] = ports;
    const addresses = `--api ${api} --outbound 127.0.0.1:${outbound} --admin 127.0.0.1:${admin}`;
    return script
      .replaceAll("127.0.0.1:4140", `127.0.0.1:${outbound}`)
      .replaceAll(/\bheddle up\b/g, `heddle up ${addresses} --xds 127.0.0.1:${xds} --base-port ${base}`)
      .replaceAll(/\bheddle run\b/g, `heddle run --xds 127.0.0.1:${xds} --base-port ${otherBase}`);
  }

  function environment(): NodeJS.ProcessEnv {
    const PATH = [dirname(heddle), dirname(process.execPath), process.env.PATH].join(delimiter);
    return { ...process.env, PATH, HEDDLE_CONTROL: api, NO_COLOR: "1" };
  }

  async function perform({ script, background, prints }: Step): Promise<void> {
    if (background) {
      const child = spawn("bash", ["-c", moved(script)], { cwd: place, env: environment(), detached: true });
      running.push(child);
      for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => said.push(String(chunk)));
      return;
    }
    const attempt = async (): Promise<string> => {
      // A reader's shell stays in the folder that a block has gone to.
      const whole = `set -e\n${moved(script)}\nprintf '\\0%s' "$PWD"`;
      const { stdout } = await run("bash", ["-c", whole], { cwd: place, env: environment(), timeout: 15_000 });
      const [output = "", now = place] = stdout.split("\0");
      place = now;
      return output;
    };
    if (prints === undefined) {
      await attempt();
      return;
    }
    let last = "";
    const asPrinted = async (): Promise<boolean> => {
      last = await attempt().catch((error: Error) => error.message);
      return comparable(last) === comparable(prints);
    };
    await until(`the block prints what the README says`, asPrinted, 15_000).catch((error: Error) => {
      throw new Error(`${error.message}\n${script}\nprinted:\n${last}\nthe mesh said:\n${said.join("")}`);
    });
  }

  const steps = tour(page("README.md"));

  it("has blocks to run and outputs to compare", () => {
    assert.ok(steps.filter(({ prints }) => prints !== undefined).length >= 6);
    assert.ok(steps.filter(({ background }) => background).length >= 2);
  });

  for (const [index, step] of steps.entries()) {
    it(`step ${index + 1}: ${step.script.split("\n")[0]}`, () => perform(step));
  }

  it("leaves no family of metrics that docs/metrics.md does not list", async () => {
    const workloads = (await (await fetch(`http://${api}/api/v1/workloads`)).json()) as { admin: string }[];
    assert.ok(workloads.length >= 4);
    const text = page("docs/metrics.md");
    for (const { admin } of workloads) {
      assert.deepEqual(missing(await families(admin), namesUnder(text, "A sidecar")), []);
    }
    assert.deepEqual(missing(await families(api), namesUnder(text, "The control plane")), []);
  });

  it("is on a control plane that answers every path of docs/http-api.md", async () => {
    const paths = [...page("docs/http-api.md").matchAll(/^\| `GET (\S+)`/gm)].map((match) => match[1] as string);
    assert.ok(paths.length >= 10);
    for (const path of paths) {
      const real = path.replace(":namespace", "default").replace(":name", "hello-1");
      assert.equal((await fetch(`http://${api}${real}`)).status, 200, path);
    }
  });
});

async function families(address: string): Promise<string[]> {
  const text = await (await fetch(`http://${address}/metrics`)).text();
  return [...text.matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1] as string);
}

function missing(names: readonly string[], known: readonly string[]): string[] {
  return names.filter((name) => !known.includes(name));
}

describe("the reference pages", () => {
  it("docs/errors.md lists exactly the failures of the proxy", () => {
    const text = page("docs/errors.md");
    const rows = [...text.matchAll(/^\| \[(HED\d+)\]\(#hed\d+\) +\| `(\w+)` +\| (\d+) +\| (.*?) +\|$/gm)];
    const sections = new Map([...text.matchAll(/^## (HED\d+)\n\n(.+)$/gm)].map((match) => [match[1], match[2]]));
    assert.deepEqual(
      rows.map(([, code, kind, status, grpc]) => [code, kind, Number(status), grpc, sections.get(code)]),
      Object.values(failures).map(({ code, kind, status, grpcStatus, summary }) => {
        return [code, kind, status, `${grpcStatus} ${GRPC_CODE_NAMES[grpcStatus]}`, summary];
      }),
    );
    assert.equal(sections.size, rows.length);
  });

  it("docs/metrics.md lists nothing that the code does not have", () => {
    const code = ["src/telemetry/metrics.ts", "src/proxy/metrics.ts", "src/control/metrics.ts"]
      .concat("src/control/identity/metrics.ts", "src/proxy/identity/identity.ts")
      .map(page)
      .join("\n");
    const text = page("docs/metrics.md");
    const names = [...namesUnder(text, "A sidecar"), ...namesUnder(text, "The control plane")];
    assert.ok(names.length > 30);
    for (const name of names) {
      const byDirection = name.replace(/^(in|out)bound_/, "${direction}_");
      const forms = [name, byDirection, byDirection.replace(/_(http|tcp)_errors/, "_${kind}_errors")];
      assert.ok(
        forms.some((form) => code.includes(`"${form}"`) || code.includes(`\`${form}\``)),
        `${name} is in no source file`,
      );
    }
  });

  it("docs/mesh-yaml.md lists exactly the keys of the schema", () => {
    type Shape = { properties: Record<string, Shape>; additionalProperties: Shape; items: Shape; anyOf: Shape[] };
    const file = JSON.parse(meshJsonSchema()) as Shape;
    assert.deepEqual(JSON.parse(page("schema/mesh.schema.json")), file, "`npm run schema` has been run");
    const at = (shape: Shape | undefined, key: string): Shape => shape?.properties[key] as Shape;
    const service = at(file, "services").additionalProperties;
    const instance = at(service, "instances").anyOf.find(({ items }) => items !== undefined)?.items;
    const text = page("docs/mesh-yaml.md");
    for (const [heading, shape] of [
      ["The file", file],
      ["A service", service],
      ["A port", at(service, "ports").items],
      ["An instance", instance],
    ] as const) {
      assert.deepEqual(namesUnder(text, heading).toSorted(), Object.keys(shape?.properties ?? {}).toSorted(), heading);
    }
  });

  it("README.md lists exactly the commands of `heddle --help`", async () => {
    const { stdout } = await run(process.execPath, [heddle, "--help"]);
    const known = [...stdout.matchAll(/^ {2}([a-z]+) {2}/gm)].map((match) => `heddle ${match[1]}`);
    assert.ok(known.length >= 9);
    assert.deepEqual(namesUnder(page("README.md"), "Commands"), known);
  });

  it("no page names a file that is not there", () => {
    const sources = ["src", "test", "bench", "fuzz", "scripts"].flatMap((top) =>
      readdirSync(join(root, top), { recursive: true, encoding: "utf8" }).map((file) => `/${top}/${file}`),
    );
    const docs = readdirSync(join(root, "docs")).map((name) => `docs/${name}`);
    for (const name of ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", ...docs]) {
      const text = page(name);
      for (const [, link = ""] of text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
        assert.ok(existsSync(join(root, dirname(name), link)), `${name} links to ${link}`);
      }
      for (const [, file = ""] of text.matchAll(/`([\w./-]+\.ts)`/g)) {
        assert.ok(
          sources.some((source) => source.endsWith(`/${file}`)),
          `${name} names ${file}`,
        );
      }
    }
  });
});
