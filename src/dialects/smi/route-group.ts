/** SMI's traffic specs: what traffic a TrafficTarget may name (specs.smi-spec.io). */
import type { Condition } from "../../model/inbound-policy.ts";
import { kubernetesDocument } from "../kubernetes.ts";
import { regexText } from "../regex-shape.ts";
import {
  defaulted,
  dictionary,
  integer,
  isMapping,
  list,
  mapping,
  type Node,
  oneOf,
  orEmpty,
  required,
  type Shape,
  text,
} from "../shape.ts";

export interface HttpRouteGroup {
  readonly matches: readonly { readonly name: string; readonly conditions: readonly Condition[] }[];
}

export interface TcpRoute {
  /** The application's; empty for all. */
  readonly ports: readonly number[];
}

const METHODS = ["*", "GET", "HEAD", "PUT", "POST", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"] as const;

/** The specification anchors it at the beginning only. */
export const anchoredAtStart = (regex: string): string => `(?:${regex}).*`;

const headerMap = dictionary("a mapping of headers to expressions", regexText("a regular expression"));
const headerList = list("a list of headers", headerMap);

/** A mapping, or in older documents a list of them: all must hold. */
const headers: Shape<readonly (readonly [name: string, regex: string])[]> = {
  read(node: Node) {
    if (isMapping(node.value)) {
      const read = headerMap.read(node);
      return read === undefined ? undefined : { value: Object.entries(read.value) };
    }
    const read = headerList.read(node);
    return read === undefined ? undefined : { value: read.value.flatMap((one) => Object.entries(one)) };
  },
};

const match = mapping({
  name: required(text("the name of a match")),
  pathRegex: defaulted(regexText("a regular expression", anchoredAtStart), ""),
  methods: defaulted(list("a list of methods", oneOf(METHODS)), []),
  headers: defaulted(headers, []),
});

const group = mapping({ matches: required(list("a list of matches", match, { min: 1 })) }, ({ matches }, node) => {
  matches.forEach(({ name }, i) => {
    if (matches.findIndex((other) => other.name === name) === i) return;
    node.at("matches", i, "name").error(`the name "${name}" is already used in this group`);
  });
});

export const httpRouteGroup = kubernetesDocument(
  { spec: required(group) },
  ({ spec: { matches } }): HttpRouteGroup => ({
    matches: matches.map(({ name, pathRegex, methods, headers: fields }) => {
      const conditions: Condition[] = [];
      if (pathRegex !== "") {
        conditions.push({ on: "path", any: [{ kind: "regex", value: anchoredAtStart(pathRegex) }], not: false });
      }
      if (methods.includes("*") || methods.length === 0)
        conditions.push({ on: "method", any: [{ kind: "present" }], not: false });
      else conditions.push({ on: "method", any: methods.map((value) => ({ kind: "exact", value })), not: false });
      for (const [field, value] of fields) {
        conditions.push({ on: "header", name: field.toLowerCase(), any: [{ kind: "regex", value }], not: false });
      }
      return { name, conditions };
    }),
  }),
);

const port = integer(1, 65_535, "a port number, 1 to 65535");

export const tcpRoute = kubernetesDocument(
  { spec: orEmpty(mapping({ matches: orEmpty(mapping({ ports: defaulted(list("a list of ports", port), []) })) })) },
  ({ spec }): TcpRoute => ({ ports: spec.matches.ports }),
);
