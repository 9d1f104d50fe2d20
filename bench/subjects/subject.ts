/** What is measured: something that listens on a port, and the processes whose CPU and memory count. */
import type { Child } from "../processes.ts";

export type Protocol = "http1" | "http2";

export interface Subject {
  /** As the report names it. */
  readonly name: string;
  readonly port: number;
  /** Empty for the direct way. */
  readonly processes: readonly Child[];
}
