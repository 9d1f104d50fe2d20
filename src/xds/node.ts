/** Who is at the other end of an xDS stream. */

/** What a sidecar says about itself when it connects. */
export interface XdsNode {
  /** The workload's name, unique within its namespace: "price-1". */
  readonly workload: string;
  /** Where a bare service name is looked up. */
  readonly namespace: string;
  /** The service that the workload belongs to, or "". */
  readonly service: string;
  /** Where its admin server listens, "ip:port", or "". */
  readonly admin: string;
}

/** A resource that a client refused. */
export interface Nack {
  /** The short name of its type: "Listener", "RouteConfiguration", "Cluster", "ClusterLoadAssignment", "InboundPolicy". */
  readonly type: string;
  /** The refused resource if the client named it, or all the names of the refused response, shortened. */
  readonly name: string;
  /** What the client said. */
  readonly message: string;
  /** Wall-clock time. */
  readonly at: Date;
}

/** One open xDS stream as the control plane sees it. The strings are "" where the client did not say. */
export interface NodeStatus extends XdsNode {
  /** As the client gave it: "price-1.default" for a sidecar of ours. */
  readonly id: string;
  /** The SPIFFE id that it has proved, as who comes from another host must; "" if nobody asked. */
  readonly identity: string;
  /** What it is and of which version: "heddle" for a sidecar of ours. */
  readonly program: string;
  readonly version: string;
  /** Wall-clock time. */
  readonly connectedSince: Date;
  /** Names it is subscribed to, over all types. */
  readonly subscriptions: number;
  /** Responses it has accepted and refused on this stream. */
  readonly acked: number;
  readonly nacked: number;
  readonly lastNack: Nack | null;
  /** What it has refused and accepted no other version of since, at most 100. */
  readonly refused: readonly Nack[];
}
