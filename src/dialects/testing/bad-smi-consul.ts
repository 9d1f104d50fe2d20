import type { BadDocument } from "./bad-document.ts";

/** access.smi-spec.io, specs.smi-spec.io, and Consul's entries */
export const BAD_SMI_CONSUL: readonly BadDocument[] = [
  [
    "TrafficTarget",
    `
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: { name: a, namespace: shop }
spec:
  destination: { kind: ServiceAccount, name: a, port: 80 }
  rules: [{ kind: UDPRoute, name: x }, { kind: TCPRoute, name: x, matches: [a] }, { kind: HTTPRoute, name: y }]
  sources: [{ kind: Group, name: a }]
`,
    '5:49: error: spec.destination.port: unknown field "port" (known here: kind, name, namespace)',
    "6:19: error: spec.rules[0].kind: not supported: UDPRoute, for Heddle carries TCP",
    "6:67: error: spec.rules[1].matches: a TCPRoute has no matches with names",
    '6:91: error: spec.rules[2].kind: expected one of "HTTPRouteGroup", "TCPRoute"; found "HTTPRoute" (did you mean "TCPRoute"?)',
    '7:21: error: spec.sources[0].kind: expected "ServiceAccount"; found "Group"',
  ],
  [
    "TrafficSplit",
    `
apiVersion: split.smi-spec.io/v1alpha2
kind: TrafficSplit
`,
    "2:7: error: kind: TrafficSplit of split.smi-spec.io is not supported yet",
  ],
  [
    "HTTPRouteGroup",
    `
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: { name: a, namespace: shop }
spec:
  matches: [{ name: a, pathRegex: '(', methods: [get] }, { name: a, headers: { x: '(?=a)' } }]
`,
    '5:35: error: spec.matches[0].pathRegex: not a regular expression of RE2: a ( that is not closed at 7 of "(?:().*"',
    '5:50: error: spec.matches[0].methods[0]: expected one of "*", "GET", "HEAD", "PUT", "POST", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"; found "get" (did you mean "GET"?)',
    '5:83: error: spec.matches[1].headers.x: not a regular expression of RE2: look-around at 0 of "(?=a)": RE2 has none',
  ],
  [
    "HTTPRouteGroup: a name twice",
    `
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: { name: a, namespace: shop }
spec:
  matches: [{ name: a }, { name: a, headers: [{ x: 'a' }] }]
`,
    '5:34: error: spec.matches[1].name: the name "a" is already used in this group',
  ],
  [
    "TCPRoute",
    `
apiVersion: specs.smi-spec.io/v1alpha4
kind: TCPRoute
metadata: { name: a, namespace: shop }
spec:
  matches: { ports: ['80', 0] }
`,
    '5:22: error: spec.matches.ports[0]: expected a port number, 1 to 65535; found "80" (write it without quotes)',
    "5:28: error: spec.matches.ports[1]: expected a port number, 1 to 65535; found 0",
  ],
  [
    "service-intentions",
    `
Kind: service-intentions
Name: "*"
Sources:
- { Name: web, Action: allow, Permissions: [{ Action: allow, HTTP: { PathExact: / } }] }
- { Name: web }
- { Name: web, action: deny, SamenessGroup: x, Partition: y }
JWT: {}
`,
    "4:3: error: Sources[0]: expected either Action or Permissions",
    "5:3: error: Sources[1]: expected either Action or Permissions",
    '6:16: error: Sources[2].action: unknown field "action" (did you mean "Action"?)',
    "6:30: error: Sources[2].SamenessGroup: not supported: Consul Enterprise has it",
    '6:59: error: Sources[2].Partition: expected "default"; found "y"',
    "7:1: error: JWT: not supported: jwt-provider entries are not read yet",
  ],
  [
    "service-intentions: permissions",
    `
Kind: service-intentions
Name: a
Sources:
- Name: web
  Permissions:
  - { Action: allow, HTTP: { PathExact: a, Methods: [get] } }
  - { Action: allow, HTTP: {} }
  - { Action: allow, HTTP: { PathExact: /a, PathPrefix: /b } }
  - { Action: allow, HTTP: { Header: [{ Name: a }, { Name: a, Exact: x, Suffix: y }, { Name: a, Present: true, IgnoreCase: true }, {Name: a, Regex: "(a"}] } }
  - { Action: deny, JWT: { Providers: [] }, HTTP: { Methods: [GET] } }
`,
    '6:41: error: Sources[0].Permissions[0].HTTP.PathExact: expected a path that begins with "/"; found "a"',
    '6:54: error: Sources[0].Permissions[0].HTTP.Methods[0]: expected one of "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"; found "get" (did you mean "GET"?)',
    "7:28: error: Sources[0].Permissions[1].HTTP: expected at least one field; found none",
    "8:28: error: Sources[0].Permissions[2].HTTP: expected at most one of PathExact, PathPrefix and PathRegex",
    "9:39: error: Sources[0].Permissions[3].HTTP.Header[0]: expected exactly one of Present, Exact, Prefix, Suffix, Contains and Regex",
    "9:52: error: Sources[0].Permissions[3].HTTP.Header[1]: expected exactly one of Present, Exact, Prefix, Suffix, Contains and Regex",
    "9:112: error: Sources[0].Permissions[3].HTTP.Header[2].IgnoreCase: IgnoreCase does not go with Present or Regex (in a regular expression write (?i))",
    '9:149: error: Sources[0].Permissions[3].HTTP.Header[3].Regex: not a regular expression of RE2: a ( that is not closed at 2 of "(a"',
    "10:21: error: Sources[0].Permissions[4].JWT: not supported: jwt-provider entries are not read yet",
  ],
  [
    "service-intentions of everybody",
    `
Kind: service-intentions
Name: "*"
Sources:
- { Name: web, Permissions: [{ Action: allow, HTTP: { PathExact: / } }] }
- { Name: web, Action: deny }
`,
    '4:16: error: Sources[0].Permissions: the destination "*" takes no Permissions (name the service that is called)',
    '5:11: error: Sources[1].Name: the source "web" is already written on line 4',
  ],
  [
    "service-intentions without sources",
    `
Kind: service-intentions
Name: a
Sources: []
`,
    "3:10: error: Sources: expected a list of sources with at least one entry; found an empty list",
  ],
];
