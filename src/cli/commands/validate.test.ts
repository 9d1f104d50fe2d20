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
