import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";

import { runCommandLine } from "../main.ts";
import { capturedIo, type CommandResult } from "../testing/captured-io.ts";

const BROKEN = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: reads, namespace: shop }
spec:
  action: ALOW
---
Kind: service-intentions
Name: price
Sources:
  - Name: web
    Action: allow
    Protocol: http
`;

const STRICT = `apiVersion: security.istio.io/v1beta1
kind: PeerAuthentication
metadata: { name: default }
spec: { mtls: { mode: STRICT } }
`;

const intentions = (name: string): string =>
  `Kind: service-intentions\nName: ${name}\nSources: [{ Name: "*", Action: deny }]\n`;

describe("heddle validate", () => {
  let folder: string;
  beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), "heddle-validate-"))));
  afterEach(() => rm(folder, { recursive: true }));

  async function validate(...words: string[]): Promise<CommandResult> {
    const io = { ...capturedIo(), directory: folder };
    const code = await runCommandLine(["validate", ...words], io);
    return { code, stdout: io.stdout.text, stderr: io.stderr.text };
  }

  it("tells of two broken documents of two dialects in one file, with their lines, and exits with 1", async () => {
    await writeFile(join(folder, "both.yaml"), BROKEN);
    assert.deepEqual(await validate("both.yaml"), {
      code: 1,
      stdout: `both.yaml:5:11: error: spec.action: expected one of "ALLOW", "DENY", "AUDIT", "CUSTOM"; found "ALOW" (did you mean "ALLOW"?)
both.yaml:12:5: error: Sources[0].Protocol: unknown field "Protocol" (known here: Name, Namespace, Partition, Action, Permissions, Type)
0 good documents in 1 file, 2 errors, 0 warnings
`,
      stderr: "",
    });
  });

  it("follows a mesh.yaml to what it names, in its namespace, and says that all is well", async () => {
    await mkdir(join(folder, "policies"));
    await writeFile(join(folder, "policies/strict.yaml"), STRICT);
    const mesh = "namespace: secure-payment\nservices: { pay: { run: x } }\nresources: [policies]\n";
    await writeFile(join(folder, "mesh.yaml"), mesh);
    // The folder is looked at once, by the mesh's namespace.
    assert.deepEqual(await validate("mesh.yaml", "policies"), {
      code: 0,
      stdout: "2 good documents in 2 files, 0 errors, 0 warnings\n",
      stderr: "",
    });
    await writeFile(join(folder, "mesh.yaml"), `${mesh}policy: { default: denied }\n`);
    await writeFile(join(folder, "policies/strict.yaml"), STRICT.replace("mode", "mod"));
    const { code, stdout } = await validate(".");
    assert.equal(code, 1);
    assert.match(stdout, /^mesh\.yaml:4:20: error: policy\.default: expected one of .*; found "denied"/m);
  });

  it("tells of documents that a good mesh.yaml names", async () => {
    await mkdir(join(folder, "policies"));
    await writeFile(join(folder, "policies/strict.yaml"), STRICT.replace("mode", "mod"));
    await writeFile(join(folder, "mesh.yaml"), "services: { pay: { run: x } }\nresources: [policies, nowhere]\n");
    assert.deepEqual((await validate("mesh.yaml")).stdout.split("\n"), [
      "nowhere:1:1: error: there is no such file",
      'policies/strict.yaml:4:17: error: spec.mtls.mod: unknown field "mod" (did you mean "mode"?)',
      "1 good document in 3 files, 2 errors, 0 warnings",
      "",
    ]);
  });

  it("warns of documents that are about none of the mesh's services", async () => {
    const documents = [
      STRICT,
      STRICT.replace("name: default", "name: other, namespace: shop"),
      intentions("pay"),
      intentions("play"),
      "apiVersion: policy.linkerd.io/v1beta3\nkind: Server\nmetadata: { name: s }\nspec: { podSelector: { matchLabels: { app: pay, v: b } }, port: 81 }\n",
      "apiVersion: access.smi-spec.io/v1alpha3\nkind: TrafficTarget\nmetadata: { name: t }\nspec: { destination: { kind: ServiceAccount, name: pays }, sources: [] }\n",
      "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: p }\nspec: { selector: { matchLabels: { app: play } } }\n",
    ];
    await writeFile(join(folder, "all.yaml"), documents.join("---\n"));
    await writeFile(
      join(folder, "mesh.yaml"),
      "services: { pay: { run: x, labels: { v: a }, instances: [{}, { labels: { v: b } }] } }\nresources: [all.yaml]\n",
    );
    const { code, stdout } = await validate("mesh.yaml");
    assert.equal(code, 0);
    assert.deepEqual(stdout.split("\n"), [
      'all.yaml:6:1: warning: it is about none of the services of mesh.yaml (its namespace is "shop", theirs "default")',
      "all.yaml:15:1: warning: it is about none of the services of mesh.yaml",
      "all.yaml:19:1: warning: it is about none of the services of mesh.yaml",
      "all.yaml:24:1: warning: it is about none of the services of mesh.yaml",
      "all.yaml:29:1: warning: it is about none of the services of mesh.yaml",
      "8 good documents in 2 files, 0 errors, 5 warnings",
      "",
    ]);
  });

  it("warns of an authorizer that the mesh does not have", async () => {
    const custom =
      "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: p }\nspec: { action: CUSTOM, provider: { name: oba }, rules: [{}] }\n";
    await writeFile(join(folder, "custom.yaml"), custom);
    await writeFile(
      join(folder, "mesh.yaml"),
      'services: { pay: { run: x } }\nresources: [custom.yaml]\npolicy: { authorizers: [{ name: opa, address: "127.0.0.1:1" }] }\n',
    );
    assert.equal(
      (await validate("mesh.yaml")).stdout.split("\n", 1)[0],
      'custom.yaml:1:1: warning: spec.provider.name: mesh.yaml has no authorizer "oba", so the calls that it would be asked about are refused (did you mean "opa"?)',
    );
  });

  it("takes warnings for good, and tells of them in JSON as well", async () => {
    await writeFile(
      join(folder, "p.yaml"),
      "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: p }\nspec: { action: DENY }\n",
    );
    const { code, stdout } = await validate("p.yaml", "-o", "json");
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(stdout), {
      files: ["p.yaml"],
      documents: 1,
      errors: 0,
      warnings: 1,
      diagnostics: [
        {
          severity: "warning",
          file: "p.yaml",
          line: 4,
          column: 17,
          field: "spec.action",
          message: "DENY without rules is about no call",
          hint: "rules: [{}] is about every call",
        },
      ],
    });
  });

  it("wants a file, and says when there is none", async () => {
    assert.equal((await validate()).code, 2);
    assert.deepEqual(await validate("nowhere.yaml"), {
      code: 1,
      stdout: "nowhere.yaml:1:1: error: there is no such file\n0 good documents in 1 file, 1 error, 0 warnings\n",
      stderr: "",
    });
  });
});
