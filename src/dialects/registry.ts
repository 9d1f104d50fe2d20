/**
 * Every kind of document that Heddle knows, and text of any of them to resources. A kind of a family that Heddle knows
 * and does not obey is refused by its name.
 */
import { serviceIntentions } from "./consul/service-intentions.ts";
import { closest } from "./closest.ts";
import type { Diagnostic } from "./diagnostic.ts";
import { authorizationPolicy as istioAuthorizationPolicy } from "./istio/authorization-policy.ts";
import { peerAuthentication } from "./istio/peer-authentication.ts";
import { requestAuthentication } from "./istio/request-authentication.ts";
import { meshTlsAuthentication, networkAuthentication } from "./linkerd/authentication.ts";
import { authorizationPolicy as linkerdAuthorizationPolicy } from "./linkerd/authorization-policy.ts";
import { httpLocalRateLimit } from "./linkerd/rate-limit.ts";
import { serverAuthorization } from "./linkerd/server-authorization.ts";
import { olderServer, server } from "./linkerd/server.ts";
import type { Resource, ResourceType, Specs } from "./resource.ts";
import type { ResourceText } from "./resource-text.ts";
import { isMapping, knownHint, Node, type Shape } from "./shape.ts";
import { httpRouteGroup, tcpRoute } from "./smi/route-group.ts";
import { trafficTarget, trafficTargetV1alpha1, trafficTargetV1alpha2 } from "./smi/traffic-target.ts";
import { parseYamlStream } from "./yaml-document.ts";

/** Each kind's document by its version; those of Consul's entries have one, called "". */
export const KINDS: { readonly [T in ResourceType]: Readonly<Record<string, Shape<ResourceText<Specs[T]>>>> } = {
  "policy.linkerd.io/Server": { v1beta1: olderServer, v1beta2: olderServer, v1beta3: server },
  "policy.linkerd.io/ServerAuthorization": { v1beta1: serverAuthorization },
  "policy.linkerd.io/AuthorizationPolicy": { v1alpha1: linkerdAuthorizationPolicy },
  "policy.linkerd.io/MeshTLSAuthentication": { v1alpha1: meshTlsAuthentication },
  "policy.linkerd.io/NetworkAuthentication": { v1alpha1: networkAuthentication },
  "policy.linkerd.io/HTTPLocalRateLimitPolicy": { v1alpha1: httpLocalRateLimit },
  "security.istio.io/PeerAuthentication": { v1: peerAuthentication, v1beta1: peerAuthentication },
  "security.istio.io/AuthorizationPolicy": { v1: istioAuthorizationPolicy, v1beta1: istioAuthorizationPolicy },
  "security.istio.io/RequestAuthentication": { v1: requestAuthentication, v1beta1: requestAuthentication },
  "access.smi-spec.io/TrafficTarget": {
    v1alpha1: trafficTargetV1alpha1,
    v1alpha2: trafficTargetV1alpha2,
    v1alpha3: trafficTarget,
  },
  "specs.smi-spec.io/HTTPRouteGroup": { v1alpha3: httpRouteGroup, v1alpha4: httpRouteGroup },
  "specs.smi-spec.io/TCPRoute": { v1alpha3: tcpRoute, v1alpha4: tcpRoute },
  "consul/service-intentions": { "": serviceIntentions },
};

