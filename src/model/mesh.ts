/** The whole mesh as the control plane sees it at one moment: immutable, replaced in whole. */
import type { BackendPolicy } from "./backend-policy.ts";
import type { Endpoint } from "./endpoint.ts";
import type { InboundPolicy } from "./inbound-policy.ts";
import type { Route } from "./route.ts";
import type { PortKey, Service, ServicePort } from "./service.ts";
import type { WorkloadKey } from "./workload.ts";

export interface Mesh {
  readonly services: readonly Service[];
  /** A port without an entry has no endpoints. */
  readonly endpoints: ReadonlyMap<PortKey, readonly Endpoint[]>;
  /** A port without an entry has the default route. */
  readonly routes: ReadonlyMap<PortKey, readonly Route[]>;
  /** A port without an entry has the default policy. */
  readonly policies: ReadonlyMap<PortKey, BackendPolicy>;
  /** Who may call each workload that is known. */
  readonly inboundPolicies: ReadonlyMap<WorkloadKey, InboundPolicy>;
}

export const emptyMesh: Mesh = {
  services: [],
  endpoints: new Map(),
  routes: new Map(),
  policies: new Map(),
  inboundPolicies: new Map(),
};

/** What a proxy needs to know in order to serve one port of a service: complete, immutable. */
export interface ServiceView {
  readonly key: PortKey;
  readonly name: string;
  readonly namespace: string;
  readonly port: ServicePort;
  readonly routes: readonly Route[];
  /** Every backend that the routes name. */
  readonly backends: ReadonlyMap<PortKey, BackendView>;
}

export interface BackendView {
  readonly key: PortKey;
  readonly policy: BackendPolicy;
  readonly endpoints: readonly Endpoint[];
}
