import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { formatDiagnostic } from "./diagnostic.ts";
import { COMBINATIONS_IN_ALL_MAX } from "./cross-check.ts";
import { COMBINATIONS_MAX } from "./istio/authorization-rules.ts";
import { parseResources } from "./registry.ts";
import { RESOURCES_MAX, resourceSet } from "./resource-set.ts";

/** What is told of documents that are good by themselves. */
function told(text: string): string[] {
  const { resources, diagnostics } = parseResources(text, "f", "shop");
  assert.deepEqual(diagnostics, []);
  return resourceSet(resources).diagnostics.map(formatDiagnostic);
}

function linkerd(kind: string, name: string, spec: string, version = "v1alpha1"): string {
  return `---\napiVersion: policy.linkerd.io/${version}\nkind: ${kind}\nmetadata: { name: ${name} }\nspec: ${spec}\n`;
}

function server(name: string, spec: string): string {
  return linkerd("Server", name, spec, "v1beta3");
}

const peers = (name: string, namespace: string): string =>
  `---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: { name: ${name}, namespace: ${namespace} }\nspec: { selector: { matchLabels: { a: b } } }\n`;

const trafficTarget = (rules: number): string =>
  `---\napiVersion: access.smi-spec.io/v1alpha3\nkind: TrafficTarget\nmetadata: { name: t }\nspec: { destination: { kind: ServiceAccount, name: a }, sources: [], rules: [${Array.from({ length: rules }, () => "{ kind: HTTPRouteGroup, name: g }").join()}] }\n`;

const TARGET = "targetRef: { group: policy.linkerd.io, kind: Server, name: s }";

