/** Linkerd's AuthorizationPolicy: who may call a Server, or all Servers of the namespace. */
import { kubernetesDocument } from "../kubernetes.ts";
import { list, mapping, required } from "../shape.ts";
import { localReference, reference, type Reference } from "./references.ts";

export interface AuthorizationPolicy {
  /** A Server, or every Server of the namespace, which must be the document's own. */
  readonly target: { readonly kind: "Server" | "Namespace"; readonly name: string };
  /** All of them must hold; without any everybody is allowed. */
  readonly required: readonly Reference[];
}

const SERVER = "policy.linkerd.io/Server";
const MESH_TLS = "policy.linkerd.io/MeshTLSAuthentication";
const NETWORK = "policy.linkerd.io/NetworkAuthentication";
const ROUTES = [
  "policy.linkerd.io/HTTPRoute",
  "gateway.networking.k8s.io/HTTPRoute",
  "gateway.networking.k8s.io/GRPCRoute",
] as const;

const spec = mapping(
  {
    targetRef: required(localReference([SERVER, "core/Namespace"], ROUTES)),
    requiredAuthenticationRefs: required(
      list("a list of references", reference([MESH_TLS, NETWORK, "core/ServiceAccount"])),
    ),
  },
  ({ requiredAuthenticationRefs: references }, node) => {
    const identities = references.filter(({ kind }) => kind !== "NetworkAuthentication").length;
    const networks = references.length - identities;
    const at = node.at("requiredAuthenticationRefs");
    if (identities > 1) {
      at.error("expected at most one MeshTLSAuthentication or ServiceAccount, since all must hold; found more");
    }
    if (networks > 1) at.error("expected at most one NetworkAuthentication, since all must hold; found more");
  },
);

export const authorizationPolicy = kubernetesDocument(
  { spec: required(spec) },
  ({ spec: { targetRef, requiredAuthenticationRefs } }): AuthorizationPolicy => ({
    target: { kind: targetRef.kind === "Namespace" ? "Namespace" : "Server", name: targetRef.name },
    required: requiredAuthenticationRefs,
  }),
);
