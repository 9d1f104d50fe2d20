import assert from "node:assert/strict";
import { describe, it } from "node:test";

import type { InboundPolicy } from "../model/inbound-policy.ts";
import { compilePolicy, decide, UNNAMED_PORT } from "../policy/policy.ts";
import { compileInboundPolicy } from "./compile-inbound.ts";
import { parseResources } from "./registry.ts";
import { emptyResourceSet } from "./resource-index.ts";
import { resourceSet } from "./resource-set.ts";
import { defaultPolicySettings, type PolicySettings, type PolicyTarget, portsEnforced, portsMeant } from "./target.ts";

const PRICE: PolicyTarget = {
  name: "price-1",
  namespace: "shop",
  labels: { app: "price" },
  serviceAccount: "price",
  ports: [
    { service: "price", name: "http", port: 80, appPort: 8080 },
    { service: "price", name: "admin", port: 8080, appPort: 9000 },
    { service: "old-price", name: "http", port: 81, appPort: 8080 },
  ],
};

function compile(text: string, settings: Partial<PolicySettings> = {}, target = PRICE): InboundPolicy {
  const { resources, diagnostics } = parseResources(text, "p.yaml", "shop");
  assert.deepEqual(diagnostics, []);
  return compileInboundPolicy(resourceSet(resources).resources, target, { ...defaultPolicySettings, ...settings });
}

/** Who gets in at the ports 8080, 80, 443 (which nobody has told of) and one without a name: from 10.1.1.1, from 8.8.8.8. */
function verdicts(text: string, settings: Partial<PolicySettings> = {}): string {
  const policy = compile(text, settings);
  const ask = (port: number, address: string): boolean =>
    decide(compilePolicy(policy, port), { peer: { identity: "", address }, port, localAddress: "", sni: "" }).allowed;
  return [8080, 80, 443, UNNAMED_PORT]
    .flatMap((port) => [ask(port, "10.1.1.1"), ask(port, "8.8.8.8")])
    .map((allowed) => (allowed ? "+" : "-"))
    .join("");
}

