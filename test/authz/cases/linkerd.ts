import { type AuthzGroup, BATCH, CART, NOBODY, STRANGER, WEB } from "./case.ts";

const SERVER = `
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: price-http, namespace: shop, labels: { tier: backend } }
spec:
  podSelector: { matchLabels: { app: price } }
  port: http
`;

const POLICY = `
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: price-web, namespace: shop }
spec:
  targetRef: { group: policy.linkerd.io, kind: Server, name: price-http }
`;

export const LINKERD: readonly AuthzGroup[] = [
  {
    name: "a Server without authorizations",
    dialect: "linkerd",
    documents: SERVER,
    cases: [
      { name: "refuses everybody", call: { from: WEB }, verdict: "denied", by: "Server/price-http" },
      {
        name: "refuses byte streams as well",
        call: { from: WEB, protocol: "tcp" },
        verdict: "denied",
        by: "Server/price-http",
      },
      {
        name: "leaves other ports to the default",
        call: { from: NOBODY, port: 5432, protocol: "tcp" },
        verdict: "allowed",
        by: "default/all-unauthenticated",
      },
    ],
  },
  {
    name: "a Server's accessPolicy all-authenticated",
    dialect: "linkerd",
    documents: `${SERVER}  accessPolicy: all-authenticated\n`,
    cases: [
      { name: "takes who has an identity", call: { from: BATCH }, verdict: "allowed", by: "Server/price-http" },
      { name: "takes nobody else", call: { from: NOBODY }, verdict: "denied", by: "Server/price-http" },
    ],
  },
  {
    name: "a Server's accessPolicy audit",
    dialect: "linkerd",
    documents: `${SERVER}  accessPolicy: audit\n`,
    cases: [
      {
        name: "takes everybody and says so",
        call: { from: NOBODY },
        verdict: "allowed",
        by: "Server/price-http",
        audited: ["Server/price-http"],
      },
    ],
  },
  {
    name: "a Server's accessPolicy cluster-unauthenticated",
    dialect: "linkerd",
    documents: `${SERVER}  accessPolicy: cluster-unauthenticated\n`,
    cases: [
      { name: "takes who is in the cluster", call: { from: NOBODY }, verdict: "allowed", by: "Server/price-http" },
      {
        name: "takes nobody from elsewhere",
        call: { from: NOBODY, address: "203.0.113.9" },
        verdict: "denied",
        by: "Server/price-http",
      },
    ],
  },
  {
    name: "a Server's accessPolicy cluster-authenticated",
    dialect: "linkerd",
    documents: `${SERVER}  accessPolicy: cluster-authenticated\n`,
    cases: [
      { name: "wants an identity and the cluster", call: { from: WEB }, verdict: "allowed", by: "Server/price-http" },
      { name: "refuses who has only the network", call: { from: NOBODY }, verdict: "denied", by: "Server/price-http" },
    ],
  },
  {
    name: "an AuthorizationPolicy that requires nothing",
    dialect: "linkerd",
    documents: `${SERVER}---${POLICY}  requiredAuthenticationRefs: []\n`,
    cases: [
      { name: "takes everybody", call: { from: NOBODY }, verdict: "allowed", by: "AuthorizationPolicy/price-web" },
    ],
  },
  {
    name: "an AuthorizationPolicy for a service account",
    dialect: "linkerd",
    documents: `${SERVER}---${POLICY}  requiredAuthenticationRefs: [{ kind: ServiceAccount, name: web }]\n`,
    cases: [
      { name: "takes it", call: { from: WEB }, verdict: "allowed", by: "AuthorizationPolicy/price-web" },
      { name: "refuses another", call: { from: CART }, verdict: "denied", by: "Server/price-http" },
      {
        name: "refuses the same name of another mesh",
        call: { from: STRANGER },
        verdict: "denied",
        by: "Server/price-http",
      },
      {
        name: "takes its byte streams",
        call: { from: WEB, protocol: "tcp" },
        verdict: "allowed",
        by: "AuthorizationPolicy/price-web",
      },
    ],
  },
  {
    name: "an AuthorizationPolicy whose authentication is not there",
    dialect: "linkerd",
    documents: `${SERVER}---${POLICY}  requiredAuthenticationRefs:
    - { group: policy.linkerd.io, kind: MeshTLSAuthentication, name: missing }\n`,
    cases: [{ name: "allows nobody", call: { from: WEB }, verdict: "denied", by: "Server/price-http" }],
  },
  {
    name: "identities and a network together",
    dialect: "linkerd",
    documents: `${SERVER}---${POLICY}  requiredAuthenticationRefs:
    - { group: policy.linkerd.io, kind: MeshTLSAuthentication, name: jobs }
    - { group: policy.linkerd.io, kind: NetworkAuthentication, name: loop }
---
apiVersion: policy.linkerd.io/v1alpha1
kind: MeshTLSAuthentication
metadata: { name: jobs, namespace: shop }
spec:
  identities:
    - "*.jobs.serviceaccount.identity.linkerd.cluster.local"
    - spiffe://other.example/ns/shop/sa/web
  identityRefs: [{ kind: ServiceAccount, name: cart }]
---
apiVersion: policy.linkerd.io/v1alpha1
kind: NetworkAuthentication
metadata: { name: loop, namespace: shop }
spec:
  networks: [{ cidr: 127.0.0.0/8, except: [127.0.9.0/24] }]
`,
    cases: [
      { name: "a suffix", call: { from: BATCH }, verdict: "allowed", by: "AuthorizationPolicy/price-web" },
      {
        name: "a SPIFFE id of another mesh",
        call: { from: STRANGER },
        verdict: "allowed",
        by: "AuthorizationPolicy/price-web",
      },
      {
        name: "a reference to a service account",
        call: { from: CART },
        verdict: "allowed",
        by: "AuthorizationPolicy/price-web",
      },
      { name: "one that is not named", call: { from: WEB }, verdict: "denied", by: "Server/price-http" },
      {
        name: "from a network that is taken out",
        call: { from: BATCH, address: "127.0.9.7" },
        verdict: "denied",
        by: "Server/price-http",
      },
      { name: "the network without an identity", call: { from: NOBODY }, verdict: "denied", by: "Server/price-http" },
    ],
  },
  {
    name: "an AuthorizationPolicy for the whole namespace",
    dialect: "linkerd",
    documents: `${SERVER}---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: all-of-jobs, namespace: shop }
spec:
  targetRef: { kind: Namespace, name: shop }
  requiredAuthenticationRefs:
    - { group: policy.linkerd.io, kind: MeshTLSAuthentication, name: jobs }
---
apiVersion: policy.linkerd.io/v1alpha1
kind: MeshTLSAuthentication
metadata: { name: jobs, namespace: shop }
spec:
  identityRefs: [{ kind: Namespace, name: jobs }]
`,
    defaultPolicy: "deny",
    cases: [
      {
        name: "is about its Servers",
        call: { from: BATCH },
        verdict: "allowed",
        by: "AuthorizationPolicy/all-of-jobs",
      },
      {
        name: "takes the whole namespace and no other",
        call: { from: WEB },
        verdict: "denied",
        by: "Server/price-http",
      },
      {
        name: "is not about ports without a Server",
        call: { from: BATCH, port: 5432, protocol: "tcp" },
        verdict: "denied",
        by: "default/deny",
      },
    ],
  },
  {
    name: "a ServerAuthorization by labels, for any identity",
    dialect: "linkerd",
    documents: `${SERVER}---
apiVersion: policy.linkerd.io/v1beta1
kind: ServerAuthorization
metadata: { name: meshed, namespace: shop }
spec:
  server: { selector: { matchExpressions: [{ key: tier, operator: In, values: [backend, edge] }] } }
  client: { meshTLS: { identities: ["*"] } }
`,
    cases: [
      { name: "takes who has one", call: { from: STRANGER }, verdict: "allowed", by: "ServerAuthorization/meshed" },
      { name: "refuses who has none", call: { from: NOBODY }, verdict: "denied", by: "Server/price-http" },
    ],
  },
  {
    name: "a ServerAuthorization with unauthenticatedTLS",
    dialect: "linkerd",
    documents: `${SERVER}---
apiVersion: policy.linkerd.io/v1beta1
kind: ServerAuthorization
metadata: { name: tls, namespace: shop }
spec:
  server: { name: price-http }
  client: { meshTLS: { unauthenticatedTLS: true }, networks: [{ cidr: 127.0.0.0/8 }] }
`,
    cases: [
      { name: "takes TLS of the mesh", call: { from: CART }, verdict: "allowed", by: "ServerAuthorization/tls" },
      { name: "refuses plain text", call: { from: NOBODY }, verdict: "denied", by: "Server/price-http" },
      {
        name: "refuses TLS from elsewhere",
        call: { from: CART, address: "198.51.100.1" },
        verdict: "denied",
        by: "Server/price-http",
      },
    ],
  },
  {
    name: "a ServerAuthorization for everybody",
    dialect: "linkerd",
    documents: `${SERVER}---
apiVersion: policy.linkerd.io/v1beta1
kind: ServerAuthorization
metadata: { name: open, namespace: shop }
spec:
  server: { name: price-http }
  client: { unauthenticated: true }
`,
    cases: [{ name: "takes plain text", call: { from: NOBODY }, verdict: "allowed", by: "ServerAuthorization/open" }],
  },
  {
    name: "two Servers of one port",
    dialect: "linkerd",
    documents: `${SERVER}  accessPolicy: all-unauthenticated
---
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: everything, namespace: shop }
spec: { podSelector: {}, port: 8080 }
`,
    cases: [{ name: "the first one holds", call: { from: NOBODY }, verdict: "allowed", by: "Server/price-http" }],
  },
  {
    name: "Servers that are about others",
    dialect: "linkerd",
    documents: `
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: not-v1, namespace: shop }
spec: { podSelector: { matchExpressions: [{ key: version, operator: NotIn, values: [v1] }] }, port: 80 }
---
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: elsewhere, namespace: jobs }
spec: { podSelector: {}, port: 80 }
`,
    cases: [{ name: "say nothing", call: { from: NOBODY }, verdict: "allowed", by: "default/all-unauthenticated" }],
  },
];
