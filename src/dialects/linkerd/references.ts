/** How Linkerd's documents name others: by group, kind and name (gateway-api's reference types). */
import { namespaceName, resourceName } from "../kubernetes.ts";
import { accepted, defaulted, mapping, optional, type Read, type Node, required, type Shape, text } from "../shape.ts";

export interface Reference {
  /** "" for Kubernetes' own kinds. */
  readonly group: string;
  readonly kind: string;
  readonly name: string;
  /** undefined: that of the document. */
  readonly namespace: string | undefined;
}

/** "group/kind", with "core" for Kubernetes' own. */
export type ReferenceKind = `${string}/${string}`;

const shape = mapping({
  group: defaulted(text("the group of a kind", /^/), ""),
  kind: required(text("a kind")),
  name: required(resourceName),
  namespace: optional(namespaceName),
});

/**
 * A reference to one of some kinds.
 *
 * @param notYet kinds that Linkerd takes there and Heddle does not
 */
export function reference(kinds: readonly ReferenceKind[], notYet: readonly ReferenceKind[] = []): Shape<Reference> {
  return {
    fields: shape.fields,
    read(node: Node): Read<Reference> {
      const read = shape.read(node);
      if (read === undefined) return undefined;
      const { group, kind, name, namespace } = read.value;
      const written: ReferenceKind = `${group === "" ? "core" : group}/${kind}`;
      if (kinds.includes(written)) return { value: { group: group === "core" ? "" : group, kind, name, namespace } };
      if (notYet.includes(written)) node.error(`a reference to a kind that is not supported yet: ${kind} of ${group}`);
      else {
        const known = kinds.map((one) => one.replace("/", " ")).join(", ");
        node.error(`expected a reference to one of ${known}; found ${written.replace("/", " ")}`);
      }
      return undefined;
    },
  };
}

/** Of a reference that stays in its namespace. */
export function localReference(
  kinds: readonly ReferenceKind[],
  notYet: readonly ReferenceKind[] = [],
): Shape<Reference> {
  const anywhere = reference(kinds, notYet);
  return {
    fields: { ...anywhere.fields, namespace: accepted },
    read(node) {
      const namespace = node.at("namespace");
      if (namespace.value !== undefined)
        namespace.error("a target is always in the document's own namespace", "", "key");
      return namespace.value === undefined ? anywhere.read(node) : undefined;
    },
  };
}
