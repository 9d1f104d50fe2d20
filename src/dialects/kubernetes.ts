/** What documents written for Kubernetes have in common: metadata, label selectors, networks. */

import type { Network } from "../model/inbound-policy.ts";
import { inNetwork, parseNetwork } from "../model/network.ts";
import {
  accepted,
  defaulted,
  dictionary,
  type Fields,
  type FieldsRead,
  list,
  mapped,
  mapping,
  type Node,
  oneOf,
  optional,
  orEmpty,
  required,
  type Shape,
  type ShapeRead,
  text,
} from "./shape.ts";
import type { ResourceText } from "./resource-text.ts";

/** Characters of one annotation: Kubernetes' limit of all of them. */
const ANNOTATION_LENGTH_MAX = 262_144;

export const NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
export const LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

export const resourceName = text('a name: small letters, digits, "-" and ".", at most 253 characters', NAME);
export const namespaceName = text('a namespace: small letters, digits and "-", at most 63 characters', LABEL);

const anyText = text("text", /^/);

const metadata = mapping({
  name: required(resourceName),
  namespace: optional(namespaceName),
  labels: orEmpty(dictionary("a mapping of labels", anyText)),
  annotations: orEmpty(dictionary("a mapping of annotations", text("text", /^/, ANNOTATION_LENGTH_MAX))),
  uid: accepted,
  resourceVersion: accepted,
  generation: accepted,
  creationTimestamp: accepted,
  deletionTimestamp: accepted,
  deletionGracePeriodSeconds: accepted,
  finalizers: accepted,
  managedFields: accepted,
  ownerReferences: accepted,
  selfLink: accepted,
});

export type Metadata = ShapeRead<typeof metadata>;

/**
 * A whole document: its own fields beside those that every document has.
 *
 * @param to what the rest of Heddle has of it
 */
export function kubernetesDocument<const F extends Fields, S>(
  fields: F,
  to: (value: FieldsRead<F>, node: Node, metadata: Metadata) => S,
): Shape<ResourceText<S>> {
  const shape = mapping({
    apiVersion: accepted,
    kind: accepted,
    metadata: required(metadata),
    ...fields,
    status: accepted,
  });
  return mapped(shape, (value, node) => {
    const head = value.metadata as Metadata;
    const { name, namespace, labels: ownLabels, annotations } = head;
    return { name, namespace, labels: ownLabels, annotations, spec: to(value, node, head) };
  });
}

/** Kubernetes' LabelSelector: all of it must hold; an empty one holds of everything. */
export interface LabelSelector {
  readonly matchLabels: Readonly<Record<string, string>>;
  readonly matchExpressions: readonly LabelExpression[];
}

export interface LabelExpression {
  readonly key: string;
  readonly operator: "In" | "NotIn" | "Exists" | "DoesNotExist";
  readonly values: readonly string[];
}

const expression: Shape<LabelExpression> = mapping(
  {
    key: required(text("the name of a label")),
    operator: required(oneOf(["In", "NotIn", "Exists", "DoesNotExist"])),
    values: defaulted(list("a list of values", anyText), []),
  },
  ({ operator, values }, node) => {
    const takes = operator === "In" || operator === "NotIn";
    if (takes && values.length === 0) node.at("values").unexpected(`a list of values for "${operator}"`);
    if (!takes && values.length > 0) node.at("values").error(`"${operator}" takes no values`);
  },
);

/** Values that YAML reads as numbers or booleans are refused, as by Kubernetes. */
const labelsField = orEmpty(dictionary("a mapping of labels", anyText));

/** Istio's: labels only. */
export const matchLabels = mapping({ matchLabels: labelsField });

export const labelSelector: Shape<LabelSelector> = mapping({
  matchLabels: labelsField,
  matchExpressions: defaulted(list("a list of expressions", expression), []),
});

export function selects(selector: LabelSelector, labels: Readonly<Record<string, string>>): boolean {
  const { matchLabels: wanted, matchExpressions } = selector;
  if (!Object.entries(wanted).every(([name, value]) => labelOf(labels, name) === value)) return false;
  return matchExpressions.every(({ key, operator, values }) => {
    const value = labelOf(labels, key);
    if (operator === "Exists") return value !== undefined;
    if (operator === "DoesNotExist") return value === undefined;
    const among = value !== undefined && values.includes(value);
    return operator === "In" ? among : !among;
  });
}

function labelOf(labels: Readonly<Record<string, string>>, name: string): string | undefined {
  return Object.hasOwn(labels, name) ? labels[name] : undefined;
}

export const cidr: Shape<string> = {
  read(node) {
    const { value } = node;
    if (typeof value === "string" && parseNetwork(value) !== undefined) return { value };
    return node.unexpected('an address or a network like "10.0.0.0/8" or "::1"');
  },
};

/** Linkerd's: a network without parts of it, which must lie in it and leave something of it. */
export const network: Shape<Network> = mapping(
  { cidr: required(cidr), except: defaulted(list("a list of networks", cidr), []) },
  ({ cidr: whole, except }, node) => {
    const outer = parseNetwork(whole);
    except.forEach((written, i) => {
      const inner = parseNetwork(written);
      if (outer === undefined || inner === undefined) return;
      const outside = inner.bits < outer.bits || !inNetwork(inner.address, outer);
      if (inner.bits <= outer.bits && inNetwork(outer.address, inner)) {
        node.at("except", i).error(`${written} leaves nothing of ${whole}`);
      } else if (outside) node.at("except", i).error(`${written} is not in ${whole}`);
    });
  },
);
