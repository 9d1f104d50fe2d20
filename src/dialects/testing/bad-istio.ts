import type { BadDocument } from "./bad-document.ts";

/** security.istio.io */
export const BAD_ISTIO: readonly BadDocument[] = [
  [
    "PeerAuthentication: modes and ports",
    `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: a, namespace: shop }
spec:
  mtls: { mode: strict }
  portLevelMtls: { http: { mode: STRICT }, 70000: {} }
`,
    '5:17: error: spec.mtls.mode: expected one of "UNSET", "DISABLE", "PERMISSIVE", "STRICT"; found "strict" (did you mean "STRICT"?)',
    '6:20: error: spec.portLevelMtls.http: expected a port number, 1 to 65535; found "http"',
    '6:44: error: spec.portLevelMtls.70000: expected a port number, 1 to 65535; found "70000"',
  ],
  [
    "PeerAuthentication: ports of everybody",
    `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: a, namespace: shop }
spec:
  portLevelMtls: { 80: { mode: STRICT } }
`,
    "5:3: error: spec.portLevelMtls: portLevelMtls needs a selector (add spec.selector.matchLabels: a port's number means something for some workloads only)",
  ],
  [
    "Istio: action, targets, a field that there is none of",
    `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: a, namespace: shop }
spec:
  action: REFUSE
  targetRefs: []
  rule: []
`,
    '5:11: error: spec.action: expected one of "ALLOW", "DENY", "AUDIT", "CUSTOM"; found "REFUSE"',
    "6:3: error: spec.targetRefs: not supported: it attaches to gateways and waypoints, which Heddle does not have; use selector",
    '7:3: error: spec.rule: unknown field "rule" (did you mean "rules"?)',
  ],
  [
    "Istio: rules that would be about everything",
    `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: a, namespace: shop }
spec:
  rules:
  - from: []
  - from: [{ source: {} }]
  - to: [{ operation: { paths: [] } }]
  - from: [{}]
  -
  - when: [{ key: source.ip }]
`,
    "5:3: error: spec.rules[4]: expected a mapping with from, to, when; found nothing",
    "6:11: error: spec.rules[0].from: expected a list of sources with at least one entry; found an empty list",
    "7:22: error: spec.rules[1].from[0].source: expected at least one field with an entry; found none (it would be about every call)",
    "8:23: error: spec.rules[2].to[0].operation: expected at least one field with an entry; found none (it would be about every call)",
    "9:12: error: spec.rules[3].from[0].source: missing; expected a mapping with principals, notPrincipals, requestPrincipals, notRequestPrincipals, namespaces, notNamespaces, serviceAccounts, notServiceAccounts, trustDomains, notTrustDomains, ipBlocks, notIpBlocks, remoteIpBlocks, notRemoteIpBlocks",
    "11:12: error: spec.rules[5].when[0]: expected values or notValues; found neither",
  ],
  [
    "Istio: conditions",
    `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: a, namespace: shop }
spec:
  rules:
  - when:
    - { key: source.ipp, values: [x] }
    - { key: source.ip, values: [10.0.0.0/33] }
    - { key: destination.port, values: ["http"] }
    - { key: experimental.envoy.filters.a.b, values: [x] }
    - { key: "request.headers[a][b]", values: [x] }
    - { key: source.serviceAccount, values: ["a*"] }
`,
    '7:14: error: spec.rules[0].when[0].key: expected one of request.headers[…], request.auth.principal, request.auth.audiences, request.auth.presenter, request.auth.claims[…], source.ip, remote.ip, source.namespace, source.principal, source.serviceAccount, destination.ip, destination.port, connection.sni; found "source.ipp"',
    '8:34: error: spec.rules[0].when[1].values[0]: expected an address or a network like "10.0.0.0/8" or "::1"; found "10.0.0.0/33"',
    '9:41: error: spec.rules[0].when[2].values[0]: expected the number of a port as text, like "8080"; found "http"',
    "10:14: error: spec.rules[0].when[3].key: not supported: experimental.envoy.filters looks at what Envoy's filters leave behind",
    '11:14: error: spec.rules[0].when[4].key: expected one of request.headers[…], request.auth.principal, request.auth.audiences, request.auth.presenter, request.auth.claims[…], source.ip, remote.ip, source.namespace, source.principal, source.serviceAccount, destination.ip, destination.port, connection.sni; found "request.headers[a][b]"',
    '12:46: error: spec.rules[0].when[5].values[0]: expected a service account, "name" or "namespace/name", without wildcards; found "a*"',
  ],
  [
    "Istio: sources",
    `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: a, namespace: shop }
spec:
  rules:
  - from:
    - source: { ipBlocks: [10.0.0.0/8/1], serviceAccounts: [a/b/c] }
    - source: { serviceAccounts: [a], namespaces: [b] }
    - source: { principals: ["spiffe://cluster.local/ns/a/sa/b"] }
`,
    '7:28: error: spec.rules[0].from[0].source.ipBlocks[0]: expected an address or a network like "10.0.0.0/8" or "::1"; found "10.0.0.0/8/1"',
    '7:61: error: spec.rules[0].from[0].source.serviceAccounts[0]: expected a service account, "name" or "namespace/name", without wildcards; found "a/b/c"',
    "8:15: error: spec.rules[0].from[1].source: serviceAccounts does not go with principals or namespaces",
    '9:15: warning: spec.rules[0].from[2].source: "spiffe://cluster.local/ns/a/sa/b" is no principal: Istio writes cluster.local/ns/…/sa/… (leave spiffe:// out)',
  ],
  [
    "Istio: operations",
    `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: a, namespace: shop }
spec:
  rules:
  - to:
    - operation: { ports: [80, "0", "x"], method: [GET] }
    - operation: { paths: ["/a/{*}b", "{**}", "/{**}/{*}", "/{x}", "/a*/{*}"] }
`,
    '7:28: error: spec.rules[0].to[0].operation.ports[0]: expected the number of a port as text, like "8080"; found 80 (put quotes around it)',
    '7:32: error: spec.rules[0].to[0].operation.ports[1]: expected the number of a port as text, like "8080"; found "0"',
    '7:37: error: spec.rules[0].to[0].operation.ports[2]: expected the number of a port as text, like "8080"; found "x"',
    '7:43: error: spec.rules[0].to[0].operation.method: unknown field "method" (did you mean "methods"?)',
    '8:28: error: spec.rules[0].to[1].operation.paths[0]: expected a template in which "{*}" and "{**}" stand for whole segments; found "/a/{*}b"',
    '8:39: error: spec.rules[0].to[1].operation.paths[1]: expected a template that begins with "/"; found "{**}"',
    '8:47: error: spec.rules[0].to[1].operation.paths[2]: expected a template with "{**}" once, and no "{*}" behind it; found "/{**}/{*}"',
    '8:60: error: spec.rules[0].to[1].operation.paths[3]: expected a template in which "{*}" and "{**}" stand for whole segments; found "/{x}"',
    '8:68: error: spec.rules[0].to[1].operation.paths[4]: expected a template in which "{*}" and "{**}" stand for whole segments; found "/a*/{*}"',
  ],
  [
    "Istio: CUSTOM without a provider",
    `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: a, namespace: shop }
spec:
  action: CUSTOM
  rules: [{}]
`,
    "4:1: error: spec.provider: missing; expected the provider that CUSTOM asks",
  ],
  [
    "Istio: a provider that nobody asks",
    `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: a, namespace: shop }
spec:
  provider: { name: a }
  rules: [{}]
`,
    "5:3: error: spec.provider: ALLOW asks no provider (write action: CUSTOM, or leave it out)",
  ],
  [
    "Istio: DENY of nothing",
    `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: a, namespace: shop }
spec:
  action: DENY
`,
    "5:11: warning: spec.action: DENY without rules is about no call (rules: [{}] is about every call)",
  ],
  [
    "Istio: a dry run of AUDIT",
    `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: a, annotations: { istio.io/dry-run: "true" } }
spec:
  action: AUDIT
  rules: [{}]
`,
    '3:55: error: metadata.annotations["istio.io/dry-run"]: a dry run is for ALLOW and DENY; found AUDIT',
  ],
  [
    "Istio: a dry run, perhaps",
    `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: a, annotations: { istio.io/dry-run: "yes" } }
spec:
  rules: [{}]
`,
    '3:55: error: metadata.annotations["istio.io/dry-run"]: expected "true" or "false"; found "yes"',
  ],
  [
    "Istio: tokens",
    `
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: a, namespace: shop }
spec:
  jwtRules:
  - issuer: ""
  - { issuer: a }
  - { issuer: a, jwks: "{}", jwksUri: "ftp://x" }
  - { issuer: a, jwks: "{", timeout: 5, fromHeaders: [{ name: "a b" }], spaceDelimitedClaims: [x] }
  - { issuer: a, jwks: '{"keys":[]}', jwksUri: "https://x" }
`,
    '6:13: error: spec.jwtRules[0].issuer: expected the issuer of the tokens; found ""',
    "7:5: error: spec.jwtRules[1].jwksUri: missing; expected jwksUri or jwks (keys are not looked up by the issuer's name (OpenID discovery))",
    '8:24: error: spec.jwtRules[2].jwks: expected a JSON Web Key Set, {"keys": […]}; found other JSON',
    '8:39: error: spec.jwtRules[2].jwksUri: expected a URL like "https://issuer.example/keys" or "file:///etc/keys.json"; found "ftp://x"',
    "9:24: error: spec.jwtRules[3].jwks: expected a JSON Web Key Set as text; found no JSON",
    '9:38: error: spec.jwtRules[3].timeout: expected a time from 1ms to 60s, like "5s"; found 5',
    '9:63: error: spec.jwtRules[3].fromHeaders[0].name: expected the name of a header; found "a b"',
    "9:73: error: spec.jwtRules[3].spaceDelimitedClaims: not supported: only scope and permission are read as lists of words",
    "10:18: error: spec.jwtRules[4].jwks: jwks and jwksUri do not go together",
  ],
];
