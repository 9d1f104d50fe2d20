import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";

import { defaultBackendPolicy } from "../model/backend-policy.ts";
import type { Endpoint } from "../model/endpoint.ts";
import type { Mesh } from "../model/mesh.ts";
import { defaultRoute, type Route } from "../model/route.ts";
import { parsePortKey, portKey, type Service } from "../model/service.ts";
import { decodeCluster, decodeEndpoints, decodeListener, decodeRoutes, ResourceError } from "./decode.ts";
import { encodeCluster, encodeEndpoints, encodeListener, encodeRoutes, encodeUnknownListener } from "./encode.ts";
import { ClusterSchema } from "./gen/envoy/config/cluster/v3/cluster_pb.ts";
import type { HealthStatus } from "./gen/envoy/config/core/v3/health_check_pb.ts";
import { ClusterLoadAssignmentSchema } from "./gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { ListenerSchema } from "./gen/envoy/config/listener/v3/listener_pb.ts";
import { RouteConfigurationSchema } from "./gen/envoy/config/route/v3/route_pb.ts";
import { arbitraryEndpoints, arbitraryMesh, sortEndpoints } from "./testing/arbitraries.ts";

/** Every resource of a mesh. */
function encodeMesh(mesh: Mesh): Uint8Array[][] {
  return mesh.services.flatMap((service) =>
    service.ports.map((port) => {
      const key = portKey(service, port.port);
      return [
        encodeListener(key, key, service, port),
        encodeRoutes(key, mesh.routes.get(key) ?? [defaultRoute(key)]),
        encodeCluster(key, mesh.policies.get(key) ?? defaultBackendPolicy),
        encodeEndpoints(key, mesh.endpoints.get(key) ?? []),
      ];
    }),
  );
}

/** The mesh that they stand for, with defaults left out. */
function decodeMesh(resources: readonly (readonly Uint8Array[])[]): Mesh {
  const services = new Map<string, Service>();
  const mesh = { services: [] as Service[], endpoints: new Map(), routes: new Map(), policies: new Map() };
  for (const [first, second, third, fourth] of resources) {
    assert.ok(first && second && third && fourth);
    const listener = decodeListener(first);
    const { service: name, namespace, port } = listener;
    const before = services.get(`${name}.${namespace}`);
    services.set(`${name}.${namespace}`, { name, namespace, ports: [...(before?.ports ?? []), port] });
    const key = listener.routes;
    assert.equal(key, portKey({ name, namespace }, port.port));
    assert.deepEqual(parsePortKey(key), { name, namespace, port: port.port });
    const routes = decodeRoutes(second);
    const cluster = decodeCluster(third);
    const endpoints = decodeEndpoints(fourth);
    assert.deepEqual([routes.name, cluster.name, endpoints.name], [key, key, key]);
    if (!equal(routes.routes, [defaultRoute(key)])) mesh.routes.set(key, routes.routes);
    if (!equal(cluster.policy, defaultBackendPolicy)) mesh.policies.set(key, cluster.policy);
    if (endpoints.endpoints.length > 0) mesh.endpoints.set(key, endpoints.endpoints);
  }
  return { ...mesh, services: [...services.values()] };
}

function equal(a: unknown, b: unknown): boolean {
  try {
    assert.deepStrictEqual(a, b);
    return true;
  } catch {
    return false;
  }
}

const key = "price.shop:80";

const endpoint: Endpoint = {
  address: "10.0.0.1",
  port: 8080,
  workload: "price-1",
  locality: { region: "eu", zone: "a", subZone: "" },
  weight: 3,
  health: "healthy",
  labels: { version: "2", app: "price" },
  meshed: true,
  identity: "spiffe://cluster.local/ns/shop/sa/price",
};

const route: Route = {
  name: "canary",
  match: {
    path: { kind: "regex", value: "/v[12]/.*" },
    method: "POST",
    headers: [
      { name: "x-canary", value: undefined },
      { name: "x-user", value: { kind: "prefix", value: "test-" } },
    ],
  },
  backends: [
    { backend: key, weight: 90 },
    { backend: "price-next.shop:80", weight: 10 },
  ],
  timeoutMs: 1_500,
};

describe("encode and decode", () => {
  it("give back every mesh as it was", () => {
    fc.assert(fc.property(arbitraryMesh, (mesh) => assert.deepStrictEqual(decodeMesh(encodeMesh(mesh)), mesh)));
  });

  it("give the same bytes for the same endpoints in whatever order", () => {
    const shuffled = arbitraryEndpoints.chain((endpoints) =>
      fc.tuple(
        fc.constant(endpoints),
        fc
          .shuffledSubarray(endpoints, { minLength: endpoints.length })
          .map((list) =>
            list.map((item) => ({ ...item, labels: Object.fromEntries(Object.entries(item.labels).reverse()) })),
          ),
      ),
    );
    fc.assert(
      fc.property(shuffled, ([endpoints, other]) =>
        assert.deepEqual(encodeEndpoints(key, other), encodeEndpoints(key, endpoints)),
      ),
    );
  });
});

