import type { BadDocument } from "./bad-document.ts";

/** policy.linkerd.io */
export const BAD_LINKERD: readonly BadDocument[] = [
  [
    "Server",
    `
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: a, namespace: shop }
spec:
  port: 0
  externalWorkloadSelector: {}
  proxyProtocol: HTTP/3
  accessPolicy: allow
`,
    "4:1: error: spec.podSelector: missing; expected a mapping with matchLabels, matchExpressions",
    "5:9: error: spec.port: expected a port number, 1 to 65535, or the name of a port; found 0",
    "6:3: error: spec.externalWorkloadSelector: not supported: Heddle has no ExternalWorkload; give the workload labels and use podSelector",
    '7:18: error: spec.proxyProtocol: expected one of "unknown", "HTTP/1", "HTTP/2", "gRPC", "opaque", "TLS"; found "HTTP/3" (did you mean "HTTP/1"?)',
    '8:17: error: spec.accessPolicy: expected one of "all-unauthenticated", "all-authenticated", "cluster-authenticated", "cluster-unauthenticated", "deny", "audit"; found "allow"',
  ],
  [
    "Server: selector and port",
    `
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: a, namespace: shop }
spec:
  podSelector: { matchExpressions: [{ key: a, operator: In }, { key: b, operator: Exists, values: [x] }, {key: c, operator: Has}] }
  port: "80"
`,
    '5:37: error: spec.podSelector.matchExpressions[0].values: missing; expected a list of values for "In"',
    '5:99: error: spec.podSelector.matchExpressions[1].values: "Exists" takes no values',
    '5:125: error: spec.podSelector.matchExpressions[2].operator: expected one of "In", "NotIn", "Exists", "DoesNotExist"; found "Has"',
    '6:9: error: spec.port: expected a port number, 1 to 65535, or the name of a port; found "80" (write it without quotes)',
  ],
  [
    "Server: a protocol",
    `
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: a, namespace: shop }
spec:
  podSelector: {}
  port: 80
  proxyProtocol: HTTP/1
`,
    '7:3: warning: spec.proxyProtocol: "HTTP/1" is not taken from here (say it by "protocol" of the port in mesh.yaml, or leave it to detection)',
  ],
  [
    "Server before v1beta3",
    `
apiVersion: policy.linkerd.io/v1beta1
kind: Server
metadata: { name: a, namespace: shop }
spec:
  podSelector: {}
  port: 80
  accessPolicy: deny
`,
    "7:3: error: spec.accessPolicy: not supported: accessPolicy came with policy.linkerd.io/v1beta3 (write that version)",
  ],
  [
    "Linkerd: a target that is not supported yet",
    `
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: a, namespace: shop }
spec:
  targetRef: { group: policy.linkerd.io, kind: HTTPRoute, name: r }
  requiredAuthenticationRefs: []
`,
    "5:14: error: spec.targetRef: a reference to a kind that is not supported yet: HTTPRoute of policy.linkerd.io",
  ],
  [
    "Linkerd: a target of another namespace",
    `
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: a, namespace: shop }
spec:
  targetRef: { group: apps, kind: Deployment, name: r, namespace: x }
  requiredAuthenticationRefs: []
`,
    "5:56: error: spec.targetRef.namespace: not supported: a target is always in the document's own namespace",
  ],
  [
    "Linkerd: a target without its group",
    `
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: a, namespace: shop }
spec:
  targetRef: { kind: Server, name: r }
  requiredAuthenticationRefs: []
`,
    "5:14: error: spec.targetRef: expected a reference to one of policy.linkerd.io Server, core Namespace; found core Server",
  ],
  [
    "Linkerd: too many authentications",
    `
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: a, namespace: shop }
spec:
  targetRef: { group: policy.linkerd.io, kind: Server, name: s }
  requiredAuthenticationRefs:
  - { kind: ServiceAccount, name: a }
  - { group: policy.linkerd.io, kind: MeshTLSAuthentication, name: b }
  - { group: policy.linkerd.io, kind: NetworkAuthentication, name: b }
  - { group: policy.linkerd.io, kind: NetworkAuthentication, name: c }
`,
    "7:3: error: spec.requiredAuthenticationRefs: expected at most one MeshTLSAuthentication or ServiceAccount, since all must hold; found more",
    "7:3: error: spec.requiredAuthenticationRefs: expected at most one NetworkAuthentication, since all must hold; found more",
  ],
  [
    "Linkerd: no authentications",
    `
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: a, namespace: shop }
spec:
  targetRef: { group: policy.linkerd.io, kind: Server, name: s }
`,
    "4:1: error: spec.requiredAuthenticationRefs: missing; expected a list of references",
  ],
  [
    "MeshTLSAuthentication",
    `
apiVersion: policy.linkerd.io/v1alpha1
kind: MeshTLSAuthentication
metadata: { name: a, namespace: shop }
spec:
  identities: ["web*", "*.", "Web"]
  identityRefs: [{ kind: Namespace, name: a, namespace: b }, { kind: Pod, name: x }]
`,
    '5:16: error: spec.identities[0]: expected an identity: a name, "*", "*.suffix" or "spiffe://…"; found "web*" (a star stands first, and for whole labels)',
    '5:24: error: spec.identities[1]: expected an identity: a name, "*", "*.suffix" or "spiffe://…"; found "*." (a star stands first, and for whole labels)',
    '5:30: error: spec.identities[2]: expected an identity: a name, "*", "*.suffix" or "spiffe://…"; found "Web"',
    "6:62: error: spec.identityRefs[1]: expected a reference to one of core ServiceAccount, core Namespace; found core Pod",
  ],
  [
    "MeshTLSAuthentication: the namespace of a namespace",
    `
apiVersion: policy.linkerd.io/v1alpha1
kind: MeshTLSAuthentication
metadata: { name: a, namespace: shop }
spec:
  identityRefs: [{ kind: Namespace, name: a, namespace: b }]
`,
    "5:46: error: spec.identityRefs[0].namespace: a Namespace is in no namespace (leave it out)",
  ],
  [
    "MeshTLSAuthentication of nobody",
    `
apiVersion: policy.linkerd.io/v1alpha1
kind: MeshTLSAuthentication
metadata: { name: a, namespace: shop }
spec:
  identities: []
`,
    "5:3: error: spec: expected at least one entry in identities or identityRefs; found none",
  ],
  [
    "NetworkAuthentication",
    `
apiVersion: policy.linkerd.io/v1alpha1
kind: NetworkAuthentication
metadata: { name: a, namespace: shop }
spec:
  networks: [{ cidr: 10.0.0.0/8, except: [11.0.0.0/8] }, { cidr: 10.0.0.0/8, except: [10.0.0.0/7] }, { cidr: "fe80::1%eth0" }]
`,
    "5:43: error: spec.networks[0].except[0]: 11.0.0.0/8 is not in 10.0.0.0/8",
    "5:87: error: spec.networks[1].except[0]: 10.0.0.0/7 leaves nothing of 10.0.0.0/8",
    '5:110: error: spec.networks[2].cidr: expected an address or a network like "10.0.0.0/8" or "::1"; found "fe80::1%eth0"',
  ],
  [
    "NetworkAuthentication of nowhere",
    `
apiVersion: policy.linkerd.io/v1alpha1
kind: NetworkAuthentication
metadata: { name: a, namespace: shop }
spec:
  networks: []
`,
    "5:13: error: spec.networks: expected a list of networks with at least one entry; found an empty list",
  ],
  [
    "ServerAuthorization of nobody for nothing",
    `
apiVersion: policy.linkerd.io/v1beta1
kind: ServerAuthorization
metadata: { name: a, namespace: shop }
spec:
  server: {}
  client: {}
`,
    "5:11: error: spec.server: expected either name or selector",
    "6:11: error: spec.client: expected unauthenticated: true, or meshTLS; found neither",
  ],
  [
    "ServerAuthorization: too much",
    `
apiVersion: policy.linkerd.io/v1beta1
kind: ServerAuthorization
metadata: { name: a, namespace: shop }
spec:
  server: { name: a, selector: {} }
  client: { unauthenticated: true, meshTLS: { unauthenticatedTLS: true, identities: ['*'] } }
`,
    "5:11: error: spec.server: expected either name or selector",
    "6:11: error: spec.client: unauthenticated does not go with meshTLS",
    "6:45: error: spec.client.meshTLS: unauthenticatedTLS does not go with identities or serviceAccounts",
  ],
  [
    "ServerAuthorization: TLS of nobody",
    `
apiVersion: policy.linkerd.io/v1beta1
kind: ServerAuthorization
metadata: { name: a, namespace: shop }
spec:
  server: { name: a }
  client: { meshTLS: {} }
`,
    "6:22: error: spec.client.meshTLS: expected one of unauthenticatedTLS, identities and serviceAccounts; found an empty mapping",
  ],
  [
    "HTTPLocalRateLimitPolicy without a limit",
    `
apiVersion: policy.linkerd.io/v1alpha1
kind: HTTPLocalRateLimitPolicy
metadata: { name: a, namespace: shop }
spec:
  targetRef: { group: policy.linkerd.io, kind: Server, name: s }
`,
    "5:3: error: spec: expected at least one of total, identity and overrides; found none",
  ],
  [
    "HTTPLocalRateLimitPolicy: more than the total",
    `
apiVersion: policy.linkerd.io/v1alpha1
kind: HTTPLocalRateLimitPolicy
metadata: { name: a, namespace: shop }
spec:
  targetRef: { group: policy.linkerd.io, kind: Server, name: s }
  total: { requestsPerSecond: 10 }
  identity: { requestsPerSecond: 11 }
  overrides: [{ requestsPerSecond: 12, clientRefs: [{ kind: ServiceAccount, name: a }] }]
`,
    "7:34: error: spec.identity.requestsPerSecond: 11 is more than the total of 10",
    "8:36: error: spec.overrides[0].requestsPerSecond: 12 is more than the total of 10",
  ],
  [
    "HTTPLocalRateLimitPolicy: no rate",
    `
apiVersion: policy.linkerd.io/v1alpha1
kind: HTTPLocalRateLimitPolicy
metadata: { name: a, namespace: shop }
spec:
  targetRef: { group: policy.linkerd.io, kind: Server, name: s }
  total: { requestsPerSecond: 0 }
  overrides: [{ requestsPerSecond: 1, clientRefs: [] }]
`,
    "6:31: error: spec.total.requestsPerSecond: expected requests per second, at least 1; found 0",
    "7:51: error: spec.overrides[0].clientRefs: expected a list of service accounts with at least one entry; found an empty list",
  ],
];
