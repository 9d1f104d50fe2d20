/** What `heddle demo` shows while it runs and at its end. */
import type { StatRow } from "../control-client.ts";
import { type Column, type Paint, table } from "../output.ts";
import { goldenCells } from "../stat-table.ts";

export interface DemoFacts {
  readonly requests: number;
  readonly failures: number;
  readonly rows: readonly StatRow[];
}

export interface DemoHints {
  /** How the user calls Heddle. */
  readonly heddle: string;
  /** Address of the keyboard's sidecar. */
  readonly outbound: string;
  /** ` --control HOST:PORT`, or "" if it is the usual one. */
  readonly control: string;
}

/** What matters at first sight, in fewer than 80 columns. */
const COLUMNS: readonly Column[] = [
  { title: "SERVICE", align: "left" },
  { title: "INSTANCES", align: "right" },
  { title: "SUCCESS", align: "right" },
  { title: "RPS", align: "right" },
  { title: "P50", align: "right" },
  { title: "P95", align: "right" },
  { title: "P99", align: "right" },
];

/** The table under a line about the load. */
export function demoSummary({ requests, failures, rows }: DemoFacts): string {
  const failed = failures === 0 ? "none failed" : `${failures} failed`;
  const cells = rows.map((row) => [row.name, `${row.meshed.ready}/${row.meshed.total}`, ...goldenCells(row)]);
  return `You at the keyboard sent ${requests} requests; ${failed}.\n\n${table(COLUMNS, cells)}`;
}

/** What to try while it runs. */
export function demoNext({ heddle, outbound, control }: DemoHints, paint: Paint): string {
  const call = paint("cyan", `curl -H 'Host: gateway' http://${outbound}/api/products/1`);
  return `Try next: ${call}\n          ${paint("cyan", `${heddle} stat workloads${control}`)}\n`;
}

/** One line for an output that cannot be redrawn. */
export function demoLine({ requests, failures, rows }: DemoFacts): string {
  const services = rows
    .filter((row) => row.success !== null)
    .map(
      (row) =>
        `${row.name} ${((row.success ?? 0) * 100).toFixed(1)}% ${row.rps.toFixed(1)}rps p99 ${Math.round(row.latency_ms_p99 ?? 0)}ms`,
    );
  return `${requests} requests, ${failures} failed; ${services.join("; ")}\n`;
}

/** The document of `-o json`. */
export function demoJson({ requests, failures, rows }: DemoFacts): Record<string, unknown> {
  const services = rows.map((row) => ({
    name: row.name,
    success: row.success,
    rps: row.rps,
    latency_ms_p50: row.latency_ms_p50,
    latency_ms_p95: row.latency_ms_p95,
    latency_ms_p99: row.latency_ms_p99,
  }));
  return { requests, failures, services };
}
