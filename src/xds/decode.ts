/**
 * From xDS v3 to the model: the inverse of `encode.ts`, and a judge. What a proxy could not obey is refused with a
 * {@link ResourceError} that names the field, so that the last good state stays.
 */
import { isIP } from "node:net";

import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { type Any, anyUnpack, type Duration, durationMs } from "@bufbuild/protobuf/wkt";

import type { BackendPolicy } from "../model/backend-policy.ts";
import { type Endpoint, type EndpointHealth, endpointKey } from "../model/endpoint.ts";
import type { HeaderMatch, Route, RouteMatch, StringMatch, WeightedBackend } from "../model/route.ts";
import { parsePortKey, PORT_PROTOCOLS, type PortKey, type ServicePort } from "../model/service.ts";
import { parseAddressAuthority } from "./address.ts";
import { ClusterSchema, Cluster_DiscoveryType } from "./gen/envoy/config/cluster/v3/cluster_pb.ts";
import type { Metadata } from "./gen/envoy/config/core/v3/base_pb.ts";
import { HealthStatus } from "./gen/envoy/config/core/v3/health_check_pb.ts";
import type { LbEndpoint, LocalityLbEndpoints } from "./gen/envoy/config/endpoint/v3/endpoint_components_pb.ts";
import { ClusterLoadAssignmentSchema } from "./gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { ListenerSchema } from "./gen/envoy/config/listener/v3/listener_pb.ts";
import type {
  HeaderMatcher,
  Route as RouteMessage,
  RouteMatch as RouteMatchMessage,
} from "./gen/envoy/config/route/v3/route_components_pb.ts";
import { RouteConfigurationSchema } from "./gen/envoy/config/route/v3/route_pb.ts";
import { HttpConnectionManagerSchema } from "./gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import type { StringMatcher } from "./gen/envoy/type/matcher/v3/string_pb.ts";
import {
  BackendPolicyExtensionSchema,
  EndpointExtensionSchema,
  ServicePortExtensionSchema,
} from "./gen/heddle/xds/v1/extensions_pb.ts";
import { EXTENSION_KEY } from "./resource-types.ts";

const WEIGHT_MAX = 1_000_000;

/** A resource that cannot be obeyed. The message begins with the field: "virtual_hosts[0].routes[2].match: …". */
export class ResourceError extends Error {
  override name = "ResourceError";

  constructor(field: string, problem: string) {
    super(`${field}: ${problem}`);
  }
}

export interface DecodedListener {
  /** The authority. */
  readonly name: string;
  readonly service: string;
  readonly namespace: string;
  readonly port: ServicePort;
  /** The name of its RouteConfiguration. */
  readonly routes: PortKey;
}

export interface DecodedRoutes {
  readonly name: PortKey;
  readonly routes: readonly Route[];
}

export interface DecodedCluster {
  readonly name: PortKey;
  readonly policy: BackendPolicy;
}

export interface DecodedEndpoints {
  readonly name: PortKey;
  readonly endpoints: readonly Endpoint[];
}

/** @throws {@link ResourceError} */
export function decodeListener(bytes: Uint8Array): DecodedListener {
  const listener = parse(ListenerSchema, bytes);
  if (listener.name === "") throw new ResourceError("name", "missing");
  const packed = listener.apiListener?.apiListener;
  if (packed === undefined) throw new ResourceError("api_listener.api_listener", "missing");
  const manager = unpack(HttpConnectionManagerSchema, packed, "api_listener.api_listener");
  if (manager.routeSpecifier.case !== "rds") {
    throw new ResourceError("api_listener.api_listener.rds", "missing; routes must come over RDS");
  }
  const rds = manager.routeSpecifier.value;
  if (rds.configSource?.configSourceSpecifier.case !== "ads") {
    throw new ResourceError("api_listener.api_listener.rds.config_source", "not ads");
  }
  const extension = unpackExtension(ServicePortExtensionSchema, listener.metadata, "metadata");
  const field = `metadata.typed_filter_metadata["${EXTENSION_KEY}"]`;
  const { service, namespace, portName, port } = extension;
  if (service === "" || namespace === "") throw new ResourceError(field, "service or namespace missing");
  const protocol = PORT_PROTOCOLS.find((known) => known === extension.protocol);
  if (protocol === undefined) throw new ResourceError(`${field}.protocol`, `unknown: "${extension.protocol}"`);
  return {
    name: listener.name,
    service,
    namespace,
    port: { name: portName, port: checkPort(`${field}.port`, port), protocol },
    routes: checkKey("api_listener.api_listener.rds.route_config_name", rds.routeConfigName),
  };
}

/** @throws {@link ResourceError} */
export function decodeRoutes(bytes: Uint8Array): DecodedRoutes {
  const message = parse(RouteConfigurationSchema, bytes);
  const [host, second] = message.virtualHosts;
  if (host === undefined || second !== undefined) {
    throw new ResourceError("virtual_hosts", `expected exactly 1, found ${message.virtualHosts.length}`);
  }
  if (host.domains.join() !== "*") throw new ResourceError("virtual_hosts[0].domains", 'expected exactly "*"');
  const routes = host.routes.map((route, index) => decodeRoute(route, `virtual_hosts[0].routes[${index}]`));
  const names = new Set<string>();
  for (const [index, { name }] of routes.entries()) {
    if (names.has(name)) throw new ResourceError(`virtual_hosts[0].routes[${index}].name`, `"${name}" occurs twice`);
    names.add(name);
  }
  return { name: checkKey("name", message.name), routes };
}

