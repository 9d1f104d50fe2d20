/** One of each noun, with something in every field. */
import type { Endpoint } from "../../model/endpoint.ts";
import type { Route } from "../../model/route.ts";

export const key = "price.shop:80";

export const endpoint: Endpoint = {
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

export const route: Route = {
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
    { backend: key, weight: 30 },
    { backend: "price-next.shop:80", weight: 10 },
  ],
  timeoutMs: 1_500,
};
