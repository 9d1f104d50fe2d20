/** Consul's service-intentions: who may call a service, and with which requests (config entries). */
import type { Condition, TextPattern } from "../../model/inbound-policy.ts";
import { regexText } from "../regex-shape.ts";
import type { ResourceText } from "../resource-text.ts";
import {
  accepted,
  boolean,
  defaulted,
  list,
  mapped,
  mapping,
  type Node,
  oneOf,
  optional,
  refused,
  required,
  type Shape,
  text,
} from "../shape.ts";

export interface ServiceIntentions {
  /** The service that is called; "*" for all of the namespace. */
  readonly destination: string;
  readonly sources: readonly IntentionSource[];
}

export interface IntentionSource {
  /** The service that calls; "*" for all. */
  readonly name: string;
  /** undefined: that of the document. */
  readonly namespace: string | undefined;
  readonly line: number;
  /** What holds of all calls, or the first of these whose conditions hold. */
  readonly decides: "allow" | "deny" | readonly Permission[];
}

export interface Permission {
  readonly action: "allow" | "deny";
  readonly conditions: readonly Condition[];
  readonly line: number;
}

const ENTERPRISE = "Consul Enterprise has it";

const serviceName: Shape<string> = {
  read(node) {
    const { value } = node;
    if (typeof value === "string" && (value === "*" || /^[a-z0-9]([-a-z0-9_.]{0,251}[a-z0-9])?$/i.test(value)))
      return { value };
    const hint = typeof value === "string" && value.includes("*") ? "the star stands alone" : "";
    return node.unexpected('the name of a service, or "*"', hint);
  },
};

const namespace = text('a namespace: small letters, digits and "-"', /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/);
/** Without Enterprise there is this one. */
const partition = optional(oneOf(["default"]));