function decodeRoute(route: RouteMessage, field: string): Route {
  if (route.name === "") throw new ResourceError(`${field}.name`, "missing");
  if (route.match === undefined) throw new ResourceError(`${field}.match`, "missing");
  if (route.action.case !== "route") throw new ResourceError(`${field}.route`, "missing");
  const action = route.action.value;
  return {
    name: route.name,
    match: decodeMatch(route.match, `${field}.match`),
    backends: decodeBackends(action.clusterSpecifier, `${field}.route.weighted_clusters`),
    timeoutMs: action.timeout === undefined ? 0 : milliseconds(`${field}.route.timeout`, action.timeout),
  };
}

function decodeMatch(match: RouteMatchMessage, field: string): RouteMatch {
  const headers = match.headers.map((header, index) => decodeHeaderMatch(header, `${field}.headers[${index}]`));
  const path = decodePath(match, field);
  const [first, ...others] = headers;
  if (first?.name !== ":method") return { path, method: "", headers };
  if (first.value?.kind !== "exact") throw new ResourceError(`${field}.headers[0]`, ":method must match exactly");
  return { path, method: first.value.value, headers: others };
}

function decodePath({ pathSpecifier }: RouteMatchMessage, field: string): StringMatch {
  if (pathSpecifier.case === "path") return { kind: "exact", value: pathSpecifier.value };
  if (pathSpecifier.case === "prefix") return { kind: "prefix", value: pathSpecifier.value };
  if (pathSpecifier.case === "safeRegex") return { kind: "regex", value: pathSpecifier.value.regex };
  throw new ResourceError(`${field}.path_specifier`, "none that Heddle knows (prefix, path, safe_regex)");
}

function decodeHeaderMatch(header: HeaderMatcher, field: string): HeaderMatch {
  const { name, headerMatchSpecifier: specifier } = header;
  if (name === "" || name !== name.toLowerCase()) throw new ResourceError(`${field}.name`, `not lower case: "${name}"`);
  if (header.invertMatch) throw new ResourceError(`${field}.invert_match`, "not supported");
  if (specifier.case === "stringMatch") {
    return { name, value: decodeStringMatch(specifier.value, `${field}.string_match`) };
  }
  if (specifier.case !== "presentMatch") {
    throw new ResourceError(field, "no matcher that Heddle knows (present_match, string_match)");
  }
  if (!specifier.value) throw new ResourceError(`${field}.present_match`, "false is not supported");
  return { name, value: undefined };
}

function decodeStringMatch({ matchPattern: pattern }: StringMatcher, field: string): StringMatch {
  if (pattern.case === "safeRegex") return { kind: "regex", value: pattern.value.regex };
  if (pattern.case === undefined) {
    throw new ResourceError(field, "no pattern that Heddle knows (exact, prefix, safe_regex)");
  }
  return { kind: pattern.case, value: pattern.value };
}

type ClusterSpecifier = Extract<RouteMessage["action"], { case: "route" }>["value"]["clusterSpecifier"];

function decodeBackends(specifier: ClusterSpecifier, field: string): WeightedBackend[] {
  if (specifier.case === undefined) throw new ResourceError(field, "missing");
  const backends = specifier.value.clusters.map(({ name, weight = 0 }, index) => {
    if (weight > WEIGHT_MAX)
      throw new ResourceError(`${field}.clusters[${index}].weight`, `${weight} is over ${WEIGHT_MAX}`);
    return { backend: checkKey(`${field}.clusters[${index}].name`, name), weight };
  });
  if (!backends.some(({ weight }) => weight > 0)) throw new ResourceError(field, "no cluster with a weight above 0");
  return backends;
}

/** @throws {@link ResourceError} */
export function decodeCluster(bytes: Uint8Array): DecodedCluster {
  const cluster = parse(ClusterSchema, bytes);
  const name = checkKey("name", cluster.name);
  if (cluster.clusterDiscoveryType.value !== Cluster_DiscoveryType.EDS) throw new ResourceError("type", "not EDS");
  const eds = cluster.edsClusterConfig;
  if (eds?.edsConfig?.configSourceSpecifier.case !== "ads") {
    throw new ResourceError("eds_cluster_config.eds_config", "not ads");
  }
  if (eds.serviceName !== "" && eds.serviceName !== name) {
    throw new ResourceError("eds_cluster_config.service_name", `"${eds.serviceName}" is not the cluster's name`);
  }
  const [threshold] = cluster.circuitBreakers?.thresholds ?? [];
  if (threshold?.maxRequests === undefined || threshold.maxPendingRequests === undefined) {
    throw new ResourceError("circuit_breakers.thresholds[0]", "max_requests or max_pending_requests missing");
  }
  const extension = unpackExtension(BackendPolicyExtensionSchema, cluster.metadata, "metadata");
  return {
    name,
    policy: {
      connectTimeoutMs: milliseconds("connect_timeout", cluster.connectTimeout),
      maxInFlight: threshold.maxRequests,
      queueCapacity: threshold.maxPendingRequests,
      failfastTimeoutMs: milliseconds(
        `metadata.typed_filter_metadata["${EXTENSION_KEY}"].failfast_timeout`,
        extension.failfastTimeout,
      ),
    },
  };
}