/** Kinds of the same families that are not obeyed yet, by group. */
export const NOT_YET: Readonly<Record<string, readonly string[]>> = {
  "policy.linkerd.io": ["HTTPRoute", "EgressNetwork"],
  "linkerd.io": ["ServiceProfile"],
  "multicluster.linkerd.io": ["Link"],
  "workload.linkerd.io": ["ExternalWorkload"],
  "networking.istio.io": [
    "VirtualService",
    "DestinationRule",
    "ServiceEntry",
    "WorkloadEntry",
    "WorkloadGroup",
    "Sidecar",
    "Gateway",
    "EnvoyFilter",
    "ProxyConfig",
  ],
  "telemetry.istio.io": ["Telemetry"],
  "extensions.istio.io": ["WasmPlugin"],
  "gateway.networking.k8s.io": [
    "GatewayClass",
    "Gateway",
    "HTTPRoute",
    "GRPCRoute",
    "TLSRoute",
    "TCPRoute",
    "UDPRoute",
    "ReferenceGrant",
    "BackendTLSPolicy",
  ],
  "access.smi-spec.io": ["IdentityBinding"],
  "specs.smi-spec.io": ["UDPRoute"],
  "split.smi-spec.io": ["TrafficSplit"],
  "metrics.smi-spec.io": ["TrafficMetrics"],
  "consul.hashicorp.com": [
    "ServiceIntentions",
    "ServiceDefaults",
    "ServiceResolver",
    "ServiceRouter",
    "ServiceSplitter",
    "ProxyDefaults",
    "Mesh",
    "ExportedServices",
    "JWTProvider",
    "IngressGateway",
    "TerminatingGateway",
    "SamenessGroup",
    "ControlPlaneRequestLimit",
    "Registration",
  ],
  consul: [
    "service-router",
    "service-splitter",
    "service-resolver",
    "service-defaults",
    "proxy-defaults",
    "mesh",
    "exported-services",
    "sameness-group",
    "jwt-provider",
    "ingress-gateway",
    "terminating-gateway",
    "api-gateway",
    "bound-api-gateway",
    "http-route",
    "tcp-route",
    "inline-certificate",
    "file-system-certificate",
    "control-plane-request-limit",
  ],
};

/** Documents in the lists (`kind: List`) of one file. */
export const LIST_ITEMS_MAX = 1_000;

/** Characters of a line that tell HCL from YAML. */
const HCL_LOOKED_AT = 256;

export interface ParsedResources {
  readonly resources: readonly Resource[];
  /** In the order of the text. If one of them is an error, the file as a whole is of no use. */
  readonly diagnostics: readonly Diagnostic[];
}

/**
 * Reads YAML or JSON with any number of documents. Never throws.
 *
 * @param file what diagnostics and origins call the file
 * @param namespace the namespace of documents that say none, as kubectl takes that of its context
 */
export function parseResources(text: string, file: string, namespace = "default"): ParsedResources {
  if (file.endsWith(".hcl") || isHcl(text)) {
    const message = "not supported: HCL; Consul's entries are read as YAML and JSON";
    const hint = "consul config read prints an entry as JSON";
    return { resources: [], diagnostics: [{ severity: "error", file, line: 1, column: 1, field: "", message, hint }] };
  }
  const diagnostics: Diagnostic[] = [];
  const resources: Resource[] = [];
  for (const document of parseYamlStream(text, file)) {
    diagnostics.push(...document.diagnostics);
    if (document.diagnostics.length > 0) continue;
    const root = new Node(document, file, diagnostics, [], document.value);
    for (const node of documentsIn(root)) {
      const before = diagnostics.length;
      const resource = readResource(node, file, namespace);
      const good = diagnostics.slice(before).every(({ severity }) => severity !== "error");
      if (resource !== undefined && good) resources.push(resource);
    }
  }
  diagnostics.sort((a, b) => a.line - b.line || a.column - b.column);
  return { resources, diagnostics };
}

/** Consul's own language, by the first line that is no comment. */
function isHcl(text: string): boolean {
  let start = 0;
  while (start < text.length) {
    const found = text.indexOf("\n", start);
    const end = found < 0 ? text.length : found;
    const line = text.slice(start, Math.min(end, start + HCL_LOOKED_AT)).trimStart();
    if (line !== "" && !line.startsWith("#") && !line.startsWith("//")) return /^Kind\s*=/.test(line);
    start = end + 1;
  }
  return false;
}

/** The document itself, or what it lists (`kind: List`, as kubectl writes it). */
function documentsIn(root: Node): readonly Node[] {
  if (root.at("kind").value !== "List" || root.at("apiVersion").value !== "v1") return [root];
  const known = ["apiVersion", "kind", "metadata", "items"];
  for (const key of Object.keys(root.value as object)) {
    if (!known.includes(key)) root.at(key).error(`unknown field "${key}"`, knownHint(key, known), "key");
  }
  const items = root.at("items");
  if (!Array.isArray(items.value)) {
    items.unexpected("a list of documents");
    return [];
  }
  const { length } = items.value;
  if (length <= LIST_ITEMS_MAX) return Array.from({ length }, (_, i) => items.at(i));
  items.error(`${length} documents; at most ${LIST_ITEMS_MAX} are read`, "split it into several files");
  return [];
}

