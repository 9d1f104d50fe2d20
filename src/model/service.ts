/** A logical destination: what callers name. */

/**
 * What is spoken on a port. "detect" looks at the first bytes; "opaque" is never looked at. The names follow
 * `appProtocol` as Linkerd reads it (http, kubernetes.io/h2c, linkerd.io/opaque).
 */
export type PortProtocol = "detect" | "http" | "http2" | "grpc" | "opaque";

export const PORT_PROTOCOLS: readonly PortProtocol[] = ["detect", "http", "http2", "grpc", "opaque"];

export interface ServicePort {
  /** Unique within the service: "http", "grpc", … */
  readonly name: string;
  /** The port that callers say, 1 to 65535. */
  readonly port: number;
  readonly protocol: PortProtocol;
}

export interface Service {
  /** A DNS label. */
  readonly name: string;
  readonly namespace: string;
  /** At least one; the first one is meant when a caller names no port. */
  readonly ports: readonly ServicePort[];
}

/** One port of one service, the unit that routes, backends and endpoints hang on: "price.shop:80". */
export type PortKey = string;

export function portKey(service: { readonly name: string; readonly namespace: string }, port: number): PortKey {
  return `${service.name}.${service.namespace}:${port}`;
}

/** Takes a {@link PortKey} apart. @throws Error if it is none */
export function parsePortKey(key: PortKey): { name: string; namespace: string; port: number } {
  const match = /^([^.:]+)\.([^.:]+):(\d{1,5})$/.exec(key);
  if (match === null) throw new Error(`not a service port key of the form name.namespace:port: "${key}"`);
  return { name: match[1] as string, namespace: match[2] as string, port: Number(match[3]) };
}
