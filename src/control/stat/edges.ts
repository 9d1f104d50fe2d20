/** Who calls whom, and how each way is secured: what `heddle edges` prints, made of what the callers' sidecars count. */
import { parsePortKey } from "../../model/service.ts";
import type { SeriesName } from "./series-reader.ts";
import type { SeriesRow, SeriesTable } from "./series-table.ts";
import type { Subject } from "./stat-table.ts";

/** The fields of Linkerd's `viz edges -o json`. */
export interface EdgeRow {
  readonly src: string;
  readonly src_namespace: string;
  readonly dst: string;
  readonly dst_namespace: string;
  /** Linkerd's names of the identities that both have proved; "" where there was no TLS of the mesh. */
  readonly client_id: string;
  readonly server_id: string;
  /** "" for a secured one. */
  readonly no_tls_reason: string;
}

export interface EdgeQuery {
  readonly windowMs: number;
  readonly by: "service" | "workload";
  /** Either end in it; undefined: all. */
  readonly namespace: string | undefined;
}

/** Edges are ways that something went within the window, or on which a connection is open. */
const FAMILIES: readonly SeriesName[] = ["request_total", "tcp_open_total", "tcp_open_connections"];

/** @param identityOf the SPIFFE identity that a caller has, Linkerd's name of it; "" for none */
export function edgeRows(
  table: SeriesTable,
  query: EdgeQuery,
  now: number,
  identityOf: (source: Subject) => string,
): EdgeRow[] {
  const edges = new Map<string, EdgeRow>();
  for (const family of FAMILIES) {
    for (const row of table.rows(family, query.windowMs, now)) {
      if (row.value <= 0) continue;
      const edge = edgeOf(row, query.by, identityOf);
      if (edge === undefined) continue;
      const { namespace } = query;
      if (namespace !== undefined && edge.src_namespace !== namespace && edge.dst_namespace !== namespace) continue;
      edges.set(JSON.stringify(edge), edge);
    }
  }
  return [...edges].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, edge]) => edge);
}

function edgeOf(
  { source, labels }: SeriesRow,
  by: EdgeQuery["by"],
  identityOf: (source: Subject) => string,
): EdgeRow | undefined {
  const { authority = "", dst_workload: workload = "", tls = "", no_tls_reason: reason = "" } = labels;
  const destination = destinationOf(authority);
  if (destination === undefined) return undefined;
  const secured = tls === "true";
  return {
    // A sidecar without a service, like the one for the person at the keyboard, is called by its own name.
    src: by === "service" && source.service !== "" ? source.service : source.workload,
    src_namespace: source.namespace,
    dst: by === "service" ? destination.name : workload,
    dst_namespace: destination.namespace,
    client_id: secured ? (labels["client_id"] ?? "") || identityOf(source) : "",
    server_id: secured ? (labels["server_id"] ?? "") : "",
    no_tls_reason: secured ? "" : reason || tls || "disabled",
  };
}

/** "price.default:80" taken apart; undefined for what is no service. */
export function destinationOf(authority: string): { name: string; namespace: string; port: number } | undefined {
  try {
    return parsePortKey(authority);
  } catch {
    return undefined;
  }
}
