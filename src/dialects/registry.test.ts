import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { formatDiagnostic } from "./diagnostic.ts";
import { COMBINATIONS_MAX } from "./istio/authorization-rules.ts";
import { TEMPLATE_LENGTH_MAX } from "./istio/patterns.ts";
import { KINDS, LIST_ITEMS_MAX, NOT_YET, parseResources } from "./registry.ts";
import type { ResourceType } from "./resource.ts";
import { ENTRIES_MAX, TEXT_LENGTH_MAX } from "./shape.ts";
import { BAD_ENVELOPES } from "./testing/bad-envelopes.ts";
import { BAD_ISTIO } from "./testing/bad-istio.ts";
import { BAD_LINKERD } from "./testing/bad-linkerd.ts";
import { BAD_SMI_CONSUL } from "./testing/bad-smi-consul.ts";
import { YAML_BYTES_MAX, YAML_DOCUMENTS_MAX } from "./yaml-document.ts";

/** What is told of a text; its first line is empty, for looks. */
function told(text: string): string[] {
  return parseResources(text.replace(/^\n/, ""), "f").diagnostics.map((one) =>
    formatDiagnostic(one).replace(/^f:/, ""),
  );
}

const STRICT = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default }
spec: { mtls: { mode: STRICT } }
`;

const intentions = (sources: number): string =>
  `Kind: service-intentions\nName: a\nSources: [${Array.from({ length: sources }, (_, i) => `{ Name: s${i}, Action: deny }`).join()}]\n`;

const items = (count: number): string =>
  `apiVersion: v1\nkind: List\nitems: [${Array.from({ length: count }, () => "1").join()}]\n`;

describe("parseResources", () => {
  it("reads the YAML of an article as it is printed there", () => {
    const printed = `apiVersion: security.istio.io/v1beta1
kind: PeerAuthentication
metadata:
  name: default
  namespace: secure-payment
spec:
  mtls:
    mode: STRICT