describe("compileInboundPolicy", () => {
  it("says what the mesh says where there are no documents", () => {
    const providers = [{ name: "opa", address: "h:1", timeoutMs: 1, failOpen: true }];
    const settings: PolicySettings = { ...defaultPolicySettings, defaultPolicy: "deny", providers };
    assert.deepEqual(compileInboundPolicy(emptyResourceSet, PRICE, settings), {
      defaultPolicy: "deny",
      clusterNetworks: defaultPolicySettings.clusterNetworks,
      tls: { mode: "permissive", origin: { kind: "default", namespace: "", name: "", file: "", line: 0 } },
      tlsByPort: [],
      layers: [],
      rateLimits: [],
      jwt: [],
      providers,
    });
  });

  it("means the application's port by a number, else the service's, and by a name all that are called so", () => {
    assert.deepEqual(portsMeant(PRICE, 8080), [80, 81]);
    assert.deepEqual(portsMeant(PRICE, 80), [80]);
    assert.deepEqual(portsMeant(PRICE, "http"), [80, 81]);
    assert.deepEqual(portsMeant(PRICE, 9000), [8080]);
    assert.deepEqual(portsMeant(PRICE, 443), []);
    assert.deepEqual(portsEnforced(PRICE, 8080), [80, 81]);
    assert.deepEqual(portsEnforced(PRICE, 443), [443], "a captured connection may come in there");
    assert.deepEqual(portsEnforced(PRICE, "https"), []);
    assert.deepEqual(portsMeant(PRICE, "https"), []);
  });

  it("gives TLS modes by service port, with the line of each", () => {
    const { tls, tlsByPort } = compile(`apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: price }
spec:
  selector: { matchLabels: { app: price } }
  mtls: { mode: STRICT }
  portLevelMtls:
    8080: { mode: DISABLE }
    9000: { mode: UNSET }
`);
    assert.deepEqual([tls.mode, tls.origin.line], ["strict", 1]);
    assert.deepEqual(
      tlsByPort.map(({ port, mode, origin }) => [port, mode, origin.line]),
      [
        [80, "disable", 8],
        [81, "disable", 8],
        [8080, "strict", 1],
      ],
    );
  });

  it("forbids on every port what Istio forbids, also where another dialect decides, and where nobody knows of a port", () => {
    const server = `apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: price }
spec: { podSelector: {}, port: 9000, accessPolicy: all-unauthenticated }
`;
    const deny = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: no }
spec: { action: DENY, rules: [{ from: [{ source: { ipBlocks: [10.0.0.0/8] } }] }] }
`;
    assert.equal(verdicts(`${server}---\n${deny}`), "-+-+-+-+");
    assert.equal(verdicts(`${server}---\n${deny}`, { defaultPolicy: "deny" }), "-+------");
    assert.equal(verdicts(deny, { defaultPolicy: "deny" }), "--------");
    assert.equal(verdicts(server, { defaultPolicy: "deny" }), "++------");
  });

  it("gives tokens of every document that is about the workload", () => {
    const { jwt } = compile(`apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: everybody, namespace: istio-system }
spec:
  jwtRules:
    - issuer: https://id.example
      jwksUri: https://id.example/keys
---
apiVersion: security.istio.io/v1beta1
kind: RequestAuthentication
metadata: { name: price }
spec:
  selector: { matchLabels: { app: price } }
  jwtRules:
    - issuer: other
      audiences: [a, b]
      jwks: '{"keys":[]}'
      fromHeaders: [{ name: X-Token, prefix: "T " }, { name: X-Plain }]
      fromParams: [t]
      fromCookies: [c]
      forwardOriginalToken: true
      outputPayloadToHeader: x-payload
      outputClaimToHeaders: [{ header: x-sub, claim: sub }]
      timeout: 1.5s
---
apiVersion: security.istio.io/v1beta1
kind: RequestAuthentication
metadata: { name: cart }
spec: { selector: { matchLabels: { app: cart } }, jwtRules: [{ issuer: c, jwks: '{"keys":[]}' }] }
`);
    assert.deepEqual(
      jwt.map(({ origin, ...rule }) => ({ ...rule, by: `${origin.name}:${origin.line}` })),
      [
        {
          by: "everybody:6",
          issuer: "https://id.example",
          audiences: [],
          jwks: "",
          jwksUri: "https://id.example/keys",
          from: [
            { in: "header", name: "authorization", prefix: "Bearer " },
            { in: "query", name: "access_token" },
          ],
          forwardOriginalToken: false,
          outputPayloadToHeader: "",
          outputClaimToHeaders: [],
          timeoutMs: 5_000,
        },
        {
          by: "price:15",
          issuer: "other",
          audiences: ["a", "b"],
          jwks: '{"keys":[]}',
          jwksUri: "",
          from: [
            { in: "header", name: "x-token", prefix: "T " },
            { in: "header", name: "x-plain", prefix: "" },
            { in: "query", name: "t" },
            { in: "cookie", name: "c" },
          ],
          forwardOriginalToken: true,
          outputPayloadToHeader: "x-payload",
          outputClaimToHeaders: [{ header: "x-sub", claim: "sub" }],
          timeoutMs: 1_500,
        },
      ],
    );
  });

  it("gives the limits of a Server, for its ports, the first of two", () => {
    const { rateLimits } = compile(`apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: s }
spec: { podSelector: {}, port: http }
---
apiVersion: policy.linkerd.io/v1alpha1
kind: HTTPLocalRateLimitPolicy
metadata: { name: l }
spec:
  targetRef: { group: policy.linkerd.io, kind: Server, name: s }
  total: { requestsPerSecond: 100 }
  identity: { requestsPerSecond: 10 }
  overrides:
    - requestsPerSecond: 50
      clientRefs: [{ kind: ServiceAccount, name: web }, { kind: ServiceAccount, name: batch, namespace: jobs }]
---
apiVersion: policy.linkerd.io/v1alpha1
kind: HTTPLocalRateLimitPolicy
metadata: { name: m }
spec: { targetRef: { group: policy.linkerd.io, kind: Server, name: s }, total: { requestsPerSecond: 1 } }
`);
    assert.deepEqual(
      rateLimits.map(({ origin, ...limit }) => ({ ...limit, name: origin.name })),
      [
        {
          name: "l",
          ports: [80, 81],
          total: 100,
          identity: 10,
          overrides: [
            {
              requestsPerSecond: 50,
              identities: [
                { kind: "exact", value: "spiffe://cluster.local/ns/shop/sa/web" },
                { kind: "exact", value: "spiffe://cluster.local/ns/jobs/sa/batch" },
              ],
            },
          ],
        },
      ],
    );
  });

  it("writes identities in the mesh's own trust domain, also where Istio's documents say cluster.local", () => {
    const { layers } = compile(
      `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: p }
spec: { rules: [{ from: [{ source: { principals: [cluster.local/ns/a/sa/b, other/ns/a/sa/b] } }] }] }
---
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: s }
spec: { podSelector: {}, port: 80 }
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: q }
spec:
  targetRef: { group: policy.linkerd.io, kind: Server, name: s }
  requiredAuthenticationRefs: [{ kind: ServiceAccount, name: web }]
`,
      { trustDomain: "example.org" },
    );
    const texts = JSON.stringify(layers.flatMap(({ rules }) => rules.map(({ clauses }) => clauses)));
    assert.ok(texts.includes('"example.org/ns/a/sa/b"') && texts.includes('"other/ns/a/sa/b"'), texts);
    assert.ok(texts.includes('"spiffe://example.org/ns/shop/sa/web"'), texts);
  });

  it("keeps each service's intentions to its own ports", () => {
    const { layers } = compile(`Kind: service-intentions
Name: old-price
Sources: [{ Name: "*", Action: deny }]
`);
    assert.deepEqual(
      layers.map(({ dialect, ports }) => [dialect, ports]),
      [["consul", [81]]],
    );
  });

  it("names the line of each rule", () => {
    const { layers } = compile(`Kind: service-intentions
Name: price
Sources:
  - Name: web
    Permissions:
      - Action: deny
        HTTP: { PathExact: /a }
  - Name: cart
    Action: allow
`);
    const lines = layers[0]?.rules.map(({ action, origin }) => `${action} ${origin.line}`);
    assert.deepEqual(lines, ["deny 4", "deny 6", "allow 4", "allow 8"]);
  });
});
