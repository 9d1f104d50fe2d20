/** From all documents to what the sidecar of one workload enforces. Pure: the same documents give the same policy. */
import type { InboundPolicy } from "../model/inbound-policy.ts";
import { tlsModes } from "./istio/compile-tls.ts";
import type { ResourceSet } from "./resource-set.ts";
import type { PolicySettings, PolicyTarget } from "./target.ts";

export function compileInboundPolicy(
  resources: ResourceSet,
  target: PolicyTarget,
  settings: PolicySettings,
): InboundPolicy {
  return {
    defaultPolicy: settings.defaultPolicy,
    clusterNetworks: settings.clusterNetworks,
    ...tlsModes(resources, target, settings),
    layers: [],
    rateLimits: [],
    jwt: [],
    providers: settings.providers,
  };
}
