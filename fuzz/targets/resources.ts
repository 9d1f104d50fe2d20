/** Documents of other meshes from anywhere: resources that compile, or diagnostics that point into the text. It never throws. */
import assert from "node:assert/strict";

import { compileInboundPolicy } from "../../src/dialects/compile-inbound.ts";
import { parseResources } from "../../src/dialects/registry.ts";
import { resourceSet } from "../../src/dialects/resource-set.ts";
import { defaultPolicySettings } from "../../src/dialects/target.ts";
import { compilePolicy } from "../../src/policy/policy.ts";
import { decodeInboundPolicy } from "../../src/xds/decode-policy.ts";
import { encodeInboundPolicy } from "../../src/xds/encode-policy.ts";
import type { Target } from "../target.ts";

const WORKLOAD = {
  name: "price-1",
  namespace: "shop",
  labels: { app: "price" },
  serviceAccount: "price",
  ports: [
    { service: "price", name: "http", port: 80, appPort: 8080 },
    { service: "price", name: "sql", port: 5432, appPort: 0 },
  ],
};

export const resources: Target = {
  name: "resources",
  tokens: [
    "---\n",
    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n",
    "apiVersion: policy.linkerd.io/v1beta3\nkind: Server\n",
    "Kind: service-intentions\n",
    "metadata: { name: a, namespace: shop }\n",
    "spec:\n",
    "  rules: [{}]\n",
    "  action: DENY\n",
    "principals: ['*']",
    "paths: ['/{*}/{**}']",
    "notPaths: ['*a']",
    "ipBlocks: [10.0.0.0/8]",
    "::ffff:10.0.0.1/97",
    "pathRegex: '(a|b)+'",
    "PathRegex: '[^",
    "key: request.auth.claims[a][b]",
    "portLevelMtls: { 80: { mode: STRICT } }",
    "podSelector: {}",
    "matchExpressions: [{ key: a, operator: In, values: [b] }]",
    "Sources: [{ Name: '*', Action: deny }]",
    "null",
    "~",
    "[]",
    "{}",
    "- ",
    "*a",
    "&a ",
    '"',
    "__proto__: 1\n",
    "constructor: {}\n",
  ].map((token) => Buffer.from(token).toString("latin1")),
  bytesMax: 4_096,
  run(input) {
    const text = input.toString("utf8");
    const parsed = parseResources(text, "f.yaml", "shop");
    const lines = text.split(/\r\n|\r|\n/).length;
    for (const { line, column, message } of parsed.diagnostics) {
      assert.ok(line >= 1 && line <= lines + 1, `line ${line} of ${lines}`);
      assert.ok(column >= 1, `column ${column}`);
      assert.ok(message.length > 0 && message.length < 6_000, `a message of ${message.length} characters`);
    }
    const { resources: all } = resourceSet(parsed.resources);
    const policy = compileInboundPolicy(all, WORKLOAD, defaultPolicySettings);
    // What is good is good for a sidecar as well.
    const decoded = decodeInboundPolicy(encodeInboundPolicy("shop/price-1", policy));
    assert.deepEqual(decoded.policy, policy);
    for (const port of [80, 5432]) compilePolicy(policy, port);
    const shapes = parsed.diagnostics.slice(0, 3).map(({ message }) => message.replace(/[^a-z ]/g, "").slice(0, 24));
    return `${all.all.map(({ type }) => type).join()} ${policy.layers.length} ${shapes.join()}`;
  },
};