/** @throws {@link ResourceError} */
export function decodeEndpoints(bytes: Uint8Array): DecodedEndpoints {
  const message = parse(ClusterLoadAssignmentSchema, bytes);
  const endpoints: Endpoint[] = [];
  const addresses = new Set<string>();
  for (const [index, group] of message.endpoints.entries()) {
    if (group.priority !== 0) throw new ResourceError(`endpoints[${index}].priority`, "only 0 is supported");
    for (const [at, member] of group.lbEndpoints.entries()) {
      const field = `endpoints[${index}].lb_endpoints[${at}]`;
      const endpoint = decodeEndpoint(member, group, field);
      const key = endpointKey(endpoint);
      if (addresses.has(key)) throw new ResourceError(`${field}.endpoint.address`, `${key} occurs twice`);
      addresses.add(key);
      endpoints.push(endpoint);
    }
  }
  return { name: checkKey("cluster_name", message.clusterName), endpoints };
}

function decodeEndpoint(message: LbEndpoint, { locality }: LocalityLbEndpoints, field: string): Endpoint {
  const address = message.hostIdentifier.value?.address?.address.value;
  if (address === undefined) throw new ResourceError(`${field}.endpoint.address.socket_address`, "missing");
  if (isIP(address.address) === 0) {
    throw new ResourceError(`${field}.endpoint.address.socket_address.address`, `no IP address: "${address.address}"`);
  }
  const extension = unpackExtension(EndpointExtensionSchema, message.metadata, `${field}.metadata`);
  const weight = message.loadBalancingWeight ?? 1;
  if (weight === 0) throw new ResourceError(`${field}.load_balancing_weight`, "0");
  return {
    address: address.address,
    port: checkPort(`${field}.endpoint.address.socket_address.port_value`, address.portSpecifier.value ?? 0),
    workload: extension.workload,
    locality: { region: locality?.region ?? "", zone: locality?.zone ?? "", subZone: locality?.subZone ?? "" },
    weight,
    health: decodeHealth(message.healthStatus),
    labels: extension.labels,
    meshed: extension.meshed,
    identity: extension.identity,
  };
}

/** Unknown counts as healthy (Envoy: never checked); DEGRADED is still served; a status of the future is not trusted. */
function decodeHealth(status: number): EndpointHealth {
  if (status === HealthStatus.HEALTHY || status === HealthStatus.UNKNOWN || status === HealthStatus.DEGRADED) {
    return "healthy";
  }
  return status === HealthStatus.DRAINING ? "draining" : "unhealthy";
}

/** @throws {@link ResourceError} */
export function parse<Desc extends DescMessage>(schema: Desc, bytes: Uint8Array): MessageShape<Desc> {
  try {
    return fromBinary(schema, bytes);
  } catch (error) {
    throw new ResourceError(
      schema.name,
      `no valid protobuf: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

function unpackExtension<Desc extends DescMessage>(
  schema: Desc,
  metadata: Metadata | undefined,
  field: string,
): MessageShape<Desc> {
  const at = `${field}.typed_filter_metadata["${EXTENSION_KEY}"]`;
  const packed = metadata?.typedFilterMetadata[EXTENSION_KEY];
  if (packed === undefined) throw new ResourceError(at, `missing; expected a ${schema.typeName}`);
  return unpack(schema, packed, at);
}

function unpack<Desc extends DescMessage>(schema: Desc, packed: Any, field: string): MessageShape<Desc> {
  let message: MessageShape<Desc> | undefined;
  try {
    message = anyUnpack(packed, schema);
  } catch (error) {
    throw new ResourceError(field, `no valid protobuf: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (message === undefined) throw new ResourceError(field, `expected a ${schema.typeName}, found "${packed.typeUrl}"`);
  return message;
}

/** @throws {@link ResourceError} */
export function milliseconds(field: string, duration: Duration | undefined): number {
  if (duration === undefined) throw new ResourceError(field, "missing");
  const value = durationMs(duration);
  if (value < 0) throw new ResourceError(field, `negative: ${value} ms`);
  return value;
}

/** @throws {@link ResourceError} */
export function checkPort(field: string, port: number): number {
  if (port < 1 || port > 65_535) throw new ResourceError(field, `not in 1 to 65535: ${port}`);
  return port;
}

/** A service's port, or an address that one endpoint of it is known by (`address.ts`). */
function checkKey(field: string, name: string): PortKey {
  if (parseAddressAuthority(name) !== undefined) return name;
  try {
    parsePortKey(name);
  } catch (error) {
    throw new ResourceError(field, error instanceof Error ? error.message : String(error));
  }
  return name;
}
