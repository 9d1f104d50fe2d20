/**
 * From the model to xDS v3, in the shape of proxyless gRPC: a Listener per authority, and per service port a
 * RouteConfiguration, a Cluster and a ClusterLoadAssignment that all bear its {@link PortKey}. What xDS has no field for
 * travels in messages of our own where others do not look. The same input always gives the same bytes, because a
 * resource's version is the hash of its bytes.
 */
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { anyPack, durationFromMs } from "@bufbuild/protobuf/wkt";

import type { BackendPolicy } from "../model/backend-policy.ts";
import { type Endpoint, type EndpointHealth, endpointKey, type Locality } from "../model/endpoint.ts";
import type { Route, StringMatch } from "../model/route.ts";
import type { PortKey, ServicePort } from "../model/service.ts";
import { ClusterSchema, Cluster_DiscoveryType } from "./gen/envoy/config/cluster/v3/cluster_pb.ts";
import { ApiVersion, type ConfigSourceSchema } from "./gen/envoy/config/core/v3/config_source_pb.ts";
import { HealthStatus } from "./gen/envoy/config/core/v3/health_check_pb.ts";
import type {
  LbEndpointSchema,
  LocalityLbEndpointsSchema,
} from "./gen/envoy/config/endpoint/v3/endpoint_components_pb.ts";
import { ClusterLoadAssignmentSchema } from "./gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { ListenerSchema } from "./gen/envoy/config/listener/v3/listener_pb.ts";
import type {
  HeaderMatcherSchema,
  RouteMatchSchema,
  RouteSchema,
} from "./gen/envoy/config/route/v3/route_components_pb.ts";
import { RouteConfigurationSchema } from "./gen/envoy/config/route/v3/route_pb.ts";
import { RouterSchema } from "./gen/envoy/extensions/filters/http/router/v3/router_pb.ts";
import { HttpConnectionManagerSchema } from "./gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import type { StringMatcherSchema } from "./gen/envoy/type/matcher/v3/string_pb.ts";
import {
  BackendPolicyExtensionSchema,
  EndpointExtensionSchema,
  ServicePortExtensionSchema,
} from "./gen/heddle/xds/v1/extensions_pb.ts";
import { EXTENSION_KEY } from "./resource-types.ts";

const UINT32_MAX = 0xffff_ffff;

const ads: MessageInitShape<typeof ConfigSourceSchema> = {
  configSourceSpecifier: { case: "ads", value: {} },
  resourceApiVersion: ApiVersion.V3,
};

type RouteSpecifier = MessageInitShape<typeof HttpConnectionManagerSchema>["routeSpecifier"];

function httpConnectionManager(statPrefix: string, routeSpecifier: RouteSpecifier) {
  const router = anyPack(RouterSchema, create(RouterSchema));
  return anyPack(
    HttpConnectionManagerSchema,
    create(HttpConnectionManagerSchema, {
      statPrefix,
      ...(routeSpecifier && { routeSpecifier }),
      // gRPC insists on the router as the last filter.
      httpFilters: [{ name: "envoy.filters.http.router", configType: { case: "typedConfig", value: router } }],
    }),
  );
}

/** @param name the authority that the caller wrote */
export function encodeListener(
  name: string,
  key: PortKey,
  service: { readonly name: string; readonly namespace: string },
  port: ServicePort,
): Uint8Array<ArrayBuffer> {
  const extension = create(ServicePortExtensionSchema, {
    service: service.name,
    namespace: service.namespace,
    portName: port.name,
    port: port.port,
    protocol: port.protocol,
  });
  return toBinary(
    ListenerSchema,
    create(ListenerSchema, {
      name,
      metadata: { typedFilterMetadata: { [EXTENSION_KEY]: anyPack(ServicePortExtensionSchema, extension) } },
      apiListener: {
        apiListener: httpConnectionManager(key, {
          case: "rds",
          value: { configSource: ads, routeConfigName: key },
        }),
      },
    }),
  );
}

/**
 * A Listener that has no route for any call, so all fail at once with UNAVAILABLE. A gRPC client cannot be told over
 * state-of-the-world xDS that a name does not exist; it would hold its calls for 15 s, and grpc-js 1.14 even until their
 * deadline, as it also does for a route configuration without a virtual host.
 */
export function encodeUnknownListener(name: string): Uint8Array<ArrayBuffer> {
  return toBinary(
    ListenerSchema,
    create(ListenerSchema, {
      name,
      apiListener: {
        apiListener: httpConnectionManager("unknown", {
          case: "routeConfig",
          value: {
            name: `the mesh has no service "${name}"`,
            virtualHosts: [{ name: "unknown", domains: ["*"] }],
          },
        }),
      },
    }),
  );
}

export function encodeRoutes(key: PortKey, routes: readonly Route[]): Uint8Array<ArrayBuffer> {
  return toBinary(
    RouteConfigurationSchema,
    create(RouteConfigurationSchema, {
      name: key,
      virtualHosts: [{ name: key, domains: ["*"], routes: routes.map(encodeRoute) }],
    }),
  );
}

function encodeRoute(route: Route): MessageInitShape<typeof RouteSchema> {
  const timeout = durationFromMs(Math.round(route.timeoutMs));
  const totalWeight = route.backends.reduce((sum, { weight }) => sum + weight, 0);
  return {
    name: route.name,
    match: { pathSpecifier: encodePath(route.match.path), headers: encodeHeaderMatches(route) },
    action: {
      case: "route",
      value: {
        clusterSpecifier: {
          case: "weightedClusters",
          value: { clusters: route.backends.map(({ backend, weight }) => ({ name: backend, weight })), totalWeight },
        },
        timeout,
        ...(route.timeoutMs > 0 && { maxStreamDuration: { maxStreamDuration: timeout } }),
      },
    },
  };
}

