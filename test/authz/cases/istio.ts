import { type AuthzGroup, BATCH, CART, NOBODY, STRANGER, WEB } from "./case.ts";

function policy(name: string, spec: string, namespace = "shop"): string {
  return `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: ${name}, namespace: ${namespace} }
spec:
${spec}
---`;
}

function peers(name: string, spec: string, namespace = "shop"): string {
  return `
apiVersion: security.istio.io/v1beta1
kind: PeerAuthentication
metadata: { name: ${name}, namespace: ${namespace} }
spec:
${spec}
---`;
}

const SELECTOR = "  selector: { matchLabels: { app: price } }";
const DEFAULT = "default/all-unauthenticated";

export const ISTIO: readonly AuthzGroup[] = [
  {
    name: "an empty policy",
    dialect: "istio",
    documents: policy("nothing", "  {}"),
    cases: [
      { name: "allows nothing", call: { from: WEB }, verdict: "denied", by: "AuthorizationPolicy/nothing" },
      {
        name: "not even bytes",
        call: { from: WEB, protocol: "tcp" },
        verdict: "denied",
        by: "AuthorizationPolicy/nothing",
      },
    ],
  },
  {
    name: "a policy with an empty rule",
    dialect: "istio",
    documents: policy("all", "  rules: [{}]"),
    cases: [{ name: "allows everything", call: { from: NOBODY }, verdict: "allowed", by: "AuthorizationPolicy/all" }],
  },
  {
    name: "DENY without rules, and DENY of everything",
    dialect: "istio",
    documents: policy("never", "  action: DENY"),
    cases: [{ name: "is about no call", call: { from: NOBODY }, verdict: "allowed", by: DEFAULT }],
  },
  {
    name: "DENY with an empty rule",
    dialect: "istio",
    documents: policy("always", "  action: DENY\n  rules: [{}]") + policy("all", "  rules: [{}]"),
    cases: [{ name: "wins over ALLOW", call: { from: WEB }, verdict: "denied", by: "AuthorizationPolicy/always" }],
  },
  {
    name: "DENY under a default of deny",
    dialect: "istio",
    documents: policy("no-batch", "  action: DENY\n  rules: [{ from: [{ source: { namespaces: [jobs] } }] }]"),
    defaultPolicy: "deny",
    cases: [
      { name: "opens nothing", call: { from: WEB }, verdict: "denied", by: "default/deny" },
      { name: "refuses whom it names", call: { from: BATCH }, verdict: "denied", by: "AuthorizationPolicy/no-batch" },
    ],
  },
  {
    name: "who, by every form",
    dialect: "istio",
    documents: policy(
      "who",
      `${SELECTOR}
  rules:
    - from: [{ source: { principals: ["cluster.local/ns/shop/sa/web"] } }]
      to: [{ operation: { paths: [/principal] } }]
    - from: [{ source: { principals: ["*/sa/batch", "other*"] } }]
      to: [{ operation: { paths: [/ends] } }]
    - from: [{ source: { principals: ["*"] } }]
      to: [{ operation: { paths: [/any] } }]
    - from: [{ source: { notPrincipals: ["cluster.local/ns/shop/sa/web"] } }]
      to: [{ operation: { paths: [/not] } }]
    - from: [{ source: { namespaces: ["job*"] } }]
      to: [{ operation: { paths: [/namespace] } }]
    - from: [{ source: { notNamespaces: [jobs] } }]
      to: [{ operation: { paths: [/not-namespace] } }]
    - from: [{ source: { serviceAccounts: [cart, jobs/batch] } }]
      to: [{ operation: { paths: [/account] } }]
    - from: [{ source: { trustDomains: [other.example] } }]
      to: [{ operation: { paths: [/domain] } }]
    - from: [{ source: { ipBlocks: [127.0.5.0/24], notIpBlocks: [127.0.5.9] } }]
      to: [{ operation: { paths: [/address] } }]
    - from: [{ source: { remoteIpBlocks: [192.0.2.0/24] } }]
      to: [{ operation: { paths: [/client] } }]`,
    ),
    cases: [
      {
        name: "a principal",
        call: { from: WEB, path: "/principal" },
        verdict: "allowed",
        by: "AuthorizationPolicy/who",
      },
      {
        name: "a principal of another mesh",
        call: { from: STRANGER, path: "/principal" },
        verdict: "denied",
        by: "AuthorizationPolicy/who",
      },
      {
        name: "the end of a principal",
        call: { from: BATCH, path: "/ends" },
        verdict: "allowed",
        by: "AuthorizationPolicy/who",
      },
      {
        name: "the beginning of a principal",
        call: { from: STRANGER, path: "/ends" },
        verdict: "allowed",
        by: "AuthorizationPolicy/who",
      },
      { name: "any principal", call: { from: CART, path: "/any" }, verdict: "allowed", by: "AuthorizationPolicy/who" },
      {
        name: "no principal is not any",
        call: { from: NOBODY, path: "/any" },
        verdict: "denied",
        by: "AuthorizationPolicy/who",
      },
      {
        name: "no principal is not that one",
        call: { from: NOBODY, path: "/not" },
        verdict: "allowed",
        by: "AuthorizationPolicy/who",
      },
      {
        name: "that one is that one",
        call: { from: WEB, path: "/not" },
        verdict: "denied",
        by: "AuthorizationPolicy/who",
      },
      {
        name: "a namespace",
        call: { from: BATCH, path: "/namespace" },
        verdict: "allowed",
        by: "AuthorizationPolicy/who",
      },
      {
        name: "none of a namespace",
        call: { from: BATCH, path: "/not-namespace" },
        verdict: "denied",
        by: "AuthorizationPolicy/who",
      },
      {
        name: "a service account of the policy's namespace",
        call: { from: CART, path: "/account" },
        verdict: "allowed",
        by: "AuthorizationPolicy/who",
      },
      {
        name: "a service account of another namespace",
        call: { from: BATCH, path: "/account" },
        verdict: "allowed",
        by: "AuthorizationPolicy/who",
      },
      {
        name: "a trust domain",
        call: { from: STRANGER, path: "/domain" },
        verdict: "allowed",
        by: "AuthorizationPolicy/who",
      },
      {
        name: "another trust domain",
        call: { from: WEB, path: "/domain" },
        verdict: "denied",
        by: "AuthorizationPolicy/who",
      },
      {
        name: "a network",
        call: { from: NOBODY, address: "127.0.5.1", path: "/address" },
        verdict: "allowed",
        by: "AuthorizationPolicy/who",
      },
      {
        name: "an address that is taken out of it",
        call: { from: NOBODY, address: "127.0.5.9", path: "/address" },
        verdict: "denied",
        by: "AuthorizationPolicy/who",
      },
      {
        name: "the client's network",
        call: { from: WEB, path: "/client", headers: [["x-forwarded-for", "203.0.113.1, 192.0.2.7"]] },
        verdict: "allowed",
        by: "AuthorizationPolicy/who",
      },
      {
        name: "a client that writes an address in front",
        call: { from: WEB, path: "/client", headers: [["x-forwarded-for", "192.0.2.7, 203.0.113.1"]] },
        verdict: "denied",
        by: "AuthorizationPolicy/who",
      },
    ],
  },
  {
    name: "what, by every form",
    dialect: "istio",
    documents: policy(
      "what",
      `  rules:
    - to:
        - operation: { methods: [GET, HEAD], paths: ["/items*"], notPaths: ["/items/secret*"] }
        - operation: { methods: ["P*"], hosts: ["*.example.com", "PRICE.shop"], paths: [/write] }
        - operation: { paths: ["/v1/{*}/orders/{**}"] }
        - operation: { ports: ["5432"] }
        - operation: { notPorts: ["8080"], paths: [/elsewhere] }
        - operation: { paths: ["*.css"], notHosts: ["internal*"], notMethods: [DELETE] }`,
    ),
    cases: [
      {
        name: "a path's beginning",
        call: { from: NOBODY, path: "/items/4?full=1" },
        verdict: "allowed",
        by: "AuthorizationPolicy/what",
      },
      {
        name: "a path that is taken out",
        call: { from: NOBODY, path: "/items/secret" },
        verdict: "denied",
        by: "AuthorizationPolicy/what",
      },
      {
        name: "another method",
        call: { from: NOBODY, method: "POST", path: "/items/4" },
        verdict: "denied",
        by: "AuthorizationPolicy/what",
      },
      {
        name: "a method's beginning and a host's end",
        call: { from: NOBODY, method: "PATCH", path: "/write", host: "a.EXAMPLE.com:80" },
        verdict: "allowed",
        by: "AuthorizationPolicy/what",
      },
      {
        name: "a host in another case",
        call: { from: NOBODY, method: "PUT", path: "/write", host: "price.SHOP" },
        verdict: "allowed",
        by: "AuthorizationPolicy/what",
      },
      {
        name: "another host",
        call: { from: NOBODY, method: "PUT", path: "/write", host: "example.org" },
        verdict: "denied",
        by: "AuthorizationPolicy/what",
      },
      {
        name: "a template",
        call: { from: NOBODY, path: "/v1/ann/orders/7/lines" },
        verdict: "allowed",
        by: "AuthorizationPolicy/what",
      },
      {
        name: "a template's segment is one segment",
        call: { from: NOBODY, path: "/v1/ann/bob/orders/7" },
        verdict: "denied",
        by: "AuthorizationPolicy/what",
      },
      {
        name: "bytes to a port that is allowed",
        call: { from: NOBODY, port: 5432, protocol: "tcp" },
        verdict: "allowed",
        by: "AuthorizationPolicy/what",
      },
      {
        name: "bytes where paths are allowed",
        call: { from: NOBODY, port: 80, protocol: "tcp" },
        verdict: "denied",
        by: "AuthorizationPolicy/what",
      },
      {
        name: "the application's port, not the service's",
        call: { from: NOBODY, path: "/elsewhere" },
        verdict: "denied",
        by: "AuthorizationPolicy/what",
      },
      {
        name: "a path's end",
        call: { from: NOBODY, path: "/a/b.css" },
        verdict: "allowed",
        by: "AuthorizationPolicy/what",
      },
      {
        name: "a host that is taken out",
        call: { from: NOBODY, path: "/a/b.css", host: "internal.shop" },
        verdict: "denied",
        by: "AuthorizationPolicy/what",
      },
    ],
  },
  {
    name: "DENY by what only requests have",
    dialect: "istio",
    documents: policy("no-admin", '  action: DENY\n  rules: [{ to: [{ operation: { paths: ["/admin*"] } }] }]'),
    cases: [
      {
        name: "refuses the path",
        call: { from: WEB, path: "/admin/x" },
        verdict: "denied",
        by: "AuthorizationPolicy/no-admin",
      },
      {
        name: "refuses the path in disguise",
        call: { from: WEB, path: "/x/../%61dmin" },
        verdict: "denied",
        by: "AuthorizationPolicy/no-admin",
      },
      { name: "lets other paths be", call: { from: WEB, path: "/" }, verdict: "allowed", by: DEFAULT },
      {
        name: "refuses bytes, whose path nobody knows",
        call: { from: WEB, protocol: "tcp" },
        verdict: "denied",
        by: "AuthorizationPolicy/no-admin",
      },
    ],
  },
  {
    name: "conditions",
    dialect: "istio",
    documents: policy(
      "when",
      `  rules:
    - when: [{ key: "request.headers[X-Team]", values: [prices, "shop-*"] }, { key: source.namespace, values: [shop] }]
    - when: [{ key: "request.auth.claims[groups]", values: [admin] }]
    - when: [{ key: "request.auth.claims[realm][roles]", values: ["reader*"] }]
    - when: [{ key: request.auth.audiences, values: [prices] }, { key: request.auth.presenter, values: [portal] }]
    - when: [{ key: request.auth.principal, values: ["https://id.example/ann"] }]
    - when: [{ key: source.ip, values: [127.0.7.0/24], notValues: [127.0.7.7] }]
    - when: [{ key: destination.port, values: ["5432"] }, { key: source.principal, notValues: ["*/sa/web"] }]`,
    ),
    cases: [
      {
        name: "a header and a namespace",
        call: { from: WEB, headers: [["x-team", "shop-7"]] },
        verdict: "allowed",
        by: "AuthorizationPolicy/when",
      },
      {
        name: "the header alone",
        call: { from: BATCH, headers: [["x-team", "prices"]] },
        verdict: "denied",
        by: "AuthorizationPolicy/when",
      },
      {
        name: "one member of a claim",
        call: { from: NOBODY, jwt: { groups: ["staff", "admin"] } },
        verdict: "allowed",
        by: "AuthorizationPolicy/when",
      },
      {
        name: "a claim within a claim",
        call: { from: NOBODY, jwt: { realm: { roles: ["reader-eu"] } } },
        verdict: "allowed",
        by: "AuthorizationPolicy/when",
      },
      {
        name: "audience and presenter",
        call: { from: NOBODY, jwt: { aud: ["prices", "x"], azp: "portal" } },
        verdict: "allowed",
        by: "AuthorizationPolicy/when",
      },
      {
        name: "the audience alone",
        call: { from: NOBODY, jwt: { aud: "prices" } },
        verdict: "denied",
        by: "AuthorizationPolicy/when",
      },
      {
        name: "who a token is of",
        call: { from: NOBODY, jwt: { iss: "https://id.example", sub: "ann" } },
        verdict: "allowed",
        by: "AuthorizationPolicy/when",
      },
      {
        name: "an address",
        call: { from: NOBODY, address: "127.0.7.1" },
        verdict: "allowed",
        by: "AuthorizationPolicy/when",
      },
      {
        name: "an address that is taken out",
        call: { from: NOBODY, address: "127.0.7.7" },
        verdict: "denied",
        by: "AuthorizationPolicy/when",
      },
      {
        name: "bytes by port and principal",
        call: { from: CART, port: 5432, protocol: "tcp" },
        verdict: "allowed",
        by: "AuthorizationPolicy/when",
      },
      {
        name: "bytes of the one that is not wanted",
        call: { from: WEB, port: 5432, protocol: "tcp" },
        verdict: "denied",
        by: "AuthorizationPolicy/when",
      },
    ],
  },
  {
    name: "a token is demanded",
    dialect: "istio",
    documents: policy("no-token", '  action: DENY\n  rules: [{ from: [{ source: { notRequestPrincipals: ["*"] } }] }]'),
    cases: [
      { name: "none", call: { from: WEB }, verdict: "denied", by: "AuthorizationPolicy/no-token" },
      { name: "a valid one", call: { from: WEB, jwt: { iss: "i", sub: "s" } }, verdict: "allowed", by: DEFAULT },
    ],
  },
  {
    name: "CUSTOM, DENY, ALLOW",
    dialect: "istio",
    documents:
      policy("reads", "  rules: [{ to: [{ operation: { methods: [GET] } }] }]") +
      policy("no-cart", "  action: DENY\n  rules: [{ from: [{ source: { serviceAccounts: [cart] } }] }]") +
      policy(
        "ask",
        "  action: CUSTOM\n  provider: { name: opa }\n  rules: [{ to: [{ operation: { paths: [/asked] } }] }]",
      ),
    providers: ["opa"],
    cases: [
      {
        name: "is asked where it is about the call",
        call: { from: WEB, path: "/asked" },
        verdict: "allowed",
        by: "AuthorizationPolicy/reads",
        external: ["opa"],
      },
      { name: "is not asked elsewhere", call: { from: WEB }, verdict: "allowed", by: "AuthorizationPolicy/reads" },
      { name: "DENY before ALLOW", call: { from: CART }, verdict: "denied", by: "AuthorizationPolicy/no-cart" },
      {
        name: "no ALLOW",
        call: { from: WEB, method: "POST", path: "/asked" },
        verdict: "denied",
        by: "AuthorizationPolicy/reads",
      },
    ],
  },
  {
    name: "CUSTOM with a provider that is not there",
    dialect: "istio",
    documents: policy(
      "ask",
      "  action: CUSTOM\n  provider: { name: opa }\n  rules: [{ to: [{ operation: { paths: [/asked] } }] }]",
    ),
    cases: [
      {
        name: "refuses what it would be asked",
        call: { from: WEB, path: "/asked" },
        verdict: "denied",
        by: "AuthorizationPolicy/ask",
      },
      { name: "says nothing of the rest", call: { from: WEB }, verdict: "allowed", by: DEFAULT },
    ],
  },
  {
    name: "AUDIT",
    dialect: "istio",
    documents: policy("watch", "  action: AUDIT\n  rules: [{ to: [{ operation: { methods: [DELETE] } }] }]"),
    cases: [
      {
        name: "marks",
        call: { from: WEB, method: "DELETE" },
        verdict: "allowed",
        by: DEFAULT,
        audited: ["AuthorizationPolicy/watch"],
      },
      { name: "marks nothing else", call: { from: WEB }, verdict: "allowed", by: DEFAULT },
    ],
  },
  {
    name: "dry run",
    dialect: "istio",
    documents: `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: trial, namespace: shop, annotations: { istio.io/dry-run: "true" } }
spec: { action: DENY, rules: [{ from: [{ source: { namespaces: [jobs] } }] }] }
`,
    cases: [
      {
        name: "refuses nothing, and says what it would",
        call: { from: BATCH },
        verdict: "allowed",
        by: DEFAULT,
        audited: ["AuthorizationPolicy/trial"],
      },
    ],
  },
  {
    name: "policies of the root namespace, of another one, and for other labels",
    dialect: "istio",
    documents:
      policy(
        "mesh-wide",
        '  action: DENY\n  rules: [{ from: [{ source: { principals: ["*/sa/batch"] } }] }]',
        "istio-system",
      ) +
      policy("elsewhere", "  {}", "jobs") +
      policy("other-app", "  selector: { matchLabels: { app: price, version: v2 } }"),
    cases: [
      {
        name: "the root's is about everybody",
        call: { from: BATCH },
        verdict: "denied",
        by: "AuthorizationPolicy/mesh-wide",
      },
      { name: "the others are not about this one", call: { from: WEB }, verdict: "allowed", by: DEFAULT },
    ],
  },
  {
    name: "PeerAuthentication: the workload before the namespace before the mesh",
    dialect: "istio",
    documents:
      peers("default", "  mtls: { mode: STRICT }", "istio-system") +
      peers("default", "  mtls: { mode: PERMISSIVE }") +
      peers("price", `${SELECTOR}\n  mtls: { mode: STRICT }\n  portLevelMtls: { 5432: { mode: PERMISSIVE } }`),
    cases: [
      { name: "strict", call: { from: NOBODY }, verdict: "denied", by: "PeerAuthentication/price" },
      { name: "strict with TLS", call: { from: BATCH }, verdict: "allowed", by: DEFAULT },
      {
        name: "a port that is permissive",
        call: { from: NOBODY, port: 5432, protocol: "tcp" },
        verdict: "allowed",
        by: DEFAULT,
      },
    ],
  },
  {
    name: "PeerAuthentication: a port by the application's number, the rest inherited",
    dialect: "istio",
    documents:
      peers("default", "  mtls: { mode: STRICT }", "istio-system") +
      peers("price", `${SELECTOR}\n  portLevelMtls: { 8080: { mode: DISABLE }, 5432: { mode: UNSET } }`),
    cases: [
      { name: "no TLS on that port", call: { from: NOBODY }, verdict: "allowed", by: DEFAULT },
      {
        name: "UNSET is inherited",
        call: { from: NOBODY, port: 5432, protocol: "tcp" },
        verdict: "denied",
        by: "PeerAuthentication/default",
      },
    ],
  },
  {
    name: "PeerAuthentication: the first of two, and a namespace that says nothing",
    dialect: "istio",
    documents:
      peers("default", "  mtls: {}") +
      peers("a", SELECTOR + "\n  mtls: { mode: STRICT }") +
      peers("b", SELECTOR + "\n  mtls: { mode: DISABLE }"),
    cases: [{ name: "the first one holds", call: { from: NOBODY }, verdict: "denied", by: "PeerAuthentication/a" }],
  },
];
