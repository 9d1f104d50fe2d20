/**
 * What one scrape of a sidecar says about who calls whom, and what was allowed: series by series, with the labels that
 * somebody asks about. Series that differ in other labels only are added up.
 */
import type { SampleLabels } from "./parse-exposition.ts";

/** Series of these families that are kept of one sidecar. */
export const SERIES_PER_SIDECAR_MAX = 2_000;
/** Characters of a label's value; a series with a longer one is passed over. */
export const LABEL_LENGTH_MAX = 512;

/** The way out: to whom, and how it was secured. */
const CALLS = ["authority", "dst_workload", "tls", "no_tls_reason", "client_id", "server_id"] as const;
/** The way in: what decided. */
const VERDICTS = [
  "srv_kind",
  "srv_name",
  "srv_port",
  "authz_group",
  "authz_kind",
  "authz_name",
  "client_id",
  "tls",
] as const;

export interface SeriesFamily {
  readonly labels: readonly string[];
  readonly gauge: boolean;
  /** Labels that must have this value. */
  readonly where: Readonly<Record<string, string>>;
}

const verdicts: SeriesFamily = { labels: VERDICTS, gauge: false, where: {} };

export const SERIES_FAMILIES = {
  request_total: { labels: CALLS, gauge: false, where: { direction: "outbound" } },
  tcp_open_total: { labels: CALLS, gauge: false, where: { direction: "outbound", peer: "dst" } },
  tcp_open_connections: { labels: CALLS, gauge: true, where: { direction: "outbound", peer: "dst" } },
  inbound_http_authz_allow_total: verdicts,
  inbound_http_authz_deny_total: verdicts,
  inbound_tcp_authz_allow_total: verdicts,
  inbound_tcp_authz_deny_total: verdicts,
  inbound_tcp_authz_terminate_total: verdicts,
} as const satisfies Readonly<Record<string, SeriesFamily>>;

export type SeriesName = keyof typeof SERIES_FAMILIES;

export interface SeriesSample {
  readonly family: SeriesName;
  /** Those of its family; one that the series lacks is "". */
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export function isSeriesName(name: string): name is SeriesName {
  return Object.hasOwn(SERIES_FAMILIES, name);
}

export class SeriesReader {
  readonly #series = new Map<string, { -readonly [Key in keyof SeriesSample]: SeriesSample[Key] }>();

  add(family: SeriesName, labels: SampleLabels, value: number): void {
    const wanted: SeriesFamily = SERIES_FAMILIES[family];
    for (const [name, expected] of Object.entries(wanted.where)) {
      if (labels.get(name) !== expected) return;
    }
    const values = wanted.labels.map((name) => labels.get(name) ?? "");
    if (values.some(({ length }) => length > LABEL_LENGTH_MAX)) return;
    const key = seriesKey(family, values);
    const known = this.#series.get(key);
    if (known !== undefined) known.value += value;
    else if (this.#series.size < SERIES_PER_SIDECAR_MAX) {
      const kept = Object.fromEntries(wanted.labels.map((name, i) => [name, values[i] as string]));
      this.#series.set(key, { family, labels: kept, value });
    }
  }

  /** By a key that tells them apart. */
  finish(): ReadonlyMap<string, SeriesSample> {
    return this.#series;
  }
}

function seriesKey(family: string, values: readonly string[]): string {
  return [family, ...values].join("\0");
}
