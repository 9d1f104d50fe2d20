import assert from "node:assert/strict";
import { mkdir, mkdtemp, rename, rm, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";

import { until } from "../../../test/support/until.ts";
import { defaultPolicySettings } from "../../dialects/target.ts";
import { systemClock } from "../../net/clock.ts";
import { recordingLogger } from "../testing/logger.ts";
import { type ResourceRequest, ResourceSource } from "./resource-source.ts";

const cleanups: (() => void | Promise<void>)[] = [];
let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "heddle-resources-"));
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
  await rm(folder, { recursive: true, force: true });
});

function document(name: string, mode = "STRICT"): string {
  return `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: ${name} }
spec: { mtls: { mode: ${mode} } }
`;
}

function request(...paths: string[]): ResourceRequest {
  return { groups: [{ paths, namespace: "shop" }], settings: defaultPolicySettings };
}

async function follow(wanted: ResourceRequest | undefined) {
  const { logger, lines } = recordingLogger();
  const seen = { changes: 0 };
  const source = new ResourceSource({ clock: systemClock, logger, onChange: () => seen.changes++ });
  if (wanted !== undefined) source.request(wanted);
  await source.start();
  cleanups.push(() => source.close());
  return { source, lines, seen };
}

/** "a b", or "nothing yet". */
function names(source: ResourceSource): string {
  return (
    source.basis?.resources.all.map(({ origin }) => `${origin.namespace}/${origin.name}`).join(" ") ?? "nothing yet"
  );
}

function states(source: ResourceSource): string {
  return source.statuses.map(({ name, state }) => `${name.slice(folder.length + 1)} ${state}`).join(", ");
}

describe("ResourceSource", () => {
  it("follows files and folders, also what comes into a folder and goes", async () => {
    await mkdir(join(folder, "more"));
    await writeFile(join(folder, "a.yaml"), document("a"));
    const { source } = await follow(request(join(folder, "a.yaml"), join(folder, "more")));
    assert.equal(names(source), "shop/a");
    await writeFile(join(folder, "more", "b.yaml"), document("b"));
    await until("b is there", () => names(source) === "shop/a shop/b");
    await writeFile(join(folder, "more", "new"), document("c"));
    await rename(join(folder, "more", "new"), join(folder, "more", "b.yaml"));
    await until("b is c", () => names(source) === "shop/a shop/c");
    await unlink(join(folder, "more", "b.yaml"));
    await until("it is gone", () => names(source) === "shop/a");
    assert.equal(states(source), "a.yaml ok");
  });

  it("leaves all as it was while one of them is bad, and says where", async () => {
    const [a, b] = [join(folder, "a.yaml"), join(folder, "b.yaml")];
    await writeFile(a, document("a"));
    await writeFile(b, document("b"));
    const { source, lines, seen } = await follow(request(folder));
    const before = seen.changes;
    await writeFile(b, document("b", "STRICTLY"));
    await until("it is bad", () => states(source) === "a.yaml ok, b.yaml bad");
    await writeFile(a, document("c"));
    await writeFile(b, `${document("b", "STRICTLY")}# still\n`);
    await until("it is said once", () => source.statuses[1]?.diagnostics[0]?.line === 4);
    assert.equal(names(source), "shop/a shop/b");
    assert.equal(seen.changes, before);
    assert.equal(lines.filter((line) => line.includes(`${b}:4:`)).length, 1);
    assert.ok(lines.some((line) => line.includes("the last good ones stay in force")));
    await writeFile(b, document("d"));
    await until("it is mended", () => names(source) === "shop/c shop/d");
    assert.equal(states(source), "a.yaml ok, b.yaml ok");
  });

  it("has nothing at all before everything was good once", async () => {
    await writeFile(join(folder, "a.yaml"), document("a"));
    const { source, lines } = await follow(request(join(folder, "a.yaml"), join(folder, "missing.yaml")));
    assert.equal(names(source), "nothing yet");
    assert.equal(states(source), "a.yaml ok, missing.yaml bad");
    assert.ok(lines.some((line) => line.includes("nobody may call")));
    await writeFile(join(folder, "missing.yaml"), document("b"));
    await until("it is there", () => names(source) === "shop/a shop/b");
  });

  it("keeps what was in force when a file that was named goes away", async () => {
    const file = join(folder, "a.yaml");
    await writeFile(file, document("a"));
    const { source } = await follow(request(file));
    await unlink(file);
    await until("it is missing", () => states(source) === "a.yaml bad");
    assert.equal(names(source), "shop/a");
  });

  it("takes documents and settings of one request together", async () => {
    const [a, b] = [join(folder, "a.yaml"), join(folder, "b.yaml")];
    await writeFile(a, document("a"));
    await writeFile(b, "kind: Nonsense");
    const { source } = await follow(request(a));
    const settings = { ...defaultPolicySettings, defaultPolicy: "deny" as const };
    source.request({ ...request(b), settings });
    await source.refresh();
    assert.equal(source.basis?.settings.defaultPolicy, "all-unauthenticated");
    assert.equal(names(source), "shop/a");
    await writeFile(b, document("b"));
    await until("the next one is there", () => names(source) === "shop/b");
    assert.equal(source.basis?.settings.defaultPolicy, "deny");
  });

  it("refuses what two mesh files name twice", async () => {
    await writeFile(join(folder, "a.yaml"), document("a"));
    await writeFile(join(folder, "b.yaml"), document("a"));
    const groups = ["a.yaml", "b.yaml"].map((name) => ({ paths: [join(folder, name)], namespace: "shop" }));
    const { source } = await follow({ groups, settings: defaultPolicySettings });
    assert.equal(names(source), "nothing yet");
    assert.match(source.statuses[1]?.diagnostics[0]?.message ?? "", /already written at .*a\.yaml:1/);
  });

  it("waits until somebody says what is to be followed, and leaves nothing behind", async () => {
    const { source } = await follow(undefined);
    assert.equal(names(source), "nothing yet");
    source.request(request());
    await source.refresh();
    assert.equal(names(source), "");
    await writeFile(join(folder, "a.yaml"), document("a"));
    source.request(request(folder));
    const reading = source.refresh();
    await Promise.all([source.close(), reading]);
  });
});
