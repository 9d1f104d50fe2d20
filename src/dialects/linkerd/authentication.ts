/** Linkerd's MeshTLSAuthentication and NetworkAuthentication: callers that an AuthorizationPolicy may name. */
import type { Network } from "../../model/inbound-policy.ts";
import { kubernetesDocument, network } from "../kubernetes.ts";
import { defaulted, list, mapping, required, type Shape } from "../shape.ts";
import { reference, type Reference } from "./references.ts";

export interface MeshTlsAuthentication {
  /** Names as Linkerd writes them: whole, "*", "*.suffix", or a SPIFFE id. */
  readonly identities: readonly string[];
  readonly identityRefs: readonly Reference[];
}

export interface NetworkAuthentication {
  readonly networks: readonly Network[];
}

const DNS_NAME = /^(\*|[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?)(\.[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?)*$/;
const SPIFFE = /^spiffe:\/\/[a-z0-9._-]+(\/[A-Za-z0-9._-]+)*$/;

/** One identity as Linkerd's documents write it. */
export const identity: Shape<string> = {
  read(node) {
    const { value } = node;
    if (typeof value === "string" && value.length <= 2_048 && (DNS_NAME.test(value) || SPIFFE.test(value))) {
      return { value };
    }
    const hint = typeof value === "string" && value.includes("*") ? "a star stands first, and for whole labels" : "";
    return node.unexpected('an identity: a name, "*", "*.suffix" or "spiffe://…"', hint);
  },
};

export const meshTlsAuthentication = kubernetesDocument(
  {
    spec: required(
      mapping(
        {
          identities: defaulted(list("a list of identities", identity), []),
          identityRefs: defaulted(
            list("a list of references", reference(["core/ServiceAccount", "core/Namespace"])),
            [],
          ),
        },
        ({ identities, identityRefs }, node) => {
          if (identities.length + identityRefs.length === 0) {
            node.error("expected at least one entry in identities or identityRefs; found none");
          }
          identityRefs.forEach(({ kind, namespace }, i) => {
            if (kind !== "Namespace" || namespace === undefined) return;
            node.at("identityRefs", i, "namespace").error("a Namespace is in no namespace", "leave it out", "key");
          });
        },
      ),
    ),
  },
  ({ spec }): MeshTlsAuthentication => spec,
);

export const networkAuthentication = kubernetesDocument(
  { spec: required(mapping({ networks: required(list("a list of networks", network, { min: 1 })) })) },
  ({ spec }): NetworkAuthentication => spec,
);