type PathSpecifier = NonNullable<MessageInitShape<typeof RouteMatchSchema>["pathSpecifier"]>;

function encodePath({ kind, value }: StringMatch): PathSpecifier {
  if (kind === "exact") return { case: "path", value };
  if (kind === "prefix") return { case: "prefix", value };
  return { case: "safeRegex", value: { regex: value } };
}

function encodeHeaderMatches({ match }: Route): MessageInitShape<typeof HeaderMatcherSchema>[] {
  const headers = match.headers.map(({ name, value }): MessageInitShape<typeof HeaderMatcherSchema> => ({
    name,
    headerMatchSpecifier:
      value === undefined
        ? { case: "presentMatch", value: true }
        : { case: "stringMatch", value: encodeStringMatch(value) },
  }));
  if (match.method === "") return headers;
  const method = encodeStringMatch({ kind: "exact", value: match.method });
  return [{ name: ":method", headerMatchSpecifier: { case: "stringMatch", value: method } }, ...headers];
}

function encodeStringMatch({ kind, value }: StringMatch): MessageInitShape<typeof StringMatcherSchema> {
  if (kind === "regex") return { matchPattern: { case: "safeRegex", value: { regex: value } } };
  return { matchPattern: { case: kind, value } };
}

export function encodeCluster(key: PortKey, policy: BackendPolicy): Uint8Array<ArrayBuffer> {
  const extension = create(BackendPolicyExtensionSchema, {
    failfastTimeout: durationFromMs(Math.round(policy.failfastTimeoutMs)),
  });
  return toBinary(
    ClusterSchema,
    create(ClusterSchema, {
      name: key,
      clusterDiscoveryType: { case: "type", value: Cluster_DiscoveryType.EDS },
      edsClusterConfig: { edsConfig: ads, serviceName: key },
      connectTimeout: durationFromMs(Math.round(policy.connectTimeoutMs)),
      circuitBreakers: {
        thresholds: [{ maxPendingRequests: policy.queueCapacity, maxRequests: policy.maxInFlight }],
      },
      metadata: { typedFilterMetadata: { [EXTENSION_KEY]: anyPack(BackendPolicyExtensionSchema, extension) } },
    }),
  );
}

/** Endpoints are sorted by locality and address, and of several with one address the first is taken. */
export function encodeEndpoints(key: PortKey, endpoints: readonly Endpoint[]): Uint8Array<ArrayBuffer> {
  const distinct = new Map<string, Endpoint>();
  for (const endpoint of endpoints) {
    const address = endpointKey(endpoint);
    if (!distinct.has(address)) distinct.set(address, endpoint);
  }
  const localities = new Map<string, [string, Endpoint][]>();
  for (const entry of distinct) {
    const name = localityKey(entry[1].locality);
    const group = localities.get(name);
    if (group === undefined) localities.set(name, [entry]);
    else group.push(entry);
  }
  const groups = [...localities].sort(byKey).map(([, group]) => group.sort(byKey).map(([, endpoint]) => endpoint));
  const weights = localityWeights(groups);
  return toBinary(
    ClusterLoadAssignmentSchema,
    create(ClusterLoadAssignmentSchema, {
      clusterName: key,
      endpoints: groups.map((group, index) => encodeLocality(group, weights[index] ?? 0)),
    }),
  );
}

function byKey(a: readonly [string, unknown], b: readonly [string, unknown]): number {
  return a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
}

function localityKey({ region, zone, subZone }: Locality): string {
  return JSON.stringify([region, zone, subZone]);
}

/**
 * The share of each locality: the weights of its healthy endpoints, together, scaled down if all of them exceed 32 bits,
 * as both gRPC and Envoy demand.
 */
function localityWeights(groups: readonly (readonly Endpoint[])[]): number[] {
  const sums = groups.map((group) =>
    group.reduce((sum, { health, weight }) => (health === "healthy" ? sum + weight : sum), 0),
  );
  const total = sums.reduce((sum, weight) => sum + weight, 0);
  if (total <= UINT32_MAX) return sums;
  const scale = (UINT32_MAX - sums.length) / total;
  return sums.map((sum) => (sum === 0 ? 0 : Math.max(1, Math.floor(sum * scale))));
}

function encodeLocality(
  group: readonly Endpoint[],
  weight: number,
): MessageInitShape<typeof LocalityLbEndpointsSchema> {
  return {
    ...(group[0] && { locality: group[0].locality }),
    lbEndpoints: group.map(encodeEndpoint),
    // Without a weight a locality gets nothing; Envoy refuses 0.
    ...(weight > 0 && { loadBalancingWeight: weight }),
  };
}

const HEALTH: Record<EndpointHealth, HealthStatus> = {
  healthy: HealthStatus.HEALTHY,
  unhealthy: HealthStatus.UNHEALTHY,
  draining: HealthStatus.DRAINING,
};

function encodeEndpoint(endpoint: Endpoint): MessageInitShape<typeof LbEndpointSchema> {
  const extension = create(EndpointExtensionSchema, {
    workload: endpoint.workload,
    labels: Object.fromEntries(Object.entries(endpoint.labels).sort(byKey)),
    meshed: endpoint.meshed,
    identity: endpoint.identity,
  });
  const socketAddress = {
    address: endpoint.address,
    portSpecifier: { case: "portValue" as const, value: endpoint.port },
  };
  return {
    hostIdentifier: {
      case: "endpoint",
      value: { address: { address: { case: "socketAddress", value: socketAddress } } },
    },
    healthStatus: HEALTH[endpoint.health],
    loadBalancingWeight: endpoint.weight,
    metadata: { typedFilterMetadata: { [EXTENSION_KEY]: anyPack(EndpointExtensionSchema, extension) } },
  };
}
