import { type AuthzGroup, BATCH, CART, NOBODY, STRANGER, WEB } from "./case.ts";

const ROUTES = `
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: { name: routes, namespace: shop }
spec:
  matches:
    - { name: metrics, pathRegex: /metrics, methods: [GET] }
    - { name: api, pathRegex: "/api/(v1|v2)/.*$", methods: ["*"] }
    - name: phones
      headers: { user-agent: ".*Android.*", x-beta: "yes" }
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: TCPRoute
metadata: { name: database, namespace: shop }
spec: { matches: { ports: [5432] } }
---`;

export const SMI: readonly AuthzGroup[] = [
  {
    name: "routes and sources",
    dialect: "smi",
    documents: `${ROUTES}
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: { name: scrape, namespace: shop }
spec:
  destination: { kind: ServiceAccount, name: price, namespace: shop }
  rules: [{ kind: HTTPRouteGroup, name: routes, matches: [metrics] }]
  sources: [{ kind: ServiceAccount, name: batch, namespace: jobs }]
---
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: { name: use, namespace: shop }
spec:
  destination: { kind: ServiceAccount, name: price }
  rules:
    - { kind: HTTPRouteGroup, name: routes, matches: [api, phones] }
    - { kind: TCPRoute, name: database }
  sources: [{ kind: ServiceAccount, name: web }]
`,
    cases: [
      {
        name: "a route of its source",
        call: { from: BATCH, path: "/metrics" },
        verdict: "allowed",
        by: "TrafficTarget/scrape",
      },
      {
        name: "an expression is anchored at the beginning only",
        call: { from: BATCH, path: "/metrics/all" },
        verdict: "allowed",
        by: "TrafficTarget/scrape",
      },
      {
        name: "and it is anchored there",
        call: { from: BATCH, path: "/x/metrics" },
        verdict: "denied",
        by: "TrafficTarget/scrape",
      },
      {
        name: "another method",
        call: { from: BATCH, method: "POST", path: "/metrics" },
        verdict: "denied",
        by: "TrafficTarget/scrape",
      },
      { name: "another's route", call: { from: WEB, path: "/metrics" }, verdict: "denied", by: "TrafficTarget/scrape" },
      {
        name: "a second match of a rule",
        call: { from: WEB, method: "DELETE", path: "/api/v2/x" },
        verdict: "allowed",
        by: "TrafficTarget/use",
      },
      {
        name: "all headers of a match",
        call: {
          from: WEB,
          path: "/",
          headers: [
            ["User-Agent", "An Android phone"],
            ["X-Beta", "yes"],
          ],
        },
        verdict: "allowed",
        by: "TrafficTarget/use",
      },
      {
        name: "one header of two",
        call: { from: WEB, path: "/", headers: [["User-Agent", "An Android phone"]] },
        verdict: "denied",
        by: "TrafficTarget/scrape",
      },
      {
        name: "bytes to a port",
        call: { from: WEB, port: 5432, protocol: "tcp" },
        verdict: "allowed",
        by: "TrafficTarget/use",
      },
      {
        name: "bytes where routes are allowed",
        call: { from: WEB, protocol: "tcp" },
        verdict: "denied",
        by: "TrafficTarget/scrape",
      },
      { name: "nobody", call: { from: NOBODY, path: "/metrics" }, verdict: "denied", by: "TrafficTarget/scrape" },
      {
        name: "the same name of another mesh",
        call: { from: STRANGER, path: "/api/v1/x" },
        verdict: "denied",
        by: "TrafficTarget/scrape",
      },
    ],
  },
  {
    name: "a destination with a port, and no rules (v1alpha2)",
    dialect: "smi",
    documents: `
apiVersion: access.smi-spec.io/v1alpha2
kind: TrafficTarget
metadata: { name: by-port, namespace: shop }
spec:
  destination: { kind: ServiceAccount, name: price, port: 8080 }
  sources: [{ kind: ServiceAccount, name: cart }]
`,
    cases: [
      {
        name: "that port, by the application's number",
        call: { from: CART, path: "/anything" },
        verdict: "allowed",
        by: "TrafficTarget/by-port",
      },
      { name: "bytes there", call: { from: CART, protocol: "tcp" }, verdict: "allowed", by: "TrafficTarget/by-port" },
      {
        name: "another port",
        call: { from: CART, port: 5432, protocol: "tcp" },
        verdict: "denied",
        by: "TrafficTarget/by-port",
      },
    ],
  },
  {
    name: "the first form (v1alpha1), with routes that are not there",
    dialect: "smi",
    documents: `
apiVersion: access.smi-spec.io/v1alpha1
kind: TrafficTarget
metadata: { name: oldest, namespace: shop }
destination: { kind: ServiceAccount, name: price, namespace: shop }
specs: [{ kind: HTTPRouteGroup, name: missing }]
sources: [{ kind: ServiceAccount, name: web, namespace: shop }]
`,
    cases: [{ name: "allows nothing", call: { from: WEB }, verdict: "denied", by: "TrafficTarget/oldest" }],
  },
  {
    name: "a target of another service account",
    dialect: "smi",
    documents: `
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: { name: other, namespace: shop }
spec:
  destination: { kind: ServiceAccount, name: cart }
  sources: [{ kind: ServiceAccount, name: web }]
`,
    cases: [{ name: "says nothing", call: { from: NOBODY }, verdict: "allowed", by: "default/all-unauthenticated" }],
  },
];
