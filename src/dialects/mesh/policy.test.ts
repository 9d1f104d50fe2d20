/** What mesh.yaml says of documents and policy. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { formatDiagnostic } from "../diagnostic.ts";
import { parseMeshFile } from "./parse.ts";

function lines(...text: string[]): string {
  return `${text.join("\n")}\n`;
}

const BAD: readonly (readonly [name: string, text: string, told: string])[] = [
  [
    "a default policy that there is none of",
    "policy: { default: allow }\nservices: { a: { run: x } }\n",
    '1:20: policy.default: expected one of "all-unauthenticated", "all-authenticated", "cluster-authenticated", "cluster-unauthenticated", "deny", "audit"; found "allow"',
  ],
  [
    "an unknown key of an authorizer",
    'policy: { authorizers: [{ name: a, address: "h:1", timout: 1s }] }\nservices: { a: { run: x } }\n',
    '1:52: policy.authorizers[0].timout: unknown key "timout" (did you mean "timeout"?)',
  ],
  [
    "an authorizer's address without a port",
    "policy: { authorizers: [{ name: a, address: host }] }\nservices: { a: { run: x } }\n",
    '1:45: policy.authorizers[0].address: expected host:port, like "127.0.0.1:9191"; found "host"',
  ],
  [
    "an authorizer's port beyond the last",
    'policy: { authorizers: [{ name: a, address: "host:65536" }] }\nservices: { a: { run: x } }\n',
    '1:45: policy.authorizers[0].address: expected host:port, like "127.0.0.1:9191"; found "host:65536"',
  ],
  [
    "an authorizer that is called like another",
    'policy: { authorizers: [{ name: a, address: "h:1" }, { name: a, address: "h:2" }] }\nservices: { a: { run: x } }\n',
    "1:54: policy.authorizers[1]: the name a is already used above",
  ],
  [
    "a timeout of no time",
    'policy: { authorizers: [{ name: a, address: "h:1", timeout: 0s }] }\nservices: { a: { run: x } }\n',
    '1:61: policy.authorizers[0].timeout: expected a time from 1ms to 60s, like "600ms"; found "0s"',
  ],
  [
    "resources that are no list",
    "resources: policies\nservices: { a: { run: x } }\n",
    '1:12: resources: expected a list of files and folders; found "policies"',
  ],
  [
    "a folder that is listed twice",
    "resources: [/a, /a]\nservices: { a: { run: x } }\n",
    "1:17: resources[1]: /a is listed twice",
  ],
];

describe("resources and policy of mesh.yaml", () => {
  it("reads what holds of policy, with paths made absolute", () => {
    const text = lines(
      "services: { a: { run: x } }",
      "resources: [policies, ./authz.yaml, /etc/mesh/all.json]",
      "policy:",
      "  default: all-authenticated",
      "  trustDomain: example.org",
      "  authorizers:",
      '    - { name: opa, address: "127.0.0.1:9191", timeout: 1.5s, failOpen: true }',
      '    - { name: other, address: "[::1]:1" }',
    );
    const { meshFile, diagnostics } = parseMeshFile(text, "/work/shop/mesh.yaml");
    assert.deepEqual(diagnostics, []);
    assert.deepEqual(meshFile?.resourcePaths, ["/work/shop/policies", "/work/shop/authz.yaml", "/etc/mesh/all.json"]);
    assert.deepEqual(meshFile?.policy, {
      default: "all-authenticated",
      trustDomain: "example.org",
      authorizers: [
        { name: "opa", address: "127.0.0.1:9191", timeoutMs: 1_500, failOpen: true },
        { name: "other", address: "[::1]:1", timeoutMs: 600, failOpen: false },
      ],
    });
  });

  for (const [name, text, told] of BAD) {
    it(`refuses ${name}`, () => {
      const { meshFile, diagnostics } = parseMeshFile(text, "m.yaml");
      assert.deepEqual(
        diagnostics.map((one) => formatDiagnostic(one).replace(/^m\.yaml:(\d+:\d+): error/, "$1")),
        [told],
      );
      assert.equal(meshFile, undefined);
    });
  }
});
