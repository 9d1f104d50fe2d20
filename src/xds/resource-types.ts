/** The kinds of xDS resource that Heddle speaks, by type URL: four of Envoy's, one of our own. */

export const LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener";
export const ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
export const CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
export const ENDPOINTS = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
/** Who may call a workload; the name is "namespace/workload". */
export const INBOUND_POLICY = "type.googleapis.com/heddle.xds.v1.InboundPolicy";

export type ResourceType = typeof LISTENER | typeof ROUTES | typeof CLUSTER | typeof ENDPOINTS | typeof INBOUND_POLICY;

/** In the order in which changes are sent, so that nothing refers to what has not been sent (make before break). */
export const RESOURCE_TYPES: readonly ResourceType[] = [INBOUND_POLICY, CLUSTER, ENDPOINTS, LISTENER, ROUTES];

/** The name under which our extensions lie in `Metadata.typed_filter_metadata`. */
export const EXTENSION_KEY = "dev.heddle";

export function isResourceType(typeUrl: string): typeUrl is ResourceType {
  return (RESOURCE_TYPES as readonly string[]).includes(typeUrl);
}

/** "Listener" for `type.googleapis.com/envoy.config.listener.v3.Listener`. */
export function shortTypeName(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf(".") + 1);
}
