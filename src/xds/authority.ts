/** What a caller means by "price", "price.shop", "price:80" or "price.shop.svc.cluster.local:80". */
import type { Mesh } from "../model/mesh.ts";
import { portKey, type PortKey, type Service } from "../model/service.ts";

/** The namespace of a bare name when the caller's own is not known. */
export const DEFAULT_NAMESPACE = "default";

const LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?";
const AUTHORITY = new RegExp(
  `^(${LABEL})(?:\\.(${LABEL})(?:\\.svc(?:\\.cluster\\.local)?)?\\.?)?(?::([1-9]\\d{0,4}))?$`,
);

/** The services of a mesh by "name.namespace". */
export type ServiceIndex = ReadonlyMap<string, Service>;

export function indexServices(mesh: Mesh): ServiceIndex {
  return new Map(mesh.services.map((service) => [`${service.name}.${service.namespace}`, service]));
}

/**
 * The port of a service that an authority stands for. No port means the service's first one.
 *
 * @param authority as the caller wrote it, lower case; there are at most eight ways to write one port of one service
 * @param namespace where a bare name is looked up
 * @returns undefined if it is no name of a service, or the mesh has no such service or port
 */
export function resolveAuthority(services: ServiceIndex, authority: string, namespace: string): PortKey | undefined {
  const match = AUTHORITY.exec(authority);
  if (match === null) return undefined;
  const service = services.get(`${match[1]}.${match[2] ?? namespace}`);
  if (service === undefined) return undefined;
  const number = match[3] === undefined ? undefined : Number(match[3]);
  const port = service.ports.find((candidate) => number === undefined || candidate.port === number);
  return port === undefined ? undefined : portKey(service, port.port);
}