describe("resourceSet", () => {
  it("finds documents by type and by name", () => {
    const { resources } = resourceSet(parseResources(server("a", "{ podSelector: {}, port: 1 }"), "f").resources);
    assert.equal(resources.of("policy.linkerd.io/Server").length, 1);
    assert.equal(resources.of("consul/service-intentions").length, 0);
    assert.equal(resources.find("policy.linkerd.io/Server", "default", "a")?.spec.port, 1);
    assert.equal(resources.find("policy.linkerd.io/Server", "shop", "a"), undefined);
  });

  it("refuses a document that is written twice, in whichever version", () => {
    assert.deepEqual(
      told(
        server("a", "{ podSelector: {}, port: 1 }") + linkerd("Server", "a", "{ podSelector: {}, port: 2 }", "v1beta1"),
      ),
      [
        'f:7:1: error: Server "a" of the namespace "shop" is already written at f:2 (leave one of them out, or name it otherwise)',
      ],
    );
  });

  it("refuses two Servers of one selector and port, however they are written", () => {
    const selector = "matchLabels: { b: x, a: y }, matchExpressions: [{ key: c, operator: In, values: [p, q] }]";
    const same = "matchExpressions: [{ operator: In, key: c, values: [q, p] }], matchLabels: { a: y, b: x }";
    assert.deepEqual(
      told(
        server("a", `{ podSelector: { ${selector} }, port: 80 }`) +
          server("b", `{ podSelector: { ${same} }, port: 80 }`) +
          server("c", `{ podSelector: { ${same} }, port: http }`) +
          server("d", `{ podSelector: { matchLabels: { a: y } }, port: 80 }`),
      ),
      [
        'f:7:1: error: spec.podSelector: the Server "a" at f:2 has the same podSelector and port (a port of a workload has one Server)',
      ],
    );
  });

  it("warns of names that are not there", () => {
    const policy = `{ ${TARGET}, requiredAuthenticationRefs: [
      { group: policy.linkerd.io, kind: MeshTLSAuthentication, name: wbe },
      { group: policy.linkerd.io, kind: NetworkAuthentication, name: net, namespace: other },
      { kind: ServiceAccount, name: anybody } ] }`;
    const withoutAccount = policy.replace("{ kind: ServiceAccount, name: anybody }", "");
    assert.deepEqual(
      told(
        linkerd("AuthorizationPolicy", "p", withoutAccount) +
          linkerd("MeshTLSAuthentication", "web", '{ identities: ["*"] }') +
          linkerd("NetworkAuthentication", "net", "{ networks: [{ cidr: 10.0.0.0/8 }] }") +
          linkerd("ServerAuthorization", "z", "{ server: { name: s }, client: { unauthenticated: true } }", "v1beta1") +
          linkerd("HTTPLocalRateLimitPolicy", "l", `{ ${TARGET}, total: { requestsPerSecond: 1 } }`),
      ),
      [
        'f:2:1: warning: spec.targetRef.name: there is no Server "s" in the namespace "shop"',
        'f:2:1: warning: spec.requiredAuthenticationRefs[0].name: there is no MeshTLSAuthentication "wbe" in the namespace "shop", so the policy allows nobody (did you mean "web"?)',
        'f:2:1: warning: spec.requiredAuthenticationRefs[1].name: there is no NetworkAuthentication "net" in the namespace "other", so the policy allows nobody',
        'f:20:1: warning: spec.server.name: there is no Server "s" in the namespace "shop"',
        'f:25:1: warning: spec.targetRef.name: there is no Server "s" in the namespace "shop"',
      ],
    );
  });

  it("keeps a policy in its namespace, and one limit for each Server", () => {
    const limit = `{ ${TARGET}, total: { requestsPerSecond: 1 } }`;
    assert.deepEqual(
      told(
        server("s", "{ podSelector: {}, port: 80 }") +
          linkerd(
            "AuthorizationPolicy",
            "p",
            "{ targetRef: { kind: Namespace, name: jobs }, requiredAuthenticationRefs: [] }",
          ) +
          linkerd("HTTPLocalRateLimitPolicy", "a", limit) +
          linkerd("HTTPLocalRateLimitPolicy", "b", limit),
      ),
      [
        'f:7:1: error: spec.targetRef.name: expected the document\'s own namespace "shop"; found "jobs"',
        'f:17:1: warning: spec.targetRef.name: the limit "a" at f:12 is for the same Server and holds (a Server has one)',
      ],
    );
  });

  it("warns of SMI's names, too", () => {
    const text = `
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: { name: t }
spec:
  destination: { kind: ServiceAccount, name: a }
  rules:
    - { kind: TCPRoute, name: sql }
    - { kind: HTTPRouteGroup, name: routes, matches: [metric] }
    - { kind: HTTPRouteGroup, name: route }
  sources: []
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: { name: routes }
spec: { matches: [{ name: metrics }] }
`;
    assert.deepEqual(told(text), [
      'f:2:1: warning: spec.rules[0].name: there is no TCPRoute "sql" in the namespace "shop", so the rule allows nothing',
      'f:2:1: warning: spec.rules[1].matches: the HTTPRouteGroup "routes" has no match "metric", so it allows nothing (did you mean "metrics"?)',
      'f:2:1: warning: spec.rules[2].name: there is no HTTPRouteGroup "route" in the namespace "shop", so the rule allows nothing (did you mean "routes"?)',
    ]);
  });

  it("warns of a PeerAuthentication that holds for nobody", () => {
    assert.deepEqual(told(peers("a", "istio-system") + peers("b", "shop") + peers("c", "shop")), [
      'f:2:1: warning: spec.selector: with a selector in the root namespace "istio-system" it is about no workload (leave the selector out to mean the whole mesh)',
      'f:12:1: warning: spec.selector: "b" at f:7 is about the same workloads, and the first one holds (write both into one document)',
    ]);
  });

  it("takes a bounded number of documents", () => {
    const [one] = parseResources(server("a", "{ podSelector: {}, port: 1 }"), "f").resources;
    assert.ok(one !== undefined && one.type === "policy.linkerd.io/Server");
    const many = Array.from({ length: RESOURCES_MAX + 1 }, (_, i) => ({
      ...one,
      origin: { ...one.origin, name: `a${i}` },
      spec: { ...one.spec, podSelector: { matchLabels: { i: String(i) }, matchExpressions: [] } },
    }));
    assert.deepEqual(resourceSet(many.slice(1)).diagnostics, []);
    const { resources, diagnostics } = resourceSet(many);
    assert.deepEqual(resources.all, []);
    assert.deepEqual(diagnostics.map(formatDiagnostic), [
      "f:2:1: error: more than 10000 documents, which are not read",
    ]);
  });

  it("takes a bounded number of combinations, of Istio's rules and of SMI's", () => {
    const sources = Array.from({ length: 32 }, () => "{ source: { namespaces: [a] } }").join();
    const rule = `{ from: [${sources}], to: [${sources.replaceAll("source: { namespaces: [a] }", "operation: { methods: [GET] }")}] }`;
    const policy = (name: string, rules: number): string =>
      `---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: ${name} }\nspec: { rules: [${Array.from({ length: rules }, () => rule).join()}] }\n`;
    // 195 × 1,024 combinations; the next 1,024 are too many.
    assert.equal(Math.floor(COMBINATIONS_IN_ALL_MAX / COMBINATIONS_MAX), 195);
    assert.deepEqual(told(policy("a", 195)), []);
    const tooMany = told(policy("a", 195) + policy("b", 1));
    assert.deepEqual(tooMany, [
      "f:7:1: error: with this document rules have more than 200000 combinations in all (split its rules, so that they combine less)",
    ]);

    const matches = Array.from({ length: 1_000 }, (_, i) => `{ name: m${i} }`).join();
    const group = `---\napiVersion: specs.smi-spec.io/v1alpha4\nkind: HTTPRouteGroup\nmetadata: { name: g }\nspec: { matches: [${matches}] }\n`;
    assert.deepEqual(told(group + trafficTarget(200)), []);
    assert.equal(told(group + trafficTarget(201)).length, 1);
  });
});
