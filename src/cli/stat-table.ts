/** The golden metrics as linkerd's `viz stat` prints them: the same columns, the same JSON fields. */
import type { StatRow } from "./control-client.ts";
import { formatByteRate, formatMilliseconds, formatRate, formatRatio, table, type Column } from "./output.ts";

export interface StatTableOptions {
  /** With the rates of bytes. */
  readonly wide: boolean;
  /** With the namespace before the name. */
  readonly namespaces: boolean;
}

const GOLDEN_COLUMNS: readonly Column[] = [
  { title: "NAME", align: "left" },
  { title: "MESHED", align: "right" },
  { title: "SUCCESS", align: "right" },
  { title: "RPS", align: "right" },
  { title: "LATENCY_P50", align: "right" },
  { title: "LATENCY_P95", align: "right" },
  { title: "LATENCY_P99", align: "right" },
  { title: "TCP_CONN", align: "right" },
];

const WIDE_COLUMNS: readonly Column[] = [
  { title: "READ_BYTES/SEC", align: "right" },
  { title: "WRITE_BYTES/SEC", align: "right" },
];

export function statTable(rows: readonly StatRow[], { wide, namespaces }: StatTableOptions): string {
  const columns = [
    ...(namespaces ? [{ title: "NAMESPACE", align: "left" } as const] : []),
    ...GOLDEN_COLUMNS,
    ...(wide ? WIDE_COLUMNS : []),
  ];
  const cells = rows.map((row) => [
    ...(namespaces ? [row.namespace] : []),
    row.name,
    `${row.meshed.ready}/${row.meshed.total}`,
    ...goldenCells(row),
    String(row.tcp_open_connections),
    ...(wide ? [formatByteRate(row.tcp_read_bytes_rate), formatByteRate(row.tcp_write_bytes_rate)] : []),
  ]);
  return table(columns, cells);
}

/** Success, requests per second, and the three latencies: what every table of metrics shows. */
export function goldenCells(row: StatRow): string[] {
  const hasTraffic = row.success !== null || row.rps > 0;
  return [
    formatRatio(row.success),
    hasTraffic ? formatRate(row.rps) : "-",
    formatMilliseconds(row.latency_ms_p50),
    formatMilliseconds(row.latency_ms_p95),
    formatMilliseconds(row.latency_ms_p99),
  ];
}

/** The fields of linkerd's JSON, and no others. */
export function statJson(row: StatRow): Record<string, unknown> {
  return {
    namespace: row.namespace,
    kind: row.kind,
    name: row.name,
    success: row.success,
    rps: row.rps,
    latency_ms_p50: row.latency_ms_p50,
    latency_ms_p95: row.latency_ms_p95,
    latency_ms_p99: row.latency_ms_p99,
    tcp_open_connections: row.tcp_open_connections,
    tcp_read_bytes_rate: row.tcp_read_bytes_rate,
    tcp_write_bytes_rate: row.tcp_write_bytes_rate,
  };
}
