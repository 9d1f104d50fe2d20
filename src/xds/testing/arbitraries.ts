/** Random nouns for property tests. */
import * as fc from "fast-check";

import { type BackendPolicy, defaultBackendPolicy } from "../../model/backend-policy.ts";
import { type Endpoint, endpointKey } from "../../model/endpoint.ts";
import { emptyMesh, type Mesh } from "../../model/mesh.ts";
import type { HeaderMatch, Route, RouteMatch, StringMatch } from "../../model/route.ts";
import { PORT_PROTOCOLS, type PortKey, portKey, type Service } from "../../model/service.ts";

const UINT32_MAX = 0xffff_ffff;

/** Plain objects, as all others make them. */
export function record<T>(model: { [Key in keyof T]: fc.Arbitrary<T[Key]> }): fc.Arbitrary<T> {
  return fc.record<T>(model, { noNullPrototype: true });
}

const text = fc.string({ unit: "grapheme", maxLength: 12 });
const milliseconds = fc.oneof(fc.nat(10_000), fc.constant(86_400_000));
/** A DNS label, also at its longest. */
const label = fc
  .stringMatching(/^[a-z0-9](?:[a-z0-9-]{0,6}[a-z0-9])?$/)
  .chain((short) => fc.constantFrom(short, short, short, short.padEnd(63, "x")));

const stringMatch: fc.Arbitrary<StringMatch> = record({
  kind: fc.constantFrom("exact", "prefix", "regex"),
  value: text,
});

const headerMatch: fc.Arbitrary<HeaderMatch> = record({
  name: fc.stringMatching(/^[a-z0-9!#$%&'*+.^_`|~-]{1,12}$/),
  value: fc.option(stringMatch, { nil: undefined }),
});

const routeMatch: fc.Arbitrary<RouteMatch> = record({
  path: stringMatch,
  method: fc.oneof(fc.constant(""), fc.stringMatching(/^[A-Z]{1,8}$/)),
  headers: fc.array(headerMatch, { maxLength: 3 }),
});

function route(keys: readonly PortKey[]): fc.Arbitrary<Route> {
  const backend = record({ backend: fc.constantFrom(...keys), weight: fc.nat(1_000_000) });
  return record({
    name: fc.string({ minLength: 1, maxLength: 8 }),
    match: routeMatch,
    backends: fc
      .array(backend, { minLength: 1, maxLength: 4 })
      .filter((backends) => backends.some(({ weight }) => weight > 0)),
    timeoutMs: milliseconds,
  });
}

function routes(keys: readonly PortKey[]): fc.Arbitrary<Route[]> {
  return fc.uniqueArray(route(keys), { minLength: 1, maxLength: 4, selector: ({ name }) => name });
}

export const arbitraryEndpoint: fc.Arbitrary<Endpoint> = record({
  address: fc.oneof(fc.ipV4(), fc.ipV6()),
  port: fc.integer({ min: 1, max: 65_535 }),
  workload: text,
  locality: record({
    region: fc.constantFrom("", "eu"),
    zone: fc.constantFrom("", "a", "b"),
    subZone: fc.oneof(fc.constant(""), text),
  }),
  weight: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: UINT32_MAX })),
  health: fc.constantFrom("healthy", "unhealthy", "draining"),
  labels: fc.dictionary(fc.stringMatching(/^[a-z./-]{1,8}$/), text, { maxKeys: 3, noNullPrototype: true }),
  meshed: fc.boolean(),
  identity: fc.oneof(fc.constant(""), fc.constant("spiffe://cluster.local/ns/shop/sa/price")),
});

/** In the order that the wire gives them. */
export const arbitraryEndpoints = fc
  .uniqueArray(arbitraryEndpoint, { maxLength: 6, selector: endpointKey })
  .map(sortEndpoints);

const policy: fc.Arbitrary<BackendPolicy> = record({
  connectTimeoutMs: milliseconds,
  maxInFlight: fc.nat(UINT32_MAX),
  queueCapacity: fc.nat(UINT32_MAX),
  failfastTimeoutMs: milliseconds,
});

const service: fc.Arbitrary<Service> = record({
  name: label,
  namespace: fc.oneof(fc.constant("default"), label),
  ports: fc.uniqueArray(
    record({ name: text, port: fc.integer({ min: 1, max: 65_535 }), protocol: fc.constantFrom(...PORT_PROTOCOLS) }),
    { minLength: 1, maxLength: 3, selector: ({ port }) => port },
  ),
});

const services = fc.uniqueArray(service, { maxLength: 4, selector: (item) => `${item.name}.${item.namespace}` });

/** A whole mesh; what stands for a default is left out of its maps, and endpoints are sorted. */
export const arbitraryMesh: fc.Arbitrary<Mesh> = services.chain((list): fc.Arbitrary<Mesh> => {
  const keys = list.flatMap((item) => item.ports.map(({ port }) => portKey(item, port)));
  if (keys.length === 0) return fc.constant(emptyMesh);
  const some = <Value>(value: fc.Arbitrary<Value>): fc.Arbitrary<Map<PortKey, Value>> =>
    fc
      .uniqueArray(fc.tuple(fc.constantFrom(...keys), value), { selector: ([key]) => key })
      .map((entries) => new Map(keys.flatMap((key) => entries.filter(([other]) => other === key))));
  return record<Mesh>({
    services: fc.constant(list),
    endpoints: some(arbitraryEndpoints.filter((endpoints) => endpoints.length > 0)),
    routes: some(routes([...keys, "gone.default:1"])),
    inboundPolicies: fc.constant(new Map()),
    policies: some(policy.filter((value) => value.failfastTimeoutMs !== defaultBackendPolicy.failfastTimeoutMs)),
  });
});

/** By locality, then by address, as `encodeEndpoints` orders them. */
export function sortEndpoints(endpoints: readonly Endpoint[]): Endpoint[] {
  return endpoints.toSorted((a, b) => before(locality(a), locality(b)) || before(endpointKey(a), endpointKey(b)));
}

function locality({ locality: { region, zone, subZone } }: Endpoint): string {
  return JSON.stringify([region, zone, subZone]);
}

function before(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