function readResource(node: Node, file: string, namespace: string): Resource | undefined {
  const found = kindOf(node);
  if (found === undefined) return undefined;
  const { type, version } = found;
  const shape: Shape<ResourceText<unknown>> | undefined = KINDS[type][version];
  const read = shape?.read(node);
  if (read === undefined) return undefined;
  const { name, labels, spec } = read.value;
  const [group, kind] = type.split("/");
  const origin = {
    kind: version === "" ? type : `${group}/${version}/${kind}`,
    namespace: read.value.namespace ?? namespace,
    name,
    file,
    line: node.line,
  };
  // The shape of a type reads what the type's resources hold: KINDS says so.
  return { type, origin, labels, spec } as Resource;
}

/** By `apiVersion` and `kind`, or by Consul's `Kind`; undefined if it is none that Heddle knows, which is reported. */
function kindOf(node: Node): { type: ResourceType; version: string } | undefined {
  if (!isMapping(node.value)) return node.unexpected('a document with "apiVersion" and "kind", or with "Kind"');
  const consul = node.at("Kind");
  if (!consul.absent) return named(consul, consul, "consul", "");
  const apiVersion = node.at("apiVersion");
  const kind = node.at("kind");
  if (apiVersion.absent && kind.absent && "services" in node.value) {
    node.error("this is a mesh.yaml, not a document that it names", "keep documents in a folder of their own");
    return undefined;
  }
  for (const part of [apiVersion, kind]) {
    if (typeof part.value === "string") continue;
    const what =
      part === kind ? 'the kind of the document, like "PeerAuthentication"' : 'text like "security.istio.io/v1"';
    return part.unexpected(what, part.absent ? 'documents have "apiVersion" and "kind", Consul\'s have "Kind"' : "");
  }
  const [, group = "", version = ""] = /^(?:([^/]*)\/)?(.*)$/s.exec(String(apiVersion.value)) ?? [];
  return named(kind, apiVersion, group, version);
}

function named(kind: Node, apiVersion: Node, group: string, version: string) {
  const word = String(kind.value);
  const types = Object.keys(KINDS) as ResourceType[];
  const type = types.find((known) => known === `${group}/${word}`);
  if (type !== undefined) {
    if (Object.hasOwn(KINDS[type], version)) return { type, version };
    const versions = Object.keys(KINDS[type]).map((known) => `"${group}/${known}"`);
    return apiVersion.unexpected(`${versions.length > 1 ? "one of " : ""}${versions.join(", ")} for ${word}`);
  }
  const later = Object.hasOwn(NOT_YET, group) ? (NOT_YET[group] ?? []) : undefined;
  if (later?.includes(word) === true) {
    kind.error(`${word} of ${group} is not supported yet`);
    return undefined;
  }
  const owner = types.find((known) => known.endsWith(`/${word}`))?.split("/", 1)[0];
  const hint = (known: readonly string[]): string =>
    owner === undefined ? knownHint(word, known) : `${word} belongs to ${owner}`;
  const kinds = types.filter((known) => known.startsWith(`${group}/`)).map((known) => known.slice(group.length + 1));
  if (kinds.length > 0 || later !== undefined) {
    kind.error(`unknown kind ${word} of ${group}`, hint([...kinds, ...(later ?? [])]));
    return undefined;
  }
  const groups = [...new Set([...types.map((known) => known.split("/", 1)[0] ?? ""), ...Object.keys(NOT_YET)])];
  const near = closest(group, groups);
  const meant =
    near === undefined ? "known are documents of Linkerd, Istio, SMI and Consul" : `did you mean "${near}"?`;
  const what = group === "" ? "Kubernetes' own kinds are" : `the kinds of ${group} are`;
  apiVersion.error(`${what} not read; found ${word}`, owner === undefined ? meant : hint([]));
  return undefined;
}
