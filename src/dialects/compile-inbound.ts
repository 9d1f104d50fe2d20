/** From all documents to what the sidecar of one workload enforces. Pure: the same documents give the same policy. */
import type { InboundPolicy } from "../model/inbound-policy.ts";
import { consulLayers } from "./consul/compile.ts";
import { tlsModes } from "./istio/compile-tls.ts";
import { istioLayers, jwtRules } from "./istio/compile.ts";
import { linkerdPolicy } from "./linkerd/compile.ts";
import type { ResourceSet } from "./resource-index.ts";
import { smiLayers } from "./smi/compile.ts";
import type { PolicySettings, PolicyTarget } from "./target.ts";

export function compileInboundPolicy(
  resources: ResourceSet,
  target: PolicyTarget,
  settings: PolicySettings,
): InboundPolicy {
  const linkerd = linkerdPolicy(resources, target, settings);
  const others = [
    ...linkerd.layers,
    ...smiLayers(resources, target, settings),
    ...consulLayers(resources, target, settings),
  ];
  const everywhere = others.some(({ ports }) => ports.length === 0);
  const decided = everywhere ? "everywhere" : [...new Set(others.flatMap(({ ports }) => ports))];
  return {
    defaultPolicy: settings.defaultPolicy,
    clusterNetworks: settings.clusterNetworks,
    ...tlsModes(resources, target, settings),
    layers: [...others, ...istioLayers(resources, target, settings, decided)],
    rateLimits: linkerd.rateLimits,
    jwt: jwtRules(resources, target, settings),
    providers: settings.providers,
  };
}
