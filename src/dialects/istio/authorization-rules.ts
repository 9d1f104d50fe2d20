/**
 * The rules of Istio's AuthorizationPolicy as they are written: who (from), what (to) and under which conditions (when).
 */
import { cidr } from "../kubernetes.ts";
import { defaulted, list, mapping, type Node, optional, required, type Shape, type ShapeRead, text } from "../shape.ts";
import { pathText } from "./patterns.ts";

/** Combinations of from and to in one rule. */
export const COMBINATIONS_MAX = 1_024;
/** Istio's. */
const SERVICE_ACCOUNTS_MAX = 16;

const words = (what: string): Shape<readonly string[]> =>
  list(`a list of ${what}`, text("text, with a star at one end at most"));
const texts = (what: string) => defaulted(words(what), []);
const networks = defaulted(list("a list of networks", cidr), []);

const account = text(
  'a service account, "name" or "namespace/name", without wildcards',
  /^([a-z0-9]([-a-z0-9]*[a-z0-9])?\/)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/,
  320,
);
const accounts = defaulted(list("a list of service accounts", account, { max: SERVICE_ACCOUNTS_MAX }), []);

function notEmpty(value: Readonly<Record<string, readonly unknown[]>>, node: Node): void {
  if (Object.values(value).some(({ length }) => length > 0)) return;
  node.error("expected at least one field with an entry; found none", "it would be about every call");
}

const source = mapping(
  {
    principals: texts("principals"),
    notPrincipals: texts("principals"),
    requestPrincipals: texts("principals"),
    notRequestPrincipals: texts("principals"),
    namespaces: texts("namespaces"),
    notNamespaces: texts("namespaces"),
    serviceAccounts: accounts,
    notServiceAccounts: accounts,
    trustDomains: texts("trust domains"),
    notTrustDomains: texts("trust domains"),
    ipBlocks: networks,
    notIpBlocks: networks,
    remoteIpBlocks: networks,
    notRemoteIpBlocks: networks,
  },
  (value, node) => {
    notEmpty(value, node);
    const { principals, notPrincipals, namespaces, notNamespaces, serviceAccounts, notServiceAccounts } = value;
    const others = principals.length + notPrincipals.length + namespaces.length + notNamespaces.length;
    if (serviceAccounts.length + notServiceAccounts.length > 0 && others > 0) {
      node.error("serviceAccounts does not go with principals or namespaces");
    }
    [...principals, ...notPrincipals].forEach((principal) => {
      if (!principal.startsWith("spiffe://")) return;
      const hint = "leave spiffe:// out";
      node.warning(`"${principal}" is no principal: Istio writes cluster.local/ns/…/sa/…`, hint);
    });
  },
);

const PORT = 'the number of a port as text, like "8080"';
const port: Shape<number> = {
  read(node) {
    const { value } = node;
    const number = typeof value === "string" && /^\d{1,5}$/.test(value) ? Number(value) : 0;
    if (number >= 1 && number <= 65_535) return { value: number };
    return node.unexpected(PORT, typeof value === "number" ? "put quotes around it" : "");
  },
};
const ports = defaulted(list("a list of ports", port), []);
const paths = defaulted(list("a list of paths", pathText), []);

const operation = mapping(
  {
    hosts: texts("hosts"),
    notHosts: texts("hosts"),
    ports,
    notPorts: ports,
    methods: texts("methods"),
    notMethods: texts("methods"),
    paths,
    notPaths: paths,
  },
  notEmpty,
);

/** What `when` may look at. "x[…]" takes a name, and claims any number of them. */
export const CONDITION_KEYS = [
  "request.headers[…]",
  "request.auth.principal",
  "request.auth.audiences",
  "request.auth.presenter",
  "request.auth.claims[…]",
  "source.ip",
  "remote.ip",
  "source.namespace",
  "source.principal",
  "source.serviceAccount",
  "destination.ip",
  "destination.port",
  "connection.sni",
] as const;

export type ConditionKey = (typeof CONDITION_KEYS)[number];

export interface ParsedKey {
  readonly key: ConditionKey;
  /** What is in the brackets: of a header its name, of claims the path. */
  readonly names: readonly string[];
}

/** Takes "request.auth.claims[a][b]" apart; undefined if it is none of {@link CONDITION_KEYS}. */
export function parseKey(written: string): ParsedKey | undefined {
  const match = /^([a-zA-Z.]+)((?:\[[^[\]]+\])*)$/.exec(written);
  if (match === null) return undefined;
  const names = [...(match[2] ?? "").matchAll(/\[([^[\]]+)\]/g)].map(([, name = ""]) => name);
  const bare = match[1] ?? "";
  const key = CONDITION_KEYS.find((known) => known === (names.length > 0 ? `${bare}[…]` : bare));
  if (key === undefined || (key === "request.headers[…]" && names.length > 1)) return undefined;
  return { key, names };
}

const conditionKey: Shape<ParsedKey> = {
  read(node) {
    const { value } = node;
    const parsed = typeof value === "string" ? parseKey(value) : undefined;
    if (parsed !== undefined) return { value: parsed };
    if (typeof value === "string" && value.startsWith("experimental.")) {
      node.error("not supported: experimental.envoy.filters looks at what Envoy's filters leave behind");
      return undefined;
    }
    return node.unexpected(`one of ${CONDITION_KEYS.join(", ")}`);
  },
};

const condition = mapping(
  { key: required(conditionKey), values: texts("values"), notValues: texts("values") },
  ({ key: { key }, values, notValues }, node) => {
    if (values.length + notValues.length === 0) node.error("expected values or notValues; found neither");
    const check = (name: "values" | "notValues", i: number): void => {
      const at = node.at(name, i);
      if (key.endsWith(".ip")) cidr.read(at);
      if (key === "destination.port") port.read(at);
      if (key === "source.serviceAccount") account.read(at);
    };
    values.forEach((_, i) => check("values", i));
    notValues.forEach((_, i) => check("notValues", i));
  },
);

export const rule = mapping(
  {
    from: optional(list("a list of sources", mapping({ source: required(source) }), { min: 1 })),
    to: optional(list("a list of operations", mapping({ operation: required(operation) }), { min: 1 })),
    when: defaulted(list("a list of conditions", condition), []),
  },
  ({ from = [], to = [] }, node) => {
    const combinations = Math.max(1, from.length) * Math.max(1, to.length);
    if (combinations <= COMBINATIONS_MAX) return;
    node.error(
      `from and to have ${combinations} combinations; at most ${COMBINATIONS_MAX} are possible`,
      "write several rules",
    );
  },
);

export type RuleText = ShapeRead<typeof rule>;
export type SourceText = ShapeRead<typeof source>;
export type OperationText = ShapeRead<typeof operation>;
export type ConditionText = ShapeRead<typeof condition>;
