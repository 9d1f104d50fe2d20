/** How Linkerd's documents name others: by group, kind and name (gateway-api's reference types). */
import { namespaceName, resourceName } from "../kubernetes.ts";
import { defaulted, mapping, optional, type Read, type Node, refused, required, type Shape, text } from "../shape.ts";

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

const named = {
  group: defaulted(text("the group of a kind", /^/), ""),
  kind: required(text("a kind")),
  name: required(resourceName),
};

/**
 * A reference to one of some kinds.
 *
 * @param notYet kinds that Linkerd takes there and Heddle does not
 */
export function reference(kinds: readonly ReferenceKind[], notYet: readonly ReferenceKind[] = []): Shape<Reference> {
  return ofKinds(mapping({ ...named, namespace: optional(namespaceName) }), kinds, notYet);
}

/** One that stays in the namespace of the document. */
export function localReference(
  kinds: readonly ReferenceKind[],
  notYet: readonly ReferenceKind[] = [],
): Shape<Reference> {
  const namespace = refused("a target is always in the document's own namespace");
  return ofKinds(mapping({ ...named, namespace }), kinds, notYet);
}

function ofKinds(
  shape: Shape<Reference>,
  kinds: readonly ReferenceKind[],
  notYet: readonly ReferenceKind[],
): Shape<Reference> {
  return {
    fields: shape.fields,
    read(node: Node): Read<Reference> {
      const read = shape.read(node);
      if (read === undefined) return undefined;
      const { group, kind } = read.value;
      const written: ReferenceKind = `${group === "" ? "core" : group}/${kind}`;
      if (kinds.includes(written)) return { value: { ...read.value, group: group === "core" ? "" : group } };
      if (notYet.includes(written)) node.error(`a reference to a kind that is not supported yet: ${kind} of ${group}`);
      else {
        const known = kinds.map((one) => one.replace("/", " ")).join(", ");
        node.error(`expected a reference to one of ${known}; found ${written.replace("/", " ")}`);
      }
      return undefined;
    },
  };
}
