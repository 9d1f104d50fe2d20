/** Whose metrics are read: every sidecar, known from its registration or its xDS stream. */
import { isLoopback } from "../net/loopback.ts";
import type { NodeStatus } from "../xds/node.ts";
import type { Registration } from "./sources/registration.ts";
import type { ScrapeTarget } from "./stat/scraper.ts";

type Node = Pick<NodeStatus, "workload" | "namespace" | "service" | "admin" | "identity">;

/** What its stream says is newer than its registration. One without a service only calls others. */
export function scrapeTargets(nodes: readonly Node[], registrations: readonly Registration[]): ScrapeTarget[] {
  const targets = new Map<string, ScrapeTarget>();
  for (const { name, namespace, admin, ports } of registrations) {
    const service = ports[0]?.service ?? "";
    if (admin !== "") targets.set(`${name}.${namespace}`, { workload: name, namespace, service, admin });
  }
  for (const { workload, namespace, service, admin, identity } of nodes) {
    if (admin === "" || workload === "") continue;
    // The loopback interface of another host is not ours, where somebody else answers at this port.
    if (identity !== "" && isLoopback(hostOf(admin))) continue;
    targets.set(`${workload}.${namespace}`, { workload, namespace, service, admin });
  }
  return [...targets.values()];
}

function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(":")).replace(/^\[(.*)\]$/, "$1");
}
