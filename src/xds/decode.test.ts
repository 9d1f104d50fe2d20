import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import * as fc from "fast-check";

import { defaultBackendPolicy } from "../model/backend-policy.ts";
import { decodeCluster, decodeEndpoints, decodeListener, decodeRoutes, ResourceError } from "./decode.ts";
import { encodeCluster, encodeEndpoints, encodeListener, encodeRoutes, encodeUnknownListener } from "./encode.ts";
import { type Cluster, ClusterSchema } from "./gen/envoy/config/cluster/v3/cluster_pb.ts";
import type { HealthStatus } from "./gen/envoy/config/core/v3/health_check_pb.ts";
import type { LbEndpoint, LocalityLbEndpoints } from "./gen/envoy/config/endpoint/v3/endpoint_components_pb.ts";
import { ClusterLoadAssignmentSchema } from "./gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { type Listener, ListenerSchema } from "./gen/envoy/config/listener/v3/listener_pb.ts";
import type { HeaderMatcherSchema, RouteSchema } from "./gen/envoy/config/route/v3/route_components_pb.ts";
import { RouteConfigurationSchema } from "./gen/envoy/config/route/v3/route_pb.ts";
import { endpoint, key, route } from "./testing/samples.ts";

const service = { name: "price", namespace: "shop" };
const listenerBytes = encodeListener("price", key, service, { name: "http", port: 80, protocol: "http" });

function refuses(run: () => unknown, message: RegExp): void {
  assert.throws(run, (error) => error instanceof ResourceError && message.test(error.message));
}

/** A good Listener, changed. */
function listener(change: (message: Listener) => void): Uint8Array {
  const message = fromBinary(ListenerSchema, listenerBytes);
  change(message);
  return toBinary(ListenerSchema, message);
}

function listenerOf(port: number, protocol: string): Uint8Array {
  return encodeListener("price", key, service, { name: "", port, protocol: protocol as "http" });
}

function routeConfiguration(init: MessageInitShape<typeof RouteConfigurationSchema>): Uint8Array {
  return toBinary(RouteConfigurationSchema, create(RouteConfigurationSchema, init));
}

const slash = { pathSpecifier: { case: "prefix" as const, value: "/" } };
const toNowhere = { case: "route" as const, value: {} };

function withRoute(init: MessageInitShape<typeof RouteSchema>): Uint8Array {
  return routeConfiguration({ name: key, virtualHosts: [{ domains: ["*"], routes: [{ name: "a", ...init }] }] });
}

function withHeader(header: MessageInitShape<typeof HeaderMatcherSchema>): Uint8Array {
  return withRoute({ match: { ...slash, headers: [header] }, action: toNowhere });
}

/** A good Cluster, changed. */
function cluster(change: (message: Cluster) => void): Uint8Array {
  const message = fromBinary(ClusterSchema, encodeCluster(key, defaultBackendPolicy));
  change(message);
  return toBinary(ClusterSchema, message);
}

/** A good ClusterLoadAssignment of one endpoint, changed. */
function endpoints(change: (member: LbEndpoint, group: LocalityLbEndpoints) => void): Uint8Array {
  const message = fromBinary(ClusterLoadAssignmentSchema, encodeEndpoints(key, [endpoint]));
  const [group] = message.endpoints;
  const [member] = group?.lbEndpoints ?? [];
  assert.ok(group && member);
  change(member, group);
  return toBinary(ClusterLoadAssignmentSchema, message);
}

function healthOf(status: number): string | undefined {
  const bytes = endpoints((member) => (member.healthStatus = status as HealthStatus));
  return decodeEndpoints(bytes).endpoints[0]?.health;
}

