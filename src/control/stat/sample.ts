/** What is kept of one scrape of one sidecar: a few sums over all series, and some series as they are. */
import { ExpositionParser, type SampleLabels } from "./parse-exposition.ts";
import { isSeriesName, SERIES_FAMILIES, SeriesReader, type SeriesSample } from "./series-reader.ts";

/** Upper bounds of the latency buckets in milliseconds, without +Inf: those of Linkerd's `response_latency_ms`. */
export const LATENCY_BOUNDS_MS: readonly number[] = [
  1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 100, 200, 300, 400, 500, 1_000, 2_000, 3_000, 4_000, 5_000, 10_000, 20_000, 30_000,
  40_000, 50_000,
];

/** Counters never fall except when the process starts anew. */
export interface Counters {
  readonly success: number;
  readonly failure: number;
  readonly readBytes: number;
  readonly writeBytes: number;
  /** Cumulative as in the exposition: answers within each of {@link LATENCY_BOUNDS_MS}, then all of them. */
  readonly latency: readonly number[];
}

export interface Sample {
  readonly counters: Counters;
  readonly openConnections: number;
  /** Unix seconds; 0 if the sidecar does not say. */
  readonly startedAt: number;
  /** null if the sidecar does not say. */
  readonly ready: boolean | null;
  /** Who it calls and whom it has let in. */
  readonly series: ReadonlyMap<string, SeriesSample>;
  /** Lines that could not be understood. */
  readonly malformed: number;
}

const WANTED = new Set([
  "response_total",
  "response_latency_ms_bucket",
  "tcp_open_connections",
  "tcp_read_bytes_total",
  "tcp_write_bytes_total",
  "process_start_time_seconds",
  "heddle_ready",
  ...Object.keys(SERIES_FAMILIES),
]);

const BUCKET_OF_BOUND = new Map(LATENCY_BOUNDS_MS.map((bound, i) => [bound, i]));

/** Sums up what a sidecar's `/metrics` says of its inbound side, as it arrives. */
export class SampleReader {
  readonly #parser = new ExpositionParser(WANTED, (name, labels, value) => this.#add(name, labels, value));
  readonly #latency = Array.from({ length: LATENCY_BOUNDS_MS.length + 1 }, () => 0);
  readonly #series = new SeriesReader();
  #success = 0;
  #failure = 0;
  #readBytes = 0;
  #writeBytes = 0;
  #openConnections = 0;
  #startedAt = 0;
  #ready: boolean | null = null;

  push(chunk: string): void {
    this.#parser.push(chunk);
  }

  finish(): Sample {
    this.#parser.end();
    // A bound that is not printed has at least as many as the one below it.
    for (let i = 1; i < this.#latency.length; i++) {
      this.#latency[i] = Math.max(this.#latency[i] as number, this.#latency[i - 1] as number);
    }
    return {
      counters: {
        success: this.#success,
        failure: this.#failure,
        readBytes: this.#readBytes,
        writeBytes: this.#writeBytes,
        latency: this.#latency,
      },
      openConnections: this.#openConnections,
      startedAt: this.#startedAt,
      ready: this.#ready,
      series: this.#series.finish(),
      malformed: this.#parser.malformed,
    };
  }

  #add(name: string, labels: SampleLabels, value: number): void {
    if (!Number.isFinite(value) || value < 0) return;
    if (name === "process_start_time_seconds") {
      this.#startedAt = value;
      return;
    }
    if (name === "heddle_ready") {
      this.#ready = value === 1;
      return;
    }
    if (isSeriesName(name)) this.#series.add(name, labels, value);
    if (labels.get("direction") !== "inbound") return;
    if (name === "response_total") {
      if (labels.get("classification") === "success") this.#success += value;
      else if (labels.get("classification") === "failure") this.#failure += value;
    } else if (name === "response_latency_ms_bucket") {
      const le = labels.get("le");
      const bucket = le === "+Inf" ? LATENCY_BOUNDS_MS.length : BUCKET_OF_BOUND.get(Number(le));
      if (bucket !== undefined) this.#latency[bucket] = (this.#latency[bucket] as number) + value;
    } else if ((labels.get("peer") ?? "src") === "src") {
      // The callers' side; the side of the application would count every connection twice.
      if (name === "tcp_open_connections") this.#openConnections += value;
      else if (name === "tcp_read_bytes_total") this.#readBytes += value;
      else if (name === "tcp_write_bytes_total") this.#writeBytes += value;
    }
  }
}