describe("encodeEndpoints", () => {
  const shares = (endpoints: Endpoint[]): (number | undefined)[] =>
    fromBinary(ClusterLoadAssignmentSchema, encodeEndpoints(key, endpoints)).endpoints.map(
      ({ loadBalancingWeight }) => loadBalancingWeight,
    );
  const inZone = (zone: string, address: string, other: Partial<Endpoint> = {}): Endpoint => ({
    ...endpoint,
    address,
    locality: { region: "eu", zone, subZone: "" },
    ...other,
  });

  it("weighs a locality by its healthy endpoints, and gives nothing to one that has none", () => {
    const endpoints = [
      inZone("a", "10.0.0.1"),
      inZone("a", "10.0.0.2", { weight: 4 }),
      inZone("a", "10.0.0.3", { health: "unhealthy" }),
      inZone("b", "10.0.0.4", { health: "draining" }),
    ];
    assert.deepEqual(shares(endpoints), [7, undefined]);
  });

  it("scales weights down so that all of them fit in 32 bits, and forgets no locality", () => {
    const huge = { weight: 0xffff_ffff };
    const got = shares([inZone("a", "10.0.0.1", huge), inZone("b", "10.0.0.2", huge), inZone("c", "10.0.0.3")]);
    const sum = got.reduce((total: number, share) => total + (share ?? 0), 0);
    assert.ok(sum <= 0xffff_ffff, `${sum}`);
    assert.ok(
      got.every((share) => share !== undefined && share >= 1),
      got.join(),
    );
    assert.equal(got[0], got[1]);
  });

  it("takes the first of several endpoints with one address", () => {
    const bytes = encodeEndpoints(key, [endpoint, { ...endpoint, workload: "other" }]);
    assert.deepEqual(decodeEndpoints(bytes).endpoints, [endpoint]);
  });

  it("refuses a value that the wire has no room for", () => {
    assert.throws(() => encodeEndpoints(key, [{ ...endpoint, weight: 2 ** 32 }]), /uint32/);
  });

  it("sorts as the test's own order says", () => {
    const endpoints = [inZone("b", "10.0.0.1"), inZone("a", "10.0.0.9"), inZone("a", "10.0.0.2")];
    assert.deepEqual(decodeEndpoints(encodeEndpoints(key, endpoints)).endpoints, sortEndpoints(endpoints));
  });
});

describe("encodeRoutes", () => {
  const action = (timeoutMs: number) => {
    const message = fromBinary(RouteConfigurationSchema, encodeRoutes(key, [{ ...route, timeoutMs }]));
    const value = message.virtualHosts[0]?.routes[0]?.action.value;
    assert.ok(value);
    return value;
  };

  it("always says the total of the weights, which gRPC takes for 100 otherwise", () => {
    assert.equal(action(0).clusterSpecifier.value?.totalWeight, 100);
  });

  it("says a timeout for Envoy and for gRPC", () => {
    const { timeout, maxStreamDuration } = action(1_500);
    assert.deepEqual([timeout?.seconds, timeout?.nanos], [1n, 500_000_000]);
    assert.equal(maxStreamDuration?.maxStreamDuration?.seconds, 1n);
  });

  it("turns Envoy's own default of 15 s off where there is no timeout", () => {
    const { timeout, maxStreamDuration } = action(0);
    assert.equal(timeout?.seconds, 0n);
    assert.equal(maxStreamDuration, undefined);
  });
});

