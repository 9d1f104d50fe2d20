/** What one sidecar is told when it starts. What changes later comes over xDS. */
import type { PortProtocol } from "../model/service.ts";
import type { LogFormat, LogLevel } from "../telemetry/log.ts";

export interface SocketAddress {
  /** An IP address literal. */
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
}

/** Where an application listens: a port, or the absolute path of a Unix socket. */
export type ApplicationAddress = SocketAddress | { readonly path: string };

/** One port of the application: the mesh reaches it at `listen`, the sidecar passes on to `target`. */
export interface InboundConfig {
  readonly listen: SocketAddress;
  readonly target: ApplicationAddress;
  /** The service and port that callers name. */
  readonly service: string;
  readonly port: number;
  readonly protocol: PortProtocol;
}

/** An explicit upstream port: all that connects to `listen` goes to `authority`. */
export interface UpstreamConfig {
  readonly listen: SocketAddress;
  /** As callers would name it: "price", "price.shop:80". */
  readonly authority: string;
}

/** A port of the application that callers reach by its own number: their packets are redirected to us. */
export interface CapturedPort extends Omit<InboundConfig, "listen"> {
  /** The port that they were going to, 1 to 65535. */
  readonly appPort: number;
}

/** Where firewall rules (`heddle init`) redirect the connections of this workload. An address like "::" takes IPv4, too. */
export interface CaptureConfig {
  /** What comes from others. Linkerd: port 4143. */
  readonly inbound: SocketAddress;
  /** What the application connects to. Linkerd: port 4140. */
  readonly outbound: SocketAddress;
  /** What is known of the application's ports; of others the protocol is detected. */
  readonly ports: readonly CapturedPort[];
}

/** By what a sidecar proves who it is. */
export interface IdentityConfig {
  readonly trustDomain: string;
  readonly serviceAccount: string;
  /** Good once, for its first certificate. A secret: "" in a worker thread, which has no use for it. */
  readonly joinToken: string;
}

export interface ProxyConfig {
  /** The workload's name, unique within its namespace: "price-1". */
  readonly workload: string;
  readonly namespace: string;
  /** The service that the workload belongs to; "" for a sidecar with no application, like the one for the person at the keyboard. */
  readonly service: string;
  /** The control plane's xDS address; undefined: the proxy knows no services. */
  readonly control: SocketAddress | undefined;
  /** undefined: it has no certificate, and proves nothing. */
  readonly identity?: IdentityConfig | undefined;
  /** The listener that routes by Host; undefined for none. */
  readonly outbound: SocketAddress | undefined;
  readonly upstreams: readonly UpstreamConfig[];
  readonly inbound: readonly InboundConfig[];
  /** undefined: nothing is redirected to it. */
  readonly capture?: CaptureConfig | undefined;
  readonly admin: SocketAddress;
  /** Threads that carry the traffic, 1 to 64. */
  readonly workers: number;
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  /** Milliseconds that a drain may take before what is left is cut. Linkerd: 120,000. */
  readonly shutdownGraceMs: number;
}
