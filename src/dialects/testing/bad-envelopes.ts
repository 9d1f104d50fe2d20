import type { BadDocument } from "./bad-document.ts";

/** Documents of no kind that is read, and what all kinds have in common. */
export const BAD_ENVELOPES: readonly BadDocument[] = [
  [
    "HCL",
    `
Kind = "service-intentions"
Name = "web"
`,
    "1:1: error: not supported: HCL; Consul's entries are read as YAML and JSON (consul config read prints an entry as JSON)",
  ],
  [
    "a document of Kubernetes itself",
    `
apiVersion: apps/v1
kind: Deployment
`,
    "1:13: error: apiVersion: the kinds of apps are not read; found Deployment (known are documents of Linkerd, Istio, SMI and Consul)",
  ],
  [
    "a kind of Kubernetes' core",
    `
apiVersion: v1
kind: Service
`,
    "1:13: error: apiVersion: Kubernetes' own kinds are not read; found Service (known are documents of Linkerd, Istio, SMI and Consul)",
  ],
  [
    "a kind that is not supported yet",
    `
apiVersion: networking.istio.io/v1
kind: VirtualService
`,
    "2:7: error: kind: VirtualService of networking.istio.io is not supported yet",
  ],
  [
    "an entry that is not supported yet",
    `
Kind: service-router
Name: x
`,
    "1:7: error: Kind: service-router of consul is not supported yet",
  ],
  [
    "an entry with a typing error in its kind",
    `
Kind: service-intention
`,
    '1:7: error: Kind: unknown kind service-intention of consul (did you mean "service-intentions"?)',
  ],
  [
    "a kind of another group",
    `
apiVersion: policy.linkerd.io/v1
kind: PeerAuthentication
`,
    "2:7: error: kind: unknown kind PeerAuthentication of policy.linkerd.io (PeerAuthentication belongs to security.istio.io)",
  ],
  [
    "a group that is near",
    `
apiVersion: istio.io/v1
kind: PeerAuthentication
`,
    "1:13: error: apiVersion: the kinds of istio.io are not read; found PeerAuthentication (PeerAuthentication belongs to security.istio.io)",
  ],
  [
    "a list without items",
    `
apiVersion: v1
kind: List
item: []
`,
    "1:1: error: items: missing; expected a list of documents",
    '3:1: error: item: unknown field "item" (did you mean "items"?)',
  ],
  [
    "a document in a list",
    `
apiVersion: v1
kind: List
items:
- apiVersion: security.istio.io/v1
  kind: PeerAuthentication
  metadata: {name: A}
`,
    '6:20: error: items[0].metadata.name: expected a name: small letters, digits, "-" and ".", at most 253 characters; found "A"',
  ],
  [
    "a mesh.yaml",
    `
services: {}
`,
    "1:1: error: this is a mesh.yaml, not a document that it names (keep documents in a folder of their own)",
  ],
  [
    "no metadata",
    `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
`,
    "1:1: error: metadata: missing; expected a mapping with name, namespace, labels, annotations",
  ],
  [
    "wrong metadata",
    `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: a, generateName: b, labels: { a: 1 }, namespace: A_b }
spec:
  {}
`,
    '3:22: error: metadata.generateName: unknown field "generateName" (known here: name, namespace, labels, annotations)',
    "3:52: error: metadata.labels.a: expected text; found 1 (put quotes around it)",
    '3:68: error: metadata.namespace: expected a namespace: small letters, digits and "-", at most 63 characters; found "A_b"',
  ],
];
