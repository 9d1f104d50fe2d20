/** What the main thread and a worker thread tell each other. All of it is plain data. */
import type { InboundPolicy } from "../../model/inbound-policy.ts";
import type { ServiceView } from "../../model/mesh.ts";
import type { Credentials } from "../../net/credentials.ts";
import type { LogLevel } from "../../telemetry/log.ts";
import type { FamilySnapshot, StaleSeries } from "../../telemetry/snapshot.ts";
import type { ProxyConfig } from "../config.ts";

/** What a worker is started with. */
export interface WorkerStart {
  readonly config: ProxyConfig;
  /** undefined: the sidecar has no identity. */
  readonly ticketSecret: Uint8Array | undefined;
}

/** What is answered, when it is done, by a `done` with the same id. */
export type Task = "ping" | "report" | "drainInbound" | "drainOutbound";

export type ToWorker =
  | { readonly kind: "task"; readonly id: number; readonly task: Task }
  | { readonly kind: "drop"; readonly stale: readonly StaleSeries[] }
  | { readonly kind: "logLevel"; readonly level: LogLevel }
  | { readonly kind: "credentials"; readonly credentials: Credentials }
  | { readonly kind: "view"; readonly watch: number; readonly view: ServiceView }
  | { readonly kind: "unknown"; readonly watch: number }
  | { readonly kind: "policy"; readonly watch: number; readonly policy: InboundPolicy };

export type FromWorker =
  /** Its listeners accept. */
  | { readonly kind: "open" }
  /** One of its listeners cannot be opened: what ListenError says, since classes do not cross threads. */
  | { readonly kind: "refused"; readonly message: string; readonly code: string }
  | { readonly kind: "done"; readonly id: number; readonly report: Report | undefined }
  /** The credentials that it was told last are in use. */
  | { readonly kind: "holding" }
  | { readonly kind: "watch"; readonly watch: number; readonly authority: string }
  /** A watch of who may call. */
  | { readonly kind: "watchPolicy"; readonly watch: number }
  /** What was told of this watch has been taken in. */
  | { readonly kind: "heard"; readonly watch: number }
  | { readonly kind: "unwatch"; readonly watch: number };

/** How a worker is at one moment. */
export interface Report {
  readonly families: readonly FamilySnapshot[];
  /** Connections being served. */
  readonly connections: number;
  /** User and system CPU time of its thread. */
  readonly cpuSeconds: number;
}
