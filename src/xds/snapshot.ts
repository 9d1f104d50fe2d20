/**
 * One {@link Mesh} as xDS resources. Nothing is encoded before somebody asks for it, and then once for all streams; what
 * the mesh before had from the very same objects is taken over.
 */
import { hash } from "node:crypto";

import { create } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";

import { defaultBackendPolicy } from "../model/backend-policy.ts";
import type { Endpoint } from "../model/endpoint.ts";
import type { Mesh } from "../model/mesh.ts";
import { defaultRoute } from "../model/route.ts";
import { portKey, type Service, type ServicePort } from "../model/service.ts";
import { type Addressed, type AddressIndex, indexAddresses, parseAddressAuthority } from "./address.ts";
import { indexServices, resolveAuthority, type ServiceIndex } from "./authority.ts";
import { encodeInboundPolicy } from "./encode-policy.ts";
import { encodeCluster, encodeEndpoints, encodeListener, encodeRoutes } from "./encode.ts";
import type { Logger } from "../telemetry/log.ts";
import { CLUSTER, INBOUND_POLICY, LISTENER, type ResourceType, ROUTES, shortTypeName } from "./resource-types.ts";

export interface EncodedResource {
  readonly name: string;
  /** The hash of the bytes, so a restarted control plane gives the same one. */
  readonly version: string;
  readonly body: Any;
}

/** @internal */
interface CacheEntry {
  /** What it was encoded from: identical means that the resource is. */
  readonly source: unknown;
  /** undefined if it could not be encoded. */
  readonly resource: EncodedResource | undefined;
}

interface PortEntry {
  readonly service: Service;
  readonly port: ServicePort;
}

export class Snapshot {
  readonly #mesh: Mesh;
  readonly #services: ServiceIndex;
  readonly #ports = new Map<string, PortEntry>();
  readonly #cache = new Map<string, CacheEntry>();
  readonly #previous: ReadonlyMap<string, CacheEntry>;
  readonly #logger: Logger;
  #byAddress: AddressIndex | undefined;

  constructor(mesh: Mesh, logger: Logger, previous?: Snapshot) {
    this.#mesh = mesh;
    this.#logger = logger;
    this.#services = indexServices(mesh);
    this.#previous = previous === undefined ? new Map() : previous.#cache;
    for (const service of mesh.services) {
      for (const port of service.ports) this.#ports.set(portKey(service, port.port), { service, port });
    }
  }

  /** The names of all resources of any type that a wildcard stands for: one per service port. */
  names(): Iterable<string> {
    return this.#ports.keys();
  }

  /** Whether `names` has it. */
  has(name: string): boolean {
    return this.#ports.has(name);
  }

  /**
   * @param namespace where a Listener's bare name is looked up
   * @returns undefined if there is no such resource. One with a value that the wire cannot carry is logged and stays as
   *   it was in the mesh before.
   */
  get(type: ResourceType, name: string, namespace: string): EncodedResource | undefined {
    if (type === INBOUND_POLICY) {
      const policy = this.#mesh.inboundPolicies.get(name);
      if (policy === undefined) return undefined;
      return this.#encoded(type, name, name, policy, () => encodeInboundPolicy(name, policy));
    }
    const addressed = parseAddressAuthority(name) && this.#addresses().get(name);
    if (addressed?.endpoint !== undefined) return this.#oneEndpoint(type, name, addressed, addressed.endpoint);
    const key = type !== LISTENER ? name : (addressed?.key ?? resolveAuthority(this.#services, name, namespace));
    const entry = key === undefined ? undefined : this.#ports.get(key);
    if (key === undefined || entry === undefined) return undefined;
    if (type === LISTENER) {
      const { service, port } = entry;
      const source = `${key} ${port.name} ${port.protocol}`;
      return this.#encoded(type, name, key, source, () => encodeListener(name, key, service, port));
    }
    if (type === ROUTES) {
      const routes = this.#mesh.routes.get(key);
      return this.#encoded(type, name, key, routes, () => encodeRoutes(key, routes ?? [defaultRoute(key)]));
    }
    if (type === CLUSTER) {
      const policy = this.#mesh.policies.get(key);
      return this.#encoded(type, name, key, policy, () => encodeCluster(key, policy ?? defaultBackendPolicy));
    }
    const endpoints = this.#mesh.endpoints.get(key);
    return this.#encoded(type, name, key, endpoints, () => encodeEndpoints(key, endpoints ?? []));
  }

  /** Who connects to the address of an endpoint means that one and no other: it is a backend of its own. */
  #oneEndpoint(type: ResourceType, name: string, { key, service, port }: Addressed, endpoint: Endpoint) {
    if (type === LISTENER) {
      const source = `${key} ${port.name} ${port.protocol}`;
      return this.#encoded(type, name, key, source, () => encodeListener(name, name, service, port));
    }
    if (type === ROUTES) return this.#encoded(type, name, name, name, () => encodeRoutes(name, [defaultRoute(name)]));
    if (type === CLUSTER) {
      const policy = this.#mesh.policies.get(key);
      return this.#encoded(type, name, name, policy, () => encodeCluster(name, policy ?? defaultBackendPolicy));
    }
    return this.#encoded(type, name, name, endpoint, () => encodeEndpoints(name, [endpoint]));
  }

  /** Made when the first address is asked for: most meshes are never asked for one. */
  #addresses(): AddressIndex {
    this.#byAddress ??= indexAddresses(this.#mesh);
    return this.#byAddress;
  }

  #encoded(
    type: ResourceType,
    name: string,
    key: string,
    source: unknown,
    encode: () => Uint8Array<ArrayBuffer>,
  ): EncodedResource | undefined {
    const id = `${type} ${name} ${key}`;
    let entry = this.#cache.get(id);
    if (entry !== undefined) return entry.resource;
    const before = this.#previous.get(id);
    if (before !== undefined && before.source === source) {
      entry = before;
    } else {
      try {
        entry = { source, resource: encodeResource(type, name, encode()) };
      } catch (error) {
        entry = { source, resource: before?.resource };
        this.#logger.error("a resource cannot be encoded", { type: shortTypeName(type), name, reason: String(error) });
      }
    }
    this.#cache.set(id, entry);
    return entry.resource;
  }
}

/** Gives a resource its version. */
export function encodeResource(type: ResourceType, name: string, value: Uint8Array<ArrayBuffer>): EncodedResource {
  const version = hash("sha256", value, "base64url").slice(0, 16);
  return { name, version, body: create(AnySchema, { typeUrl: type, value }) };
}
