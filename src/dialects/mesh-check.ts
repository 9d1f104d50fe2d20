/** What documents mean to the mesh of one mesh.yaml: those that are about nobody, and names that it does not have. */
import { closest } from "./closest.ts";
import type { Diagnostic } from "./diagnostic.ts";
import { isAboutTls } from "./istio/compile-tls.ts";
import { isAbout } from "./istio/compile.ts";
import { portsOf } from "./linkerd/compile.ts";
import type { Resource } from "./resource.ts";
import type { ResourceSet } from "./resource-index.ts";
import { isDestination } from "./smi/compile.ts";
import type { PolicySettings, PolicyTarget } from "./target.ts";

/** Warnings only: services may join later, and authorizers be named later. */
export function checkAgainstMesh(
  resources: ResourceSet,
  targets: readonly PolicyTarget[],
  settings: PolicySettings,
): readonly Diagnostic[] {
  return [...aboutNobody(resources, targets, settings), ...unknownProviders(resources, settings)];
}

/** Mostly a namespace or a label was meant otherwise. Documents that only others name are about nobody by themselves. */
function aboutNobody(
  { all }: ResourceSet,
  targets: readonly PolicyTarget[],
  settings: PolicySettings,
): readonly Diagnostic[] {
  const namespaces = [...new Set(targets.map(({ namespace }) => namespace))];
  return all
    .filter((resource) => !targets.some((target) => isAboutTarget(resource, target, settings)))
    .map((resource) => {
      const { namespace } = resource.origin;
      const there = namespaces.map((one) => `"${one}"`).join(", ");
      const hint = namespaces.includes(namespace) ? "" : `its namespace is "${namespace}", theirs ${there}`;
      return warning(resource, "", "it is about none of the services of mesh.yaml", hint);
    });
}

function unknownProviders(resources: ResourceSet, { providers }: PolicySettings): readonly Diagnostic[] {
  const known = providers.map(({ name }) => name);
  return resources
    .of("security.istio.io/AuthorizationPolicy")
    .filter(({ spec }) => spec.action === "CUSTOM" && !known.includes(spec.provider))
    .map((policy) => {
      const { provider } = policy.spec;
      const near = closest(provider, known);
      const hint = near === undefined ? "name it under policy.authorizers" : `did you mean "${near}"?`;
      const message = `mesh.yaml has no authorizer "${provider}", so the calls that it would be asked about are refused`;
      return warning(policy, "spec.provider.name", message, hint);
    });
}

function warning({ origin: { file, line } }: Resource, field: string, message: string, hint: string): Diagnostic {
  return { severity: "warning", file, line, column: 1, field, message, hint };
}

function isAboutTarget(resource: Resource, target: PolicyTarget, settings: PolicySettings): boolean {
  switch (resource.type) {
    case "policy.linkerd.io/Server":
      return portsOf(resource, target).length > 0;
    case "security.istio.io/PeerAuthentication":
      return isAboutTls(resource, target, settings.rootNamespace);
    case "security.istio.io/AuthorizationPolicy":
    case "security.istio.io/RequestAuthentication":
      return isAbout(resource, target, settings);
    case "access.smi-spec.io/TrafficTarget":
      return isDestination(resource, target);
    case "consul/service-intentions": {
      const { destination } = resource.spec;
      const served = destination === "*" || target.ports.some(({ service }) => service === destination);
      return served && resource.origin.namespace === target.namespace;
    }
    case "policy.linkerd.io/ServerAuthorization":
    case "policy.linkerd.io/AuthorizationPolicy":
    case "policy.linkerd.io/MeshTLSAuthentication":
    case "policy.linkerd.io/NetworkAuthentication":
    case "policy.linkerd.io/HTTPLocalRateLimitPolicy":
    case "specs.smi-spec.io/HTTPRouteGroup":
    case "specs.smi-spec.io/TCPRoute":
      return true;
  }
}
