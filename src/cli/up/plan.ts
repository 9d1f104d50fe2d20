/** From what the mesh file says and the ports that are free: the sidecar's configuration, the service's environment, the registration. */
import type { MeshFileInstance, MeshFilePort, MeshFileService } from "../../dialects/mesh/mesh-file.ts";
import type { EndpointHealth } from "../../model/endpoint.ts";
import { DEFAULT_TRUST_DOMAIN } from "../../model/identity.ts";
import type { IdentityConfig, ProxyConfig, SocketAddress } from "../../proxy/config.ts";
import type { LogLevel } from "../../telemetry/log.ts";
import type { WorkloadRegistration } from "../control-client.ts";
import { formatAddress } from "../values.ts";
import { LOOPBACK, type PortAllocator } from "./ports.ts";
import { LEASE_SECONDS } from "./registration.ts";

/** The addresses of the mesh that do not belong to one instance. */
export interface MeshAddresses {
  /** The control plane's HTTP API and xDS. */
  readonly api: SocketAddress;
  readonly xds: SocketAddress;
  /** The sidecar of the person at the keyboard. */
  readonly outbound: SocketAddress;
  readonly admin: SocketAddress;
}

/** What one instance is, without the ports that it happens to get. */
export interface InstanceDefinition {
  readonly namespace: string;
  readonly service: Omit<MeshFileService, "instances">;
  readonly instance: MeshFileInstance;
}

/** The loopback ports of one instance. */
export interface InstancePorts {
  readonly ports: readonly { readonly definition: MeshFilePort; readonly app: number; readonly inbound: number }[];
  readonly upstreams: readonly { readonly authority: string; readonly port: number }[];
  readonly outbound: number;
  readonly admin: number;
  /** Where it lives, if that is a network namespace of its own; there the program listens at the ports that callers say. */
  readonly captured?: CapturedPlace | undefined;
}

/** A network namespace in which all connections are redirected to the sidecar. */
export interface CapturedPlace {
  /** At which others reach the instance, an IP address literal. */
  readonly address: string;
  /** At which programs reach any instance of its service. */
  readonly serviceAddresses: readonly string[];
  /** Where its rules redirect to. */
  readonly inbound: SocketAddress;
  readonly outbound: SocketAddress;
  /** The control plane's xDS, seen from inside. */
  readonly control: SocketAddress;
}

/** @throws Failure if there are not enough free ports */
export async function allocatePorts(
  definition: InstanceDefinition,
  allocator: PortAllocator,
  fixedAppPorts: readonly number[] = [],
): Promise<InstancePorts> {
  const ports = [];
  for (const [index, port] of definition.service.ports.entries()) {
    const app = fixedAppPorts[index] ?? (await allocator.allocate());
    ports.push({ definition: port, app, inbound: await allocator.allocate() });
  }
  const upstreams = [];
  for (const authority of definition.service.upstreams) {
    upstreams.push({ authority, port: await allocator.allocate() });
  }
  return { ports, upstreams, outbound: await allocator.allocate(), admin: await allocator.allocate() };
}

export function releasePorts(ports: InstancePorts, allocator: PortAllocator): void {
  for (const { app, inbound } of ports.ports) {
    allocator.release(app);
    allocator.release(inbound);
  }
  for (const { port } of ports.upstreams) allocator.release(port);
  allocator.release(ports.outbound);
  allocator.release(ports.admin);
}

export interface SidecarSettings {
  readonly logLevel: LogLevel;
  readonly shutdownGraceMs: number;
}

