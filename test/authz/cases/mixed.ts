import { type AuthzGroup, BATCH, CART, NOBODY, WEB } from "./case.ts";

export const MIXED: readonly AuthzGroup[] = [
  {
    name: "Linkerd allows, Istio denies some, under a default of deny",
    dialect: "mixed",
    documents: `
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: price-http, namespace: shop }
spec: { podSelector: {}, port: 80, accessPolicy: all-authenticated }
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: no-batch, namespace: shop }
spec: { action: DENY, rules: [{ from: [{ source: { namespaces: [jobs] } }] }] }
`,
    defaultPolicy: "deny",
    cases: [
      { name: "both let it pass", call: { from: WEB }, verdict: "allowed", by: "Server/price-http" },
      { name: "one refuses", call: { from: BATCH }, verdict: "denied", by: "AuthorizationPolicy/no-batch" },
      { name: "the other refuses", call: { from: NOBODY }, verdict: "denied", by: "Server/price-http" },
      {
        name: "where only DENY speaks the default holds",
        call: { from: WEB, port: 5432, protocol: "tcp" },
        verdict: "denied",
        by: "default/deny",
      },
    ],
  },
  {
    name: "Istio's ALLOW and Consul's intention must both let pass",
    dialect: "mixed",
    documents: `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: reads, namespace: shop }
spec: { rules: [{ to: [{ operation: { methods: [GET] } }] }] }
---
Kind: service-intentions
Namespace: shop
Name: price
Sources: [{ Name: web, Action: allow }, { Name: "*", Action: deny }]
`,
    cases: [
      { name: "both do", call: { from: WEB }, verdict: "allowed", by: "service-intentions/price" },
      {
        name: "Istio does not",
        call: { from: WEB, method: "POST" },
        verdict: "denied",
        by: "AuthorizationPolicy/reads",
      },
      { name: "Consul does not", call: { from: CART }, verdict: "denied", by: "service-intentions/price" },
    ],
  },
  {
    name: "no document at all, the defaults: all-authenticated",
    dialect: "mixed",
    documents: "",
    defaultPolicy: "all-authenticated",
    cases: [
      { name: "with an identity", call: { from: WEB }, verdict: "allowed", by: "default/all-authenticated" },
      { name: "without", call: { from: NOBODY }, verdict: "denied", by: "default/all-authenticated" },
    ],
  },
  {
    name: "no document at all, the defaults: cluster-authenticated",
    dialect: "mixed",
    documents: "",
    defaultPolicy: "cluster-authenticated",
    cases: [
      { name: "from the cluster", call: { from: WEB }, verdict: "allowed", by: "default/cluster-authenticated" },
      {
        name: "from elsewhere",
        call: { from: WEB, address: "198.51.100.4" },
        verdict: "denied",
        by: "default/cluster-authenticated",
      },
    ],
  },
  {
    name: "no document at all, the defaults: audit",
    dialect: "mixed",
    documents: "",
    defaultPolicy: "audit",
    cases: [
      {
        name: "passes and is marked",
        call: { from: NOBODY },
        verdict: "allowed",
        by: "default/audit",
        audited: ["default/audit"],
      },
    ],
  },
];
