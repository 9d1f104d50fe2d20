/**
 * Addresses as authorities: "10.1.2.3:8080", "[fd00::1]:8080". Who captures connections knows no names, only where they
 * were going, and asks what that is in the mesh: the virtual address of a service, or one of its endpoints.
 */
import { isIP, SocketAddress } from "node:net";

import { type Endpoint, endpointKey } from "../model/endpoint.ts";
import type { Mesh } from "../model/mesh.ts";
import { type PortKey, portKey, type Service, type ServicePort } from "../model/service.ts";

const AUTHORITY = /^(?:\[([0-9a-f:.]{2,45})\]|([0-9.]{7,15})):([1-9][0-9]{0,4})$/;

export interface AddressAuthority {
  /** An IP address literal. */
  readonly address: string;
  /** 1 to 65535. */
  readonly port: number;
}

/** Takes one apart; undefined of anything else, like a name. */
export function parseAddressAuthority(authority: string): AddressAuthority | undefined {
  const match = AUTHORITY.exec(authority);
  if (match === null) return undefined;
  const [, v6, v4 = ""] = match;
  const port = Number(match[3]);
  if (port > 65_535 || isIP(v6 ?? v4) !== (v6 === undefined ? 4 : 6)) return undefined;
  return { address: v6 ?? v4, port };
}

/** What stands behind an address. */
export interface Addressed {
  readonly key: PortKey;
  readonly service: Service;
  readonly port: ServicePort;
  /** Whose address it is; undefined: the service's own, so any of its endpoints is meant. */
  readonly endpoint: Endpoint | undefined;
}

/** By authority, addresses in their shortest form. What a service has claimed is not an endpoint's. */
export type AddressIndex = ReadonlyMap<string, Addressed>;

export function indexAddresses(mesh: Mesh): AddressIndex {
  const index = new Map<string, Addressed>();
  const add = (address: string, number: number, addressed: Addressed): void => {
    const authority = endpointKey({ address: shortest(address), port: number });
    if (!index.has(authority)) index.set(authority, addressed);
  };
  for (const service of mesh.services) {
    for (const port of service.ports) {
      const key = portKey(service, port.port);
      for (const address of service.addresses ?? [])
        add(address, port.port, { key, service, port, endpoint: undefined });
    }
  }
  for (const service of mesh.services) {
    for (const port of service.ports) {
      const key = portKey(service, port.port);
      for (const endpoint of mesh.endpoints.get(key) ?? []) {
        add(endpoint.address, endpoint.port, { key, service, port, endpoint });
      }
    }
  }
  return index;
}

/** The kernel says "fd00::1" where a document may say "fd00:0::1". */
function shortest(address: string): string {
  return isIP(address) === 6 ? new SocketAddress({ family: "ipv6", address }).address : address;
}