export function sidecarConfig(
  definition: InstanceDefinition,
  ports: InstancePorts,
  addresses: Pick<MeshAddresses, "xds">,
  settings: SidecarSettings,
): ProxyConfig {
  const { captured } = ports;
  const served = ({ definition: port, app }: InstancePorts["ports"][number]) => ({
    target: loopback(app),
    service: definition.service.name,
    port: port.port,
    protocol: port.protocol,
  });
  return {
    workload: definition.instance.name,
    namespace: definition.namespace,
    service: definition.service.name,
    control: captured?.control ?? addresses.xds,
    identity: identityOf(definition.service.name),
    outbound: loopback(ports.outbound),
    upstreams: ports.upstreams.map(({ authority, port }) => ({ authority, listen: loopback(port) })),
    inbound:
      captured === undefined ? ports.ports.map((port) => ({ listen: loopback(port.inbound), ...served(port) })) : [],
    capture: captured && {
      inbound: captured.inbound,
      outbound: captured.outbound,
      ports: ports.ports.map((port) => ({ appPort: port.app, ...served(port) })),
    },
    admin: loopback(ports.admin),
    workers: 1,
    logFormat: "plain",
    ...settings,
  };
}

/** The workload's name of the sidecar that belongs to the person at the keyboard. */
export const KEYBOARD = "keyboard";

export function keyboardConfig(namespace: string, addresses: MeshAddresses, settings: SidecarSettings): ProxyConfig {
  return {
    workload: KEYBOARD,
    namespace,
    service: "",
    control: addresses.xds,
    identity: identityOf(KEYBOARD),
    outbound: addresses.outbound,
    upstreams: [],
    inbound: [],
    admin: addresses.admin,
    workers: 1,
    logFormat: "plain",
    ...settings,
  };
}

/** The token comes when the sidecar is started, since each is good once; the mesh's trust domain comes with it. */
function identityOf(serviceAccount: string): IdentityConfig {
  return { trustDomain: DEFAULT_TRUST_DOMAIN, serviceAccount, joinToken: "" };
}

/** The variables that tell a service how it stands in the mesh; the mesh file's own come last and win. */
export function serviceEnvironment(definition: InstanceDefinition, ports: InstancePorts): Record<string, string> {
  const env: Record<string, string> = {
    HEDDLE_WORKLOAD: definition.instance.name,
    HEDDLE_HTTP_PROXY: `http://${formatAddress(loopback(ports.outbound))}`,
    HEDDLE_NODE: process.execPath,
  };
  for (const { definition: port, app } of ports.ports) env[port.env] = String(app);
  for (const { authority, port } of ports.upstreams) env[upstreamVariable(authority)] = formatAddress(loopback(port));
  return { ...env, ...definition.service.env, ...definition.instance.env };
}

/** "price-grpc.shop" → "HEDDLE_UPSTREAM_PRICE_GRPC_SHOP" */
export function upstreamVariable(authority: string): string {
  return `HEDDLE_UPSTREAM_${authority.toUpperCase().replaceAll(/[^A-Z0-9]/g, "_")}`;
}

export function registrationOf(
  definition: InstanceDefinition,
  ports: InstancePorts,
  health: EndpointHealth,
): WorkloadRegistration {
  return {
    serviceAccount: definition.service.name,
    labels: { ...definition.service.labels, ...definition.instance.labels },
    locality: { region: "", zone: "", subZone: "" },
    weight: 1,
    health,
    ports: ports.ports.map(({ definition: port, app, inbound }) => ({
      service: definition.service.name,
      name: port.name,
      port: port.port,
      protocol: port.protocol,
      address: ports.captured?.address ?? LOOPBACK,
      addressPort: ports.captured === undefined ? inbound : app,
      meshed: true,
      ...(ports.captured && { serviceAddresses: ports.captured.serviceAddresses }),
    })),
    admin: formatAddress(loopback(ports.admin)),
    outbound: formatAddress(loopback(ports.outbound)),
    upstreams: ports.upstreams.map(({ authority, port }) => ({ authority, address: formatAddress(loopback(port)) })),
    ttlSeconds: LEASE_SECONDS,
  };
}

export function keyboardRegistration(addresses: MeshAddresses, health: EndpointHealth): WorkloadRegistration {
  return {
    serviceAccount: KEYBOARD,
    labels: {},
    locality: { region: "", zone: "", subZone: "" },
    weight: 1,
    health,
    ports: [],
    admin: formatAddress(addresses.admin),
    outbound: formatAddress(addresses.outbound),
    upstreams: [],
    ttlSeconds: LEASE_SECONDS,
  };
}

function loopback(port: number): SocketAddress {
  return { host: LOOPBACK, port };
}
