/** A logical destination: what callers name. */

/** What is spoken on a port. "detect" looks at the first bytes; "opaque" is never looked at. */
export type PortProtocol = "detect" | "http" | "http2" | "grpc" | "opaque";

export const PORT_PROTOCOLS: readonly PortProtocol[] = ["detect", "http", "http2", "grpc", "opaque"];

/** The values of Kubernetes' `appProtocol` that Linkerd knows and that are not names of ours as well. */
export const APP_PROTOCOLS: Readonly<Record<string, PortProtocol>> = {
  "kubernetes.io/h2c": "http2",
  "linkerd.io/opaque": "opaque",
  "linkerd.io/tcp": "opaque",
};

/** A protocol by our name for it or by its `appProtocol`; undefined if it is neither. */
export function portProtocol(text: string): PortProtocol | undefined {
  return (
    PORT_PROTOCOLS.find((known) => known === text) ??
    (Object.hasOwn(APP_PROTOCOLS, text) ? APP_PROTOCOLS[text] : undefined)
  );
}

/**
 * Ports of which nobody has to say that they are opaque, Linkerd's list: SMTP, submission, MySQL, Galera, PostgreSQL,
 * Redis, Elasticsearch, Memcached. On most of them the server speaks first.
 */
export const OPAQUE_PORTS: readonly number[] = [25, 587, 3306, 4444, 5432, 6379, 9300, 11211];

/** What is spoken on a port of which nobody says it. @param port the one that callers say */
export function defaultProtocol(port: number): PortProtocol {
  return OPAQUE_PORTS.includes(port) ? "opaque" : "detect";
}

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
  /** Virtual addresses, IP literals: who connects to one of them at one of the ports means the service. */
  readonly addresses?: readonly string[];
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
