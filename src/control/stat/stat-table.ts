/** The windows of all workloads, and the rows of `/api/v1/stat` computed from them. */
import type { Mesh } from "../../model/mesh.ts";
import { portKey } from "../../model/service.ts";
import { histogramQuantile } from "./quantile.ts";
import { LATENCY_BOUNDS_MS, type Sample } from "./sample.ts";
import { StatWindow, WINDOW_MAX_MS } from "./window.ts";

/** Workloads that are measured at one time: with 45 kB each, at most 90 MB. */
export const MEASURED_MAX = 2_000;
/** Milliseconds without a sample after which a workload counts as gone: it has no open connections then. */
export const LIVE_MS = 5_000;

export interface Subject {
  readonly workload: string;
  readonly namespace: string;
  /** The service that its numbers count for. */
  readonly service: string;
}

export interface StatRow {
  readonly namespace: string;
  readonly kind: "service" | "workload";
  readonly name: string;
  /** Workloads that have a sidecar and are healthy, and all of them. */
  readonly meshed: { readonly ready: number; readonly total: number };
  /** 0 to 1; null without requests. */
  readonly success: number | null;
  readonly rps: number;
  /** Null without requests. */
  readonly latency_ms_p50: number | null;
  readonly latency_ms_p95: number | null;
  readonly latency_ms_p99: number | null;
  readonly tcp_open_connections: number;
  /** Bytes per second. */
  readonly tcp_read_bytes_rate: number;
  readonly tcp_write_bytes_rate: number;
  /** Within the window. */
  readonly requests: number;
  readonly failures: number;
}

export interface StatQuery {
  readonly windowMs: number;
  readonly by: "service" | "workload";
  /** undefined: all. */
  readonly namespace: string | undefined;
  readonly service: string | undefined;
}

interface Measured extends Subject {
  readonly window: StatWindow;
}

export class StatTable {
  /** Samples refused because too many workloads are measured. */
  refused = 0;
  readonly #measured = new Map<string, Measured>();

  get size(): number {
    return this.#measured.size;
  }

  /**
   * @param now the clock's milliseconds
   * @param ageMs how long the sidecar has been running, if known
   */
  add(subject: Subject, sample: Sample, now: number, ageMs: number | undefined): void {
    const key = `${subject.service}/${subject.workload}.${subject.namespace}`;
    let measured = this.#measured.get(key);
    if (measured === undefined) {
      if (this.#measured.size >= MEASURED_MAX) this.#forget(now, LIVE_MS);
      if (this.#measured.size >= MEASURED_MAX) {
        this.refused++;
        return;
      }
      const { workload, namespace, service } = subject;
      measured = { workload, namespace, service, window: new StatWindow() };
      this.#measured.set(key, measured);
    }
    measured.window.add(sample, now, ageMs);
  }

  /** Rows for everything in the mesh, and for workloads measured that are not in it any more if they have traffic in the window. */
  rows(query: StatQuery, mesh: Mesh, now: number): StatRow[] {
    this.#forget(now, WINDOW_MAX_MS);
    const sums = new Map<string, Sum>();
    const sumOf = (namespace: string, name: string): Sum => {
      const key = `${name}.${namespace}`;
      let sum = sums.get(key);
      if (sum === undefined) {
        sum = new Sum(namespace, query.by, name);
        sums.set(key, sum);
      }
      return sum;
    };
    const asked = (namespace: string, service: string): boolean =>
      (query.namespace ?? namespace) === namespace && (query.service ?? service) === service;

    for (const { name, namespace, ports } of mesh.services) {
      if (!asked(namespace, name)) continue;
      if (query.by === "service") sumOf(namespace, name);
      const workloads = new Map<string, boolean>();
      for (const { port } of ports) {
        for (const endpoint of mesh.endpoints.get(portKey({ name, namespace }, port)) ?? []) {
          const ready = endpoint.meshed && endpoint.health === "healthy";
          workloads.set(endpoint.workload, ready && (workloads.get(endpoint.workload) ?? true));
        }
      }
      for (const [workload, ready] of workloads)
        sumOf(namespace, query.by === "service" ? name : workload).count(workload, ready);
    }
    for (const { workload, namespace, service, window } of this.#measured.values()) {
      if (!asked(namespace, service)) continue;
      const name = query.by === "service" ? service : workload;
      const live = now - window.lastAt <= LIVE_MS;
      const known = sums.has(`${name}.${namespace}`);
      if (known || (live && query.by === "workload")) sumOf(namespace, name).add(window, query.windowMs, now, live);
    }
    return [...sums.values()]
      .map((sum) => sum.row())
      .sort((a, b) => (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1));
  }

  /** Drops windows without a sample in the last `idleMs`. */
  #forget(now: number, idleMs: number): void {
    for (const [key, { window }] of this.#measured) {
      if (now - window.lastAt > idleMs) this.#measured.delete(key);
    }
  }
}

/** One row while it is added up. */
class Sum {
  readonly #namespace: string;
  readonly #kind: "service" | "workload";
  readonly #name: string;
  readonly #workloads = new Map<string, boolean>();
  #success = 0;
  #failure = 0;
  #requestRate = 0;
  #readRate = 0;
  #writeRate = 0;
  #open = 0;
  readonly #latency = Array.from({ length: LATENCY_BOUNDS_MS.length + 1 }, () => 0);

  constructor(namespace: string, kind: "service" | "workload", name: string) {
    this.#namespace = namespace;
    this.#kind = kind;
    this.#name = name;
  }

  /** A workload that serves several services or ports counts once, and as ready only if it is everywhere. */
  count(workload: string, ready: boolean): void {
    this.#workloads.set(workload, ready && (this.#workloads.get(workload) ?? true));
  }

  add(window: StatWindow, windowMs: number, now: number, live: boolean): void {
    if (live) this.#open += window.openConnections;
    const difference = window.difference(windowMs, now, live);
    if (difference === undefined) return;
    const { counters, elapsedMs } = difference;
    const perSecond = 1_000 / elapsedMs;
    this.#success += counters.success;
    this.#failure += counters.failure;
    this.#requestRate += (counters.success + counters.failure) * perSecond;
    this.#readRate += counters.readBytes * perSecond;
    this.#writeRate += counters.writeBytes * perSecond;
    counters.latency.forEach((count, i) => (this.#latency[i] = (this.#latency[i] as number) + count));
  }

  row(): StatRow {
    const requests = this.#success + this.#failure;
    const quantile = (q: number): number | null => histogramQuantile(q, LATENCY_BOUNDS_MS, this.#latency);
    return {
      namespace: this.#namespace,
      kind: this.#kind,
      name: this.#name,
      meshed: { ready: [...this.#workloads.values()].filter(Boolean).length, total: this.#workloads.size },
      success: requests === 0 ? null : this.#success / requests,
      rps: this.#requestRate,
      latency_ms_p50: quantile(0.5),
      latency_ms_p95: quantile(0.95),
      latency_ms_p99: quantile(0.99),
      tcp_open_connections: this.#open,
      tcp_read_bytes_rate: this.#readRate,
      tcp_write_bytes_rate: this.#writeRate,
      requests,
      failures: this.#failure,
    };
  }
}