describe("decode", () => {
  const refuses = (run: () => unknown, message: RegExp): void => {
    assert.throws(run, (error) => error instanceof ResourceError && message.test(error.message));
  };
  const garbage = Uint8Array.of(0xff, 0xff, 0xff);

  it("refuses what is no protobuf", () => {
    refuses(() => decodeListener(garbage), /^Listener: no valid protobuf/);
    refuses(() => decodeRoutes(garbage), /^RouteConfiguration: /);
    refuses(() => decodeCluster(garbage), /^Cluster: /);
    refuses(() => decodeEndpoints(garbage), /^ClusterLoadAssignment: /);
  });

  it("never fails in another way, whatever the bytes", () => {
    const base = [
      encodeListener("price", key, { name: "price", namespace: "shop" }, { name: "http", port: 80, protocol: "http" }),
      encodeRoutes(key, [route]),
      encodeCluster(key, defaultBackendPolicy),
      encodeEndpoints(key, [endpoint]),
    ];
    const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 });
    fc.assert(
      fc.property(fc.nat(3), damage, fc.nat(), (which, changes, cut) => {
        const bytes = Uint8Array.from(base[which] ?? []);
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

  describe("a Listener", () => {
    const good = encodeListener(
      "price",
      key,
      { name: "price", namespace: "shop" },
      { name: "http", port: 80, protocol: "http" },
    );
    const bad = (change: (message: ReturnType<typeof parsed>) => void): Uint8Array => {
      const message = parsed();
      change(message);
      return toBinary(ListenerSchema, message);
    };
    const parsed = () => fromBinary(ListenerSchema, good);

    it("is read with its alias and its port", () => {
      assert.deepEqual(decodeListener(good), {
        name: "price",
        service: "price",
        namespace: "shop",
        port: { name: "http", port: 80, protocol: "http" },
        routes: key,
      });
    });

    it("is refused without a name, an api_listener, RDS or our extension", () => {
      refuses(() => decodeListener(bad((message) => (message.name = ""))), /^name: missing/);
      refuses(
        () => decodeListener(bad((message) => delete message.apiListener)),
        /^api_listener.api_listener: missing/,
      );
      refuses(() => decodeListener(bad((message) => delete message.metadata)), /^metadata\..*"dev.heddle".*: missing/);
      refuses(() => decodeListener(encodeUnknownListener("price")), /rds: missing/);
    });

    it("is refused if something else is packed where a known message belongs", () => {
      const packed = parsed().apiListener?.apiListener;
      assert.ok(packed);
      const swap = bad(
        (message) =>
          (message.metadata = { ...message.metadata, typedFilterMetadata: { "dev.heddle": packed } } as never),
      );
      refuses(
        () => decodeListener(swap),
        /expected a heddle.xds.v1.ServicePortExtension, found ".*HttpConnectionManager"/,
      );
    });

    it("is refused with a port or a protocol that does not exist", () => {
      const encoded = (port: number, protocol: string) =>
        encodeListener(
          "price",
          key,
          { name: "price", namespace: "shop" },
          { name: "", port, protocol: protocol as "http" },
        );
      refuses(() => decodeListener(encoded(0, "http")), /\.port: not in 1 to 65535: 0/);
      refuses(() => decodeListener(encoded(65_536, "http")), /65536/);
      refuses(() => decodeListener(encoded(80, "ftp")), /\.protocol: unknown: "ftp"/);
    });
  });

  describe("a RouteConfiguration", () => {
    const encoded = (init: MessageInitShape<typeof RouteConfigurationSchema>): Uint8Array =>
      toBinary(RouteConfigurationSchema, create(RouteConfigurationSchema, init));
    const withRoutes = (
      ...routes: NonNullable<MessageInitShape<typeof RouteConfigurationSchema>["virtualHosts"]>[number]["routes"] &
        object[]
    ) => encoded({ name: key, virtualHosts: [{ name: "", domains: ["*"], routes }] });

    it("is refused with more or fewer than one virtual host for all domains", () => {
      refuses(() => decodeRoutes(encoded({ name: key })), /^virtual_hosts: expected exactly 1, found 0/);
      refuses(() => decodeRoutes(encoded({ name: key, virtualHosts: [{ domains: ["a"] }] })), /domains/);
    });

    it("is refused with a name that is no service port", () => {
      refuses(() => decodeRoutes(encodeRoutes("price", [])), /^name: not a service port key/);
    });

    it("is refused with a match that Heddle does not know", () => {
      refuses(
        () => decodeRoutes(withRoutes({ name: "a", match: {}, action: { case: "route", value: {} } })),
        /routes\[0\]\.match\.path_specifier/,
      );
      const match = { pathSpecifier: { case: "prefix" as const, value: "/" } };
      const header = (header: object) =>
        withRoutes({ name: "a", match: { ...match, headers: [header] }, action: { case: "route", value: {} } });
      refuses(() => decodeRoutes(header({ name: "x" })), /headers\[0\]: no matcher/);
      refuses(() => decodeRoutes(header({ name: "X" })), /headers\[0\]\.name: not lower case/);
      refuses(() => decodeRoutes(header({ name: "x", invertMatch: true })), /invert_match/);
      refuses(
        () => decodeRoutes(header({ name: "x", headerMatchSpecifier: { case: "stringMatch", value: {} } })),
        /no pattern/,
      );
      refuses(
        () => decodeRoutes(header({ name: "x", headerMatchSpecifier: { case: "presentMatch", value: false } })),
        /present_match/,
      );
    });

    it("is refused with a route that leads nowhere", () => {
      const match = { pathSpecifier: { case: "prefix" as const, value: "/" } };
      refuses(() => decodeRoutes(withRoutes({ name: "a", match })), /routes\[0\]\.route: missing/);
      refuses(
        () => decodeRoutes(withRoutes({ name: "a", match, action: { case: "route", value: {} } })),
        /weighted_clusters: missing/,
      );
      const zero = { ...route, backends: [{ backend: key, weight: 0 }] };
      refuses(() => decodeRoutes(encodeRoutes(key, [zero])), /no cluster with a weight above 0/);
      const heavy = { ...route, backends: [{ backend: key, weight: 1_000_001 }] };
      refuses(() => decodeRoutes(encodeRoutes(key, [heavy])), /clusters\[0\]\.weight: 1000001 is over 1000000/);
    });

    it("is refused with two routes of one name or one without", () => {
      refuses(() => decodeRoutes(encodeRoutes(key, [route, route])), /routes\[1\]\.name: "canary" occurs twice/);
      refuses(() => decodeRoutes(encodeRoutes(key, [{ ...route, name: "" }])), /routes\[0\]\.name: missing/);
    });

    it("is refused with a negative timeout", () => {
      refuses(() => decodeRoutes(encodeRoutes(key, [{ ...route, timeoutMs: -1 }])), /timeout: negative/);
    });
  });

  describe("a Cluster", () => {
    const bad = (change: (message: ReturnType<typeof parsed>) => void): Uint8Array => {
      const message = parsed();
      change(message);
      return toBinary(ClusterSchema, message);
    };
    const parsed = () => fromBinary(ClusterSchema, encodeCluster(key, defaultBackendPolicy));

    it("is refused unless its endpoints come over EDS under its own name", () => {
      refuses(
        () => decodeCluster(bad((message) => (message.clusterDiscoveryType = { case: "type", value: 0 }))),
        /^type: not EDS/,
      );
      refuses(
        () => decodeCluster(bad((message) => delete message.edsClusterConfig)),
        /^eds_cluster_config.eds_config: not ads/,
      );
      const renamed = bad((message) => {
        assert.ok(message.edsClusterConfig);
        message.edsClusterConfig.serviceName = "other";
      });
      refuses(() => decodeCluster(renamed), /service_name: "other"/);
    });

    it("is refused without a limit or a timeout", () => {
      refuses(() => decodeCluster(bad((message) => delete message.circuitBreakers)), /^circuit_breakers/);
      refuses(() => decodeCluster(bad((message) => delete message.connectTimeout)), /^connect_timeout: missing/);
      refuses(() => decodeCluster(bad((message) => delete message.metadata)), /^metadata/);
    });
  });

  describe("a ClusterLoadAssignment", () => {
    const bad = (change: (group: NonNullable<ReturnType<typeof parsed>["endpoints"][0]>) => void): Uint8Array => {
      const message = parsed();
      assert.ok(message.endpoints[0]);
      change(message.endpoints[0]);
      return toBinary(ClusterLoadAssignmentSchema, message);
    };
    const parsed = () => fromBinary(ClusterLoadAssignmentSchema, encodeEndpoints(key, [endpoint]));

    it("is refused with an address that is no IP, has no port or occurs twice", () => {
      refuses(
        () => decodeEndpoints(encodeEndpoints(key, [{ ...endpoint, address: "localhost" }])),
        /no IP address: "localhost"/,
      );
      refuses(
        () => decodeEndpoints(encodeEndpoints(key, [{ ...endpoint, port: 0 }])),
        /port_value: not in 1 to 65535: 0/,
      );
      refuses(
        () => decodeEndpoints(bad((group) => group.lbEndpoints.push(...group.lbEndpoints))),
        /lb_endpoints\[1\].*10.0.0.1:8080 occurs twice/,
      );
      refuses(
        () => decodeEndpoints(bad((group) => group.lbEndpoints.forEach((item) => delete item.hostIdentifier.value))),
        /socket_address: missing/,
      );
    });

    it("is refused with priorities, no weight or without our extension", () => {
      refuses(() => decodeEndpoints(bad((group) => (group.priority = 1))), /^endpoints\[0\]\.priority/);
      refuses(() => decodeEndpoints(encodeEndpoints(key, [{ ...endpoint, weight: 0 }])), /load_balancing_weight: 0/);
      refuses(
        () => decodeEndpoints(bad((group) => group.lbEndpoints.forEach((item) => delete item.metadata))),
        /metadata.*missing/,
      );
    });

    it("trusts what was never checked or is degraded, not what timed out", () => {
      const healthOf = (status: number) =>
        decodeEndpoints(
          bad((group) => group.lbEndpoints.forEach((item) => (item.healthStatus = status as HealthStatus))),
        ).endpoints[0]?.health;
      assert.deepEqual([0, 1, 2, 3, 4, 5, 9].map(healthOf), [
        "healthy",
        "healthy",
        "unhealthy",
        "draining",
        "unhealthy",
        "healthy",
        "unhealthy",
      ]);
    });
  });
});