describe("decode", () => {
  it("refuses what is no protobuf", () => {
    const garbage = Uint8Array.of(0xff, 0xff, 0xff);
    refuses(() => decodeListener(garbage), /^Listener: no valid protobuf/);
    refuses(() => decodeRoutes(garbage), /^RouteConfiguration: /);
    refuses(() => decodeCluster(garbage), /^Cluster: /);
    refuses(() => decodeEndpoints(garbage), /^ClusterLoadAssignment: /);
    const packed = listener((message) => {
      assert.ok(message.apiListener?.apiListener);
      message.apiListener.apiListener.value = garbage;
    });
    refuses(() => decodeListener(packed), /^api_listener.api_listener: no valid protobuf/);
  });

  it("never fails in another way, whatever the bytes", () => {
    const good = [
      listenerBytes,
      encodeRoutes(key, [route]),
      encodeCluster(key, defaultBackendPolicy),
      encodeEndpoints(key, [endpoint]),
    ];
    const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 });
    fc.assert(
      fc.property(fc.nat(3), damage, fc.nat(), (which, changes, cut) => {
        const bytes = Uint8Array.from(good[which] ?? []);
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        const decode = [decodeListener, decodeRoutes, decodeCluster, decodeEndpoints][which];
        try {
          decode?.(cut % 2 === 0 ? bytes : bytes.subarray(0, cut % bytes.length));
        } catch (error) {
          assert.ok(error instanceof ResourceError, String(error));
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("decodeListener", () => {
  it("reads the alias and the port", () => {
    assert.deepEqual(decodeListener(listenerBytes), {
      name: "price",
      service: "price",
      namespace: "shop",
      port: { name: "http", port: 80, protocol: "http" },
      routes: key,
    });
  });

  it("refuses one without a name, an api_listener, RDS or our extension", () => {
    const missing: [(message: Listener) => void, RegExp][] = [
      [(message) => (message.name = ""), /^name: missing/],
      [(message) => delete message.apiListener, /^api_listener.api_listener: missing/],
      [(message) => delete message.metadata, /^metadata\..*"dev.heddle".*: missing/],
    ];
    for (const [change, message] of missing) refuses(() => decodeListener(listener(change)), message);
    refuses(() => decodeListener(encodeUnknownListener("price")), /rds: missing/);
  });

  it("refuses something else packed where a known message belongs", () => {
    const swapped = listener((message) => {
      const packed = message.apiListener?.apiListener;
      assert.ok(packed && message.metadata);
      message.metadata.typedFilterMetadata["dev.heddle"] = packed;
    });
    const expected = /expected a heddle.xds.v1.ServicePortExtension, found ".*HttpConnectionManager"/;
    refuses(() => decodeListener(swapped), expected);
  });

  it("refuses a port or a protocol that does not exist", () => {
    refuses(() => decodeListener(listenerOf(0, "http")), /\.port: not in 1 to 65535: 0/);
    refuses(() => decodeListener(listenerOf(65_536, "http")), /65536/);
    refuses(() => decodeListener(listenerOf(80, "ftp")), /\.protocol: unknown: "ftp"/);
  });
});

describe("decodeRoutes", () => {
  it("refuses more or fewer than one virtual host for all domains", () => {
    refuses(() => decodeRoutes(routeConfiguration({ name: key })), /^virtual_hosts: expected exactly 1, found 0/);
    const narrow = routeConfiguration({ name: key, virtualHosts: [{ domains: ["a"] }] });
    refuses(() => decodeRoutes(narrow), /^virtual_hosts\[0\].domains: expected exactly "\*"/);
  });

  it("refuses a name that is no service port", () => {
    refuses(() => decodeRoutes(encodeRoutes("price", [])), /^name: not a service port key/);
  });

  it("refuses a match that Heddle does not know", () => {
    const nowhere = withRoute({ match: {}, action: toNowhere });
    refuses(() => decodeRoutes(nowhere), /^virtual_hosts\[0\]\.routes\[0\]\.match\.path_specifier/);
    const matchers: [MessageInitShape<typeof HeaderMatcherSchema>, RegExp][] = [
      [{ name: "x" }, /headers\[0\]: no matcher/],
      [{ name: "X" }, /headers\[0\]\.name: not lower case/],
      [{ name: "x", invertMatch: true }, /invert_match/],
      [{ name: "x", headerMatchSpecifier: { case: "stringMatch", value: {} } }, /string_match: no pattern/],
      [{ name: "x", headerMatchSpecifier: { case: "presentMatch", value: false } }, /present_match/],
      [{ name: ":method", headerMatchSpecifier: { case: "presentMatch", value: true } }, /:method must match exactly/],
    ];
    for (const [header, message] of matchers) refuses(() => decodeRoutes(withHeader(header)), message);
  });

  it("refuses a route that leads nowhere", () => {
    refuses(() => decodeRoutes(withRoute({ match: slash })), /routes\[0\]\.route: missing/);
    refuses(() => decodeRoutes(withRoute({ action: toNowhere })), /routes\[0\]\.match: missing/);
    refuses(() => decodeRoutes(withRoute({ match: slash, action: toNowhere })), /weighted_clusters: missing/);
    const zero = { ...route, backends: [{ backend: key, weight: 0 }] };
    refuses(() => decodeRoutes(encodeRoutes(key, [zero])), /no cluster with a weight above 0/);
    const heavy = { ...route, backends: [{ backend: key, weight: 1_000_001 }] };
    refuses(() => decodeRoutes(encodeRoutes(key, [heavy])), /clusters\[0\]\.weight: 1000001 is over 1000000/);
    const strange = { ...route, backends: [{ backend: "price", weight: 1 }] };
    refuses(() => decodeRoutes(encodeRoutes(key, [strange])), /clusters\[0\]\.name: not a service port key/);
  });

  it("refuses two routes of one name, one without, and a negative timeout", () => {
    refuses(() => decodeRoutes(encodeRoutes(key, [route, route])), /routes\[1\]\.name: "canary" occurs twice/);
    refuses(() => decodeRoutes(encodeRoutes(key, [{ ...route, name: "" }])), /routes\[0\]\.name: missing/);
    refuses(() => decodeRoutes(encodeRoutes(key, [{ ...route, timeoutMs: -1 }])), /timeout: negative/);
  });
});

describe("decodeCluster", () => {
  it("refuses one whose endpoints do not come over EDS under its own name", () => {
    const changes: [(message: Cluster) => void, RegExp][] = [
      [(message) => (message.clusterDiscoveryType = { case: "type", value: 0 }), /^type: not EDS/],
      [(message) => delete message.edsClusterConfig, /^eds_cluster_config.eds_config: not ads/],
      [
        (message) => {
          if (message.edsClusterConfig) message.edsClusterConfig.serviceName = "other";
        },
        /service_name: "other"/,
      ],
    ];
    for (const [change, message] of changes) refuses(() => decodeCluster(cluster(change)), message);
  });

  it("refuses one without a limit or a timeout", () => {
    const changes: [(message: Cluster) => void, RegExp][] = [
      [(message) => delete message.circuitBreakers, /^circuit_breakers/],
      [(message) => delete message.connectTimeout, /^connect_timeout: missing/],
      [(message) => delete message.metadata, /^metadata/],
    ];
    for (const [change, message] of changes) refuses(() => decodeCluster(cluster(change)), message);
  });
});

describe("decodeEndpoints", () => {
  it("refuses an address that is no IP, has no port, is missing or occurs twice", () => {
    const named = encodeEndpoints(key, [{ ...endpoint, address: "localhost" }]);
    refuses(() => decodeEndpoints(named), /no IP address: "localhost"/);
    const portless = encodeEndpoints(key, [{ ...endpoint, port: 0 }]);
    refuses(() => decodeEndpoints(portless), /port_value: not in 1 to 65535: 0/);
    const twice = endpoints((member, group) => group.lbEndpoints.push(member));
    refuses(() => decodeEndpoints(twice), /^endpoints\[0\]\.lb_endpoints\[1\].*10.0.0.1:8080 occurs twice/);
    const none = endpoints((member) => (member.hostIdentifier = { case: undefined }));
    refuses(() => decodeEndpoints(none), /socket_address: missing/);
  });

  it("refuses priorities, no weight, and one without our extension", () => {
    const second = endpoints((_member, group) => (group.priority = 1));
    refuses(() => decodeEndpoints(second), /^endpoints\[0\]\.priority/);
    const weightless = encodeEndpoints(key, [{ ...endpoint, weight: 0 }]);
    refuses(() => decodeEndpoints(weightless), /load_balancing_weight: 0/);
    const bare = endpoints((member) => delete member.metadata);
    refuses(() => decodeEndpoints(bare), /metadata.*missing/);
  });

  it("trusts what was never checked or is degraded, not what timed out or is of the future", () => {
    assert.deepEqual([0, 1, 5].map(healthOf), ["healthy", "healthy", "healthy"]);
    assert.deepEqual([2, 3, 4, 9].map(healthOf), ["unhealthy", "draining", "unhealthy", "unhealthy"]);
  });
});
