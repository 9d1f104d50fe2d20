/** Whose metrics are read: every sidecar, known from its registration or its xDS stream. */
import type { XdsNode } from "../xds/node.ts";
import type { Registration } from "./sources/registration.ts";
import type { ScrapeTarget } from "./stat/scraper.ts";

/** What its stream says is newer than its registration. One without a service only calls others. */
export function scrapeTargets(nodes: readonly XdsNode[], registrations: readonly Registration[]): ScrapeTarget[] {
  const targets = new Map<string, ScrapeTarget>();
  for (const { name, namespace, admin, ports } of registrations) {
    const service = ports[0]?.service ?? "";
    if (admin !== "") targets.set(`${name}.${namespace}`, { workload: name, namespace, service, admin });
  }
  for (const { workload, namespace, service, admin } of nodes) {
    if (admin === "" || workload === "") continue;
    targets.set(`${workload}.${namespace}`, { workload, namespace, service, admin });
  }
  return [...targets.values()];
}