const path = text('a path that begins with "/"', /^\//);
const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"] as const;

const header = mapping(
  {
    Name: required(text("the name of a header", /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, 256)),
    Present: defaulted(boolean, false),
    Exact: defaulted(text("text", /^/), ""),
    Prefix: defaulted(text("text", /^/), ""),
    Suffix: defaulted(text("text", /^/), ""),
    Contains: defaulted(text("text", /^/), ""),
    Regex: defaulted(regexText("a regular expression"), ""),
    IgnoreCase: defaulted(boolean, false),
    Invert: defaulted(boolean, false),
  },
  ({ Present, Exact, Prefix, Suffix, Contains, Regex, IgnoreCase }, node) => {
    const given = [Present, Exact !== "", Prefix !== "", Suffix !== "", Contains !== "", Regex !== ""];
    if (given.filter(Boolean).length !== 1) {
      node.error("expected exactly one of Present, Exact, Prefix, Suffix, Contains and Regex");
    } else if (IgnoreCase && (Present || Regex !== "")) {
      node
        .at("IgnoreCase")
        .error("IgnoreCase does not go with Present or Regex", "in a regular expression write (?i)", "key");
    }
  },
);

const http = mapping(
  {
    PathExact: defaulted(path, ""),
    PathPrefix: defaulted(path, ""),
    PathRegex: defaulted(regexText("a regular expression"), ""),
    Header: defaulted(list("a list of headers", header), []),
    Methods: defaulted(list("a list of methods", oneOf(METHODS)), []),
  },
  ({ PathExact, PathPrefix, PathRegex, Header, Methods }, node) => {
    const paths = [PathExact, PathPrefix, PathRegex].filter((value) => value !== "").length;
    if (paths > 1) node.error("expected at most one of PathExact, PathPrefix and PathRegex");
    if (paths + Header.length + Methods.length === 0) node.error("expected at least one field; found none");
  },
);

const action = oneOf(["allow", "deny"]);
const NO_JWT = "jwt-provider entries are not read yet";

const permission = mapping({ Action: required(action), HTTP: required(http), JWT: refused(NO_JWT) });

const source = mapping(
  {
    Name: required(serviceName),
    Namespace: optional(namespace),
    Partition: partition,
    Peer: refused("Heddle has no peerings"),
    SamenessGroup: refused(ENTERPRISE),
    Action: optional(action),
    Permissions: optional(list("a list of permissions", permission, { min: 1 })),
    Type: optional(oneOf(["consul"])),
    Description: accepted,
    Precedence: accepted,
    LegacyID: accepted,
    LegacyMeta: accepted,
    LegacyCreateTime: accepted,
    LegacyUpdateTime: accepted,
  },
  ({ Action, Permissions }, node) => {
    if ((Action === undefined) === (Permissions === undefined)) node.error("expected either Action or Permissions");
  },
);

const entry = mapping(
  {
    Kind: accepted,
    Name: required(serviceName),
    Namespace: optional(namespace),
    Partition: partition,
    Sources: required(list("a list of sources", source, { min: 1 })),
    JWT: refused(NO_JWT),
    Meta: accepted,
    CreateIndex: accepted,
    ModifyIndex: accepted,
    Hash: accepted,
    RaftIndex: accepted,
  },
  ({ Name, Namespace, Sources }, node) => {
    const seen = new Map<string, number>();
    Sources.forEach((one, i) => {
      const key = `${one.Namespace ?? Namespace ?? ""}/${one.Name}`;
      const other = seen.get(key);
      if (other === undefined) seen.set(key, node.at("Sources", i).line);
      else node.at("Sources", i, "Name").error(`the source "${one.Name}" is already written on line ${other}`);
      if (Name === "*" && one.Permissions !== undefined) {
        const hint = "name the service that is called";
        node.at("Sources", i, "Permissions").error('the destination "*" takes no Permissions', hint, "key");
      }
    });
  },
);

export const serviceIntentions: Shape<ResourceText<ServiceIntentions>> = mapped(entry, (value, node) => ({
  name: value.Name,
  namespace: value.Namespace,
  labels: {},
  annotations: {},
  spec: {
    destination: value.Name,
    sources: value.Sources.map((one, i) => ({
      name: one.Name,
      namespace: one.Namespace,
      line: node.at("Sources", i).line,
      decides: one.Action ?? permissionsOf(one.Permissions ?? [], node.at("Sources", i, "Permissions")),
    })),
  },
}));

type PermissionText = { readonly Action: "allow" | "deny"; readonly HTTP: HttpText };
type HttpText = typeof http extends Shape<infer T> ? T : never;

function permissionsOf(permissions: readonly PermissionText[], node: Node): Permission[] {
  return permissions.map(({ Action, HTTP }, i) => ({
    action: Action,
    conditions: conditionsOf(HTTP),
    line: node.at(i).line,
  }));
}

function conditionsOf({ PathExact, PathPrefix, PathRegex, Header, Methods }: HttpText): Condition[] {
  const conditions: Condition[] = [];
  const onPath = (pattern: TextPattern): number => conditions.push({ on: "path", any: [pattern], not: false });
  if (PathExact !== "") onPath({ kind: "exact", value: PathExact });
  if (PathPrefix !== "") onPath({ kind: "prefix", value: PathPrefix });
  if (PathRegex !== "") onPath({ kind: "regex", value: PathRegex });
  for (const field of Header) {
    conditions.push({ on: "header", name: field.Name.toLowerCase(), any: [headerPattern(field)], not: field.Invert });
  }
  if (Methods.length > 0) {
    conditions.push({ on: "method", any: Methods.map((value) => ({ kind: "exact", value })), not: false });
  }
  return conditions;
}

function headerPattern(field: typeof header extends Shape<infer T> ? T : never): TextPattern {
  const { Exact, Prefix, Suffix, Contains, Regex, IgnoreCase: ignoreCase } = field;
  if (Regex !== "") return { kind: "regex", value: Regex };
  const folded = ignoreCase ? { ignoreCase } : {};
  if (Exact !== "") return { kind: "exact", value: Exact, ...folded };
  if (Prefix !== "") return { kind: "prefix", value: Prefix, ...folded };
  if (Suffix !== "") return { kind: "suffix", value: Suffix, ...folded };
  if (Contains !== "") return { kind: "contains", value: Contains, ...folded };
  return { kind: "present" };
}
