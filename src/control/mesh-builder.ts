/** The union of all sources as one immutable mesh. Pure: the same sources give the same mesh, in the same order. */
import type { MeshFile } from "../dialects/mesh/mesh-file.ts";
import { type Endpoint, endpointKey } from "../model/endpoint.ts";
import { spiffeId } from "../model/identity.ts";
import { type InboundPolicy, tlsModeOf } from "../model/inbound-policy.ts";
import type { Mesh } from "../model/mesh.ts";
import { type PortKey, portKey, type Service, type ServicePort } from "../model/service.ts";
import { type Workload, type WorkloadKey, workloadKey, type WorkloadPort } from "../model/workload.ts";

export interface BuiltMesh {
  readonly mesh: Mesh;
  /** What the sources do not agree on, for people. */
  readonly warnings: readonly string[];
}

export interface MeshSettings {
  /** Of the identities that meshed endpoints must prove. */
  readonly trustDomain: string;
  /** Who may call a workload; undefined if that is not known, which leaves its sidecar as it is. */
  readonly policyOf: (workload: Workload) => InboundPolicy | undefined;
}

/** A service while its ports are gathered. */
interface Draft {
  readonly name: string;
  readonly namespace: string;
  /** By number. */
  readonly ports: Map<number, ServicePort>;
  readonly addresses: Set<string>;
}

/**
 * A service exists if a file declares it or a workload serves it; where they differ, what comes first holds, and files
 * come before workloads. An address that two workloads claim on one port belongs to the later of them: ports are used
 * again sooner than the lease of the workload that had them before runs out.
 *
 * @param workloads the most recently changed last
 */
export function buildMesh(
  files: readonly MeshFile[],
  workloads: readonly Workload[],
  settings: MeshSettings,
): BuiltMesh {
  const builder = new Builder(settings);
  for (const file of files) {
    for (const service of file.services) {
      for (const port of service.ports) builder.addPort(service.name, file.namespace, port, file.file);
    }
  }
  const byName = workloads.toSorted((a, b) => compare(a.namespace, b.namespace) || compare(a.name, b.name));
  for (const workload of byName) {
    for (const port of workload.ports) {
      builder.addPort(port.service, workload.namespace, port, `workload ${workload.name}`);
      builder.addAddresses(port.service, workload.namespace, port.serviceAddresses ?? []);
    }
    builder.addPolicy(workload);
  }
  for (const workload of workloads) {
    for (const port of workload.ports) builder.addEndpoint(workload, port);
  }
  return builder.finish();
}

class Builder {
  readonly #services = new Map<string, Draft>();
  readonly #endpoints = new Map<PortKey, Map<string, Endpoint>>();
  readonly #policies = new Map<WorkloadKey, InboundPolicy>();
  readonly #warnings: string[] = [];
  readonly #settings: MeshSettings;

  constructor(settings: MeshSettings) {
    this.#settings = settings;
  }

  addPort(name: string, namespace: string, port: ServicePort, origin: string): void {
    const key = `${name}.${namespace}`;
    let draft = this.#services.get(key);
    if (draft === undefined) {
      draft = { name, namespace, ports: new Map(), addresses: new Set() };
      this.#services.set(key, draft);
    }
    const known = draft.ports.get(port.port);
    if (known !== undefined) {
      if (known.protocol === port.protocol) return;
      const says = `${origin} says that ${key}:${port.port} speaks ${port.protocol}`;
      this.#warnings.push(`${says}, but it is known as ${known.protocol}, which stays`);
      return;
    }
    const taken = [...draft.ports.values()].find((other) => other.name === port.name);
    const unique = taken === undefined ? port.name : `${port.name}-${port.port}`;
    if (taken !== undefined) {
      const says = `${origin} calls ${key}:${port.port} "${port.name}"`;
      this.#warnings.push(`${says}, which is the name of port ${taken.port}; it is called "${unique}"`);
    }
    draft.ports.set(port.port, { name: unique, port: port.port, protocol: port.protocol });
  }

  /** Of a service that has a port already. */
  addAddresses(name: string, namespace: string, addresses: readonly string[]): void {
    for (const address of addresses) this.#services.get(`${name}.${namespace}`)?.addresses.add(address);
  }

  addPolicy(workload: Workload): void {
    const policy = this.#settings.policyOf(workload);
    if (policy !== undefined) this.#policies.set(workloadKey(workload), policy);
  }

  addEndpoint(workload: Workload, port: WorkloadPort): void {
    const key = portKey({ name: port.service, namespace: workload.namespace }, port.port);
    let endpoints = this.#endpoints.get(key);
    if (endpoints === undefined) {
      endpoints = new Map();
      this.#endpoints.set(key, endpoints);
    }
    const endpoint: Endpoint = {
      address: port.address,
      port: port.addressPort,
      workload: workload.name,
      locality: workload.locality,
      weight: workload.weight,
      health: workload.health,
      labels: workload.labels,
      meshed: port.meshed,
      identity: port.meshed ? this.#identity(workload, port.port) : "",
    };
    const address = endpointKey(endpoint);
    const before = endpoints.get(address);
    if (before !== undefined) {
      const taken = `${workload.name} serves ${key} at ${address}, where ${before.workload} was`;
      this.#warnings.push(`${taken}; the later one holds`);
    }
    endpoints.set(address, endpoint);
  }

  finish(): BuiltMesh {
    const services: Service[] = [...this.#services.values()]
      .map(({ name, namespace, ports, addresses }) => ({
        name,
        namespace,
        ports: [...ports.values()],
        ...(addresses.size > 0 && { addresses: [...addresses].sort(compare) }),
      }))
      .sort((a, b) => compare(a.namespace, b.namespace) || compare(a.name, b.name));
    const endpoints = new Map<PortKey, readonly Endpoint[]>(
      [...this.#endpoints]
        .sort(([a], [b]) => compare(a, b))
        .map(([key, byAddress]) => [
          key,
          [...byAddress.values()].sort(
            (a, b) => compare(a.workload, b.workload) || compare(a.address, b.address) || a.port - b.port,
          ),
        ]),
    );
    const mesh: Mesh = {
      services,
      endpoints,
      routes: new Map(),
      policies: new Map(),
      inboundPolicies: this.#policies,
    };
    return { mesh, warnings: this.#warnings };
  }

  /** What callers of a port make its sidecar prove: nothing where that leaves TLS of the mesh to the application. */
  #identity(workload: Workload, port: number): string {
    const { namespace, serviceAccount } = workload;
    const policy = this.#policies.get(workloadKey(workload));
    if (serviceAccount === "" || (policy !== undefined && tlsModeOf(policy, port) === "disable")) return "";
    return spiffeId({ trustDomain: this.#settings.trustDomain, namespace, serviceAccount });
  }
}

/** By code units: the same everywhere, whatever the locale. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