`;
    assert.deepEqual(parseResources(printed, "/etc/mesh/strict.yaml"), {
      resources: [
        {
          type: "security.istio.io/PeerAuthentication",
          origin: {
            kind: "security.istio.io/v1beta1/PeerAuthentication",
            namespace: "secure-payment",
            name: "default",
            file: "/etc/mesh/strict.yaml",
            line: 1,
          },
          labels: {},
          spec: { selector: undefined, mode: "STRICT", byPort: [] },
        },
      ],
      diagnostics: [],
    });
  });

  it("reads streams, lists and JSON, and says of each where it stands", () => {
    const stream = `# nothing\n---\n${STRICT}---\n---\n${STRICT}...\n`;
    assert.deepEqual(
      parseResources(stream, "f").resources.map(({ origin }) => [origin.namespace, origin.line]),
      [
        ["default", 4],
        ["default", 11],
      ],
    );
    const list = JSON.stringify(
      {
        apiVersion: "v1",
        kind: "List",
        metadata: { resourceVersion: "" },
        items: [
          { apiVersion: "security.istio.io/v1", kind: "PeerAuthentication", metadata: { name: "a" } },
          { Kind: "service-intentions", Name: "price", Sources: [{ Name: "*", Action: "deny" }] },
        ],
      },
      undefined,
      "\t",
    );
    const { resources, diagnostics } = parseResources(list, "list.json", "shop");
    assert.deepEqual(diagnostics, []);
    assert.deepEqual(
      resources.map(({ type, origin }) => [type, origin.kind, origin.namespace, origin.name, origin.line]),
      [
        ["security.istio.io/PeerAuthentication", "security.istio.io/v1/PeerAuthentication", "shop", "a", 8],
        ["consul/service-intentions", "consul/service-intentions", "shop", "price", 15],
      ],
    );
  });

  it("takes what Kubernetes writes into documents by itself", () => {
    const text = STRICT.replace(
      "{ name: default }",
      "{ name: default, uid: x, resourceVersion: '1', generation: 1, creationTimestamp: 2026-01-01, managedFields: [{}] }",
    );
    assert.deepEqual(told(`${text}status: { conditions: [] }\n`), []);
  });

  it("gives the good documents of a file with bad ones, and tells of all", () => {
    const bad = STRICT.replace("STRICT", "STRIKT");
    const { resources, diagnostics } = parseResources(`${bad}---${STRICT}---${bad}`, "f");
    assert.equal(resources.length, 1);
    assert.deepEqual(
      diagnostics.map(({ line }) => line),
      [5, 15],
    );
  });

  it("knows a kind only once", () => {
    for (const type of Object.keys(KINDS) as ResourceType[]) {
      const [group = "", kind = ""] = type.split("/");
      assert.ok(!(NOT_YET[group] ?? []).includes(kind), type);
    }
  });

  it("reads a bounded number of everything", () => {
    assert.deepEqual(told(intentions(ENTRIES_MAX)), []);
    assert.deepEqual(told(intentions(ENTRIES_MAX + 1)), ["3:10: error: Sources: 1001 entries; at most 1000 are read"]);

    const labels = (count: number): string =>
      STRICT.replace(
        "{ name: default }",
        `{ name: a, labels: { ${Array.from({ length: count }, (_, i) => `l${i}: a`).join()} } }`,
      );
    assert.deepEqual(told(labels(ENTRIES_MAX)), []);
    assert.deepEqual(told(labels(ENTRIES_MAX + 1)), [
      "3:30: error: metadata.labels: 1001 entries; at most 1000 are read",
    ]);

    const label = (length: number): string =>
      STRICT.replace("{ name: default }", `{ name: a, labels: { l: ${"x".repeat(length)} } }`);
    assert.deepEqual(told(label(TEXT_LENGTH_MAX)), []);
    assert.match(told(label(TEXT_LENGTH_MAX + 1)).join(), /at most 4096 characters; found 4097/);

    assert.deepEqual(told(`${STRICT}---\n`.repeat(YAML_DOCUMENTS_MAX)), []);
    assert.deepEqual(told(`${STRICT}---\n`.repeat(YAML_DOCUMENTS_MAX + 1)), [
      "5999:1: error: the file has more than 1000 documents, which are not read (split it into several files)",
    ]);

    assert.equal(told(items(LIST_ITEMS_MAX)).length, LIST_ITEMS_MAX);
    assert.deepEqual(told(items(LIST_ITEMS_MAX + 1)), [
      "3:8: error: items: 1001 documents; at most 1000 are read (split it into several files)",
    ]);

    const sources = Array.from({ length: 33 }, () => "{ source: { namespaces: [a] } }");
    const operations = Array.from({ length: 32 }, () => "{ operation: { methods: [GET] } }");
    const rule = (from: number): string => `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: a }
spec: { rules: [{ from: [${sources.slice(0, from).join()}], to: [${operations.join()}] }] }
`;
    assert.equal(32 * 32, COMBINATIONS_MAX);
    assert.deepEqual(told(rule(32)), []);
    assert.deepEqual(told(rule(33)), [
      "4:17: error: spec.rules[0]: from and to have 1056 combinations; at most 1024 are possible (write several rules)",
    ]);

    const template = (length: number): string =>
      rule(0).replace("methods: [GET]", `paths: ["/{*}/${"x".repeat(length - 5)}"]`);
    assert.deepEqual(told(template(TEMPLATE_LENGTH_MAX).replace("from: [], ", "")), []);
    assert.match(
      told(template(TEMPLATE_LENGTH_MAX + 1).replace("from: [], ", "")).join(),
      /a template of at most 256 characters/,
    );

    assert.match(told(`#${"x".repeat(YAML_BYTES_MAX)}`).join(), /at most 1048576 are read/);
  });
});

describe("bad documents", () => {
  for (const [name, text, ...expected] of [...BAD_ENVELOPES, ...BAD_ISTIO, ...BAD_LINKERD, ...BAD_SMI_CONSUL])
    it(`are told of: ${name}`, () => assert.deepEqual(told(text), expected));
});
