import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { fromBinary } from "@bufbuild/protobuf";

import type { Endpoint } from "../model/endpoint.ts";
import { decodeEndpoints } from "./decode.ts";
import { encodeEndpoints, encodeRoutes } from "./encode.ts";
import { ClusterLoadAssignmentSchema } from "./gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { RouteConfigurationSchema } from "./gen/envoy/config/route/v3/route_pb.ts";
import { sortEndpoints } from "./testing/arbitraries.ts";
import { endpoint, key, route } from "./testing/samples.ts";

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

const action = (timeoutMs: number) => {
  const message = fromBinary(RouteConfigurationSchema, encodeRoutes(key, [{ ...route, timeoutMs }]));
  const value = message.virtualHosts[0]?.routes[0]?.action.value;
  assert.ok(value);
  return value;
};

describe("encodeEndpoints", () => {
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
  it("always says the total of the weights, which gRPC takes for 100 otherwise", () => {
    assert.equal(action(0).clusterSpecifier.value?.totalWeight, 40);
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
