/** Small meshes to test with. */
import type { Endpoint } from "../../model/endpoint.ts";
import type { Mesh } from "../../model/mesh.ts";
import type { Route } from "../../model/route.ts";
import type { PortKey, Service } from "../../model/service.ts";

export function endpointAt(address: string, workload = "price-1"): Endpoint {
  return {
    address,
    port: 8080,
    workload,
    locality: { region: "", zone: "", subZone: "" },
    weight: 1,
    health: "healthy",
    labels: {},
    meshed: false,
    identity: "",
  };
}

export function serviceNamed(name: string, namespace = "default"): Service {
  return { name, namespace, ports: [{ name: "http", port: 80, protocol: "http" }] };
}

/** A route of everything to backends of equal weight. */
export function routeTo(...backends: PortKey[]): Route {
  return {
    name: "all",
    match: { path: { kind: "prefix", value: "/" }, method: "", headers: [] },
    backends: backends.map((backend) => ({ backend, weight: 1 })),
    timeoutMs: 0,
  };
}

/** Services in the default namespace with one port 80 each, by name, with the addresses of their endpoints. */
export function world(services: Record<string, readonly string[]>, routes: Record<PortKey, Route[]> = {}): Mesh {
  return {
    services: Object.keys(services).map((name) => serviceNamed(name)),
    endpoints: new Map(
      Object.entries(services).map(([name, addresses]) => [
        `${name}.default:80`,
        addresses.map((address) => endpointAt(address, `${name}-1`)),
      ]),
    ),
    routes: new Map(Object.entries(routes)),
    policies: new Map(),
    inboundPolicies: new Map(),
  };
}
