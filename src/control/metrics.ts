/** The control plane's own metrics. */
import { type Counter, type Family, MetricsRegistry } from "../telemetry/metrics.ts";

/** What is read off where its truth is, at each scrape. */
export interface ControlGauges {
  readonly connectedProxies: number;
  readonly registeredWorkloads: number;
  readonly measuredWorkloads: number;
  /** Samples that had no room. */
  readonly samplesRefused: number;
  readonly services: number;
  readonly endpoints: number;
  /** By name: is it good? */
  readonly sources: ReadonlyMap<string, boolean>;
}

/** What the xDS streams of connected proxies count; it falls when one of them leaves. */
export interface XdsCounts {
  /** The stream, so that a reconnected one begins anew. */
  readonly stream: string;
  readonly acked: number;
  readonly nacked: number;
}

export class ControlMetrics {
  readonly registry = new MetricsRegistry();
  readonly scrapes: Counter;
  readonly scrapeFailures: Family<Counter>;
  readonly malformedLines: Counter;
  readonly pushes: Counter;
  readonly xdsRefused: Family<Counter>;

  /** @param read called at each exposition */
  constructor(read: () => ControlGauges & { readonly xds: readonly XdsCounts[] }) {
    const { registry } = this;
    const gauge = (name: string, help: string) => registry.gauge({ name, help, labelNames: [] }).labels({});
    const counter = (name: string, help: string) => registry.counter({ name, help, labelNames: [] }).labels({});

    const proxies = gauge("heddle_control_connected_proxies", "xDS streams that are open now.");
    const workloads = gauge("heddle_control_registered_workloads", "Workloads with a running lease.");
    const measured = gauge("heddle_control_measured_workloads", "Workloads with numbers in the stat window.");
    const services = gauge("heddle_control_services", "Services of the mesh.");
    const endpoints = gauge("heddle_control_endpoints", "Endpoints of the mesh, over all services.");
    const sources = registry.gauge({
      name: "heddle_control_source_ok",
      help: "1: what the source says is in force; 0: it is bad, and what it said before is.",
      labelNames: ["source"],
    });
    this.pushes = counter("heddle_control_mesh_updates_total", "Times that another mesh was given to the xDS server.");
    const acks = counter("heddle_control_xds_acks_total", "xDS responses that proxies accepted.");
    const nacks = counter("heddle_control_xds_nacks_total", "xDS responses that proxies refused.");
    this.xdsRefused = registry.counter({
      name: "heddle_control_xds_refused_total",
      help: "Connections and streams at the xDS port that were refused.",
      labelNames: ["reason"],
    });
    this.scrapes = counter("heddle_control_scrapes_total", "Sidecars asked for their metrics, with success.");
    this.scrapeFailures = registry.counter({
      name: "heddle_control_scrape_failures_total",
      help: "Sidecars that did not give their metrics.",
      labelNames: ["reason"],
    });
    const lines = "Lines of sidecars' metrics that could not be understood.";
    this.malformedLines = counter("heddle_control_scrape_malformed_lines_total", lines);
    const refused = counter(
      "heddle_control_samples_refused_total",
      "Samples of workloads for which the stat window has no room.",
    );
    const cpu = counter("process_cpu_seconds_total", "Processor time of this process, user and system.");
    const memory = gauge("process_resident_memory_bytes", "Memory of this process that is in RAM.");
    const start = gauge("process_start_time_seconds", "When this process started, in Unix time.");
    start.value = performance.timeOrigin / 1_000;

    let known = new Map<string, XdsCounts>();
    registry.collect(() => {
      const now = read();
      proxies.value = now.connectedProxies;
      workloads.value = now.registeredWorkloads;
      measured.value = now.measuredWorkloads;
      refused.value = now.samplesRefused;
      services.value = now.services;
      endpoints.value = now.endpoints;
      for (const [source, ok] of now.sources) sources.labels({ source }).value = ok ? 1 : 0;
      for (const { stream, acked, nacked } of now.xds) {
        acks.inc(acked - (known.get(stream)?.acked ?? 0));
        nacks.inc(nacked - (known.get(stream)?.nacked ?? 0));
      }
      known = new Map(now.xds.map((counts) => [counts.stream, counts]));
      const { user, system } = process.cpuUsage();
      cpu.value = (user + system) / 1e6;
      memory.value = process.memoryUsage.rss();
    });
  }
}
