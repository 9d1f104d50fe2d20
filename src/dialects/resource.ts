/** A document of a known kind, read: what files are made of once they are understood. */
import type { Origin } from "../model/inbound-policy.ts";
import type { ServiceIntentions } from "./consul/service-intentions.ts";
import type { AuthorizationPolicy as IstioAuthorizationPolicy } from "./istio/authorization-policy.ts";
import type { PeerAuthentication } from "./istio/peer-authentication.ts";
import type { RequestAuthentication } from "./istio/request-authentication.ts";
import type { MeshTlsAuthentication, NetworkAuthentication } from "./linkerd/authentication.ts";
import type { AuthorizationPolicy as LinkerdAuthorizationPolicy } from "./linkerd/authorization-policy.ts";
import type { HttpLocalRateLimit } from "./linkerd/rate-limit.ts";
import type { ServerAuthorization } from "./linkerd/server-authorization.ts";
import type { Server } from "./linkerd/server.ts";
import type { HttpRouteGroup, TcpRoute } from "./smi/route-group.ts";
import type { TrafficTarget } from "./smi/traffic-target.ts";

/** Every kind that Heddle knows, as group/kind, and what a document of it says. */
export interface Specs {
  readonly "policy.linkerd.io/Server": Server;
  readonly "policy.linkerd.io/ServerAuthorization": ServerAuthorization;
  readonly "policy.linkerd.io/AuthorizationPolicy": LinkerdAuthorizationPolicy;
  readonly "policy.linkerd.io/MeshTLSAuthentication": MeshTlsAuthentication;
  readonly "policy.linkerd.io/NetworkAuthentication": NetworkAuthentication;
  readonly "policy.linkerd.io/HTTPLocalRateLimitPolicy": HttpLocalRateLimit;
  readonly "security.istio.io/PeerAuthentication": PeerAuthentication;
  readonly "security.istio.io/AuthorizationPolicy": IstioAuthorizationPolicy;
  readonly "security.istio.io/RequestAuthentication": RequestAuthentication;
  readonly "access.smi-spec.io/TrafficTarget": TrafficTarget;
  readonly "specs.smi-spec.io/HTTPRouteGroup": HttpRouteGroup;
  readonly "specs.smi-spec.io/TCPRoute": TcpRoute;
  readonly "consul/service-intentions": ServiceIntentions;
}

export type ResourceType = keyof Specs;

export interface ResourceOf<T extends ResourceType> {
  readonly type: T;
  readonly origin: Origin;
  readonly labels: Readonly<Record<string, string>>;
  readonly spec: Specs[T];
}

export type Resource = { readonly [T in ResourceType]: ResourceOf<T> }[ResourceType];

/** The same document, at the line of one of its rules. */
export function originAt(resource: { readonly origin: Origin }, line: number): Origin {
  return { ...resource.origin, line };
}
