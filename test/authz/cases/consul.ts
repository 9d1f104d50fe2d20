import { type AuthzGroup, BATCH, CART, NOBODY, WEB } from "./case.ts";

const DEFAULT = "default/all-unauthenticated";

export const CONSUL: readonly AuthzGroup[] = [
  {
    name: "precedence",
    dialect: "consul",
    documents: `
Kind: service-intentions
Namespace: shop
Name: "*"
Sources:
  - { Name: web, Action: deny }
  - { Name: batch, Namespace: jobs, Action: allow }
  - { Name: "*", Action: deny }
---
Kind: service-intentions
Namespace: shop
Name: price
Sources:
  - { Name: "*", Action: deny, Description: nobody but }
  - { Name: web, Action: allow }
`,
    cases: [
      { name: "exact to exact (9)", call: { from: WEB }, verdict: "allowed", by: "service-intentions/price" },
      {
        name: "any to exact (8) before exact to any (6)",
        call: { from: BATCH },
        verdict: "denied",
        by: "service-intentions/price",
      },
      { name: "any to exact (8)", call: { from: CART }, verdict: "denied", by: "service-intentions/price" },
      { name: "nobody is among any", call: { from: NOBODY }, verdict: "denied", by: "service-intentions/price" },
      {
        name: "bytes",
        call: { from: WEB, port: 5432, protocol: "tcp" },
        verdict: "allowed",
        by: "service-intentions/price",
      },
    ],
  },
  {
    name: "precedence of wildcards",
    dialect: "consul",
    documents: `
Kind: service-intentions
Namespace: shop
Name: "*"
Sources:
  - { Name: "*", Action: deny }
  - { Name: cart, Action: allow }
`,
    cases: [
      { name: "exact to any (6)", call: { from: CART }, verdict: "allowed", by: "service-intentions/*" },
      { name: "any to any (5)", call: { from: WEB }, verdict: "denied", by: "service-intentions/*" },
    ],
  },
  {
    name: "no intention of this caller",
    dialect: "consul",
    documents: `
Kind: service-intentions
Namespace: shop
Name: price
Sources: [{ Name: web, Action: deny }]
`,
    cases: [
      { name: "is left to the default", call: { from: CART }, verdict: "allowed", by: DEFAULT },
      { name: "refused", call: { from: WEB }, verdict: "denied", by: "service-intentions/price" },
    ],
  },
  {
    name: "the same under a default of deny",
    dialect: "consul",
    documents: `
Kind: service-intentions
Namespace: shop
Name: price
Sources: [{ Name: "*", Action: allow }]
`,
    defaultPolicy: "deny",
    cases: [
      { name: "any has an identity", call: { from: BATCH }, verdict: "allowed", by: "service-intentions/price" },
      { name: "who has none is not any that is let in", call: { from: NOBODY }, verdict: "denied", by: "default/deny" },
    ],
  },
  {
    name: "permissions, in order",
    dialect: "consul",
    documents: `{
  "Kind": "service-intentions",
  "Namespace": "shop",
  "Name": "price",
  "Sources": [
    {
      "Name": "web",
      "Precedence": 9,
      "Permissions": [
        { "Action": "deny", "HTTP": { "PathPrefix": "/admin" } },
        { "Action": "allow", "HTTP": { "PathExact": "/items", "Methods": ["GET", "HEAD"] } },
        { "Action": "allow", "HTTP": { "PathRegex": "/items/[0-9]+", "Header": [
          { "Name": "X-Team", "Prefix": "PRI", "IgnoreCase": true },
          { "Name": "X-Debug", "Present": true, "Invert": true } ] } },
        { "Action": "allow", "HTTP": { "PathPrefix": "/" , "Header": [{ "Name": "X-Pass", "Exact": "open" }] } }
      ]
    },
    { "Name": "*", "Action": "allow" }
  ]
}`,
    defaultPolicy: "deny",
    cases: [
      {
        name: "the first that holds decides",
        call: { from: WEB, path: "/admin/x", headers: [["x-pass", "open"]] },
        verdict: "denied",
        by: "service-intentions/price",
      },
      {
        name: "path and method",
        call: { from: WEB, path: "/items?x=1" },
        verdict: "allowed",
        by: "service-intentions/price",
      },
      {
        name: "path with another method",
        call: { from: WEB, path: "/items", method: "POST" },
        verdict: "denied",
        by: "service-intentions/price",
      },
      {
        name: "an expression and headers",
        call: { from: WEB, path: "/items/77", headers: [["x-team", "prices"]] },
        verdict: "allowed",
        by: "service-intentions/price",
      },
      {
        name: "a header that must not be there",
        call: {
          from: WEB,
          path: "/items/77",
          headers: [
            ["x-team", "prices"],
            ["x-debug", "1"],
          ],
        },
        verdict: "denied",
        by: "service-intentions/price",
      },
      {
        name: "an expression is about the whole path",
        call: { from: WEB, path: "/items/77/x", headers: [["x-team", "prices"]] },
        verdict: "denied",
        by: "service-intentions/price",
      },
      {
        name: "none of them: the default, not the next intention",
        call: { from: WEB, path: "/other" },
        verdict: "denied",
        by: "service-intentions/price",
      },
      {
        name: "bytes are refused",
        call: { from: WEB, port: 5432, protocol: "tcp" },
        verdict: "denied",
        by: "service-intentions/price",
      },
      {
        name: "others have their own intention",
        call: { from: CART, path: "/admin" },
        verdict: "allowed",
        by: "service-intentions/price",
      },
    ],
  },
  {
    name: "permissions under an open default",
    dialect: "consul",
    documents: `
Kind: service-intentions
Namespace: shop
Name: price
Sources:
  - Name: web
    Permissions:
      - { Action: deny, HTTP: { Methods: [DELETE] } }
  - { Name: "*", Action: deny }
`,
    cases: [
      {
        name: "what none holds of is allowed",
        call: { from: WEB },
        verdict: "allowed",
        by: "service-intentions/price",
      },
      {
        name: "what one refuses is refused",
        call: { from: WEB, method: "DELETE" },
        verdict: "denied",
        by: "service-intentions/price",
      },
      {
        name: "bytes are refused all the same",
        call: { from: WEB, protocol: "tcp" },
        verdict: "denied",
        by: "service-intentions/price",
      },
    ],
  },
  {
    name: "permissions under a default of audit",
    dialect: "consul",
    documents: `
Kind: service-intentions
Namespace: shop
Name: price
Sources:
  - Name: web
    Permissions:
      - { Action: allow, HTTP: { Methods: [GET] } }
  - { Name: "*", Action: deny }
`,
    defaultPolicy: "audit",
    cases: [
      {
        name: "what one allows is not marked",
        call: { from: WEB },
        verdict: "allowed",
        by: "service-intentions/price",
      },
      {
        name: "what none holds of passes and is marked",
        call: { from: WEB, method: "PUT" },
        verdict: "allowed",
        by: "service-intentions/price",
        audited: ["service-intentions/price"],
      },
      { name: "others are refused", call: { from: CART }, verdict: "denied", by: "service-intentions/price" },
    ],
  },
  {
    name: "intentions under a default of all-authenticated",
    dialect: "consul",
    documents: `
Kind: service-intentions
Namespace: shop
Name: "*"
Sources: [{ Name: cart, Action: deny }]
`,
    defaultPolicy: "all-authenticated",
    cases: [
      { name: "who has an identity", call: { from: WEB }, verdict: "allowed", by: "default/all-authenticated" },
      { name: "who has none", call: { from: NOBODY }, verdict: "denied", by: "default/all-authenticated" },
      { name: "who is refused", call: { from: CART }, verdict: "denied", by: "service-intentions/*" },
    ],
  },
  {
    name: "intentions of another namespace",
    dialect: "consul",
    documents: `
Kind: service-intentions
Name: price
Sources: [{ Name: "*", Action: deny }]
`,
    cases: [{ name: "say nothing", call: { from: WEB }, verdict: "allowed", by: DEFAULT }],
  },
];
