/** What is measured: something that listens on a port, and the processes whose CPU and memory count. */
import type { Child } from "../processes.ts";

/**
 * What goes through the subjects. gRPC is HTTP/2 and WebSocket is HTTP/1, each with a back end of its own; "tcp" is bytes
 * that nobody looks at.
 */
export type Traffic = "http1" | "http2" | "grpc" | "websocket" | "tcp";

export function overHttp2(traffic: Traffic): boolean {
  return traffic === "http2" || traffic === "grpc";
}

export interface Subject {
  /** As the report names it. */
  readonly name: string;
  readonly port: number;
  /** Empty for the direct way. */
  readonly processes: readonly Child[];
}
