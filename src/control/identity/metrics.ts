/** What the certificate authority counts. */
import type { MetricsRegistry } from "../../telemetry/metrics.ts";
import type { RefusalReason } from "./certify-service.ts";
import type { ControlIdentity } from "./identity.ts";

/** @returns what counts a refusal */
export function refusalCounter(registry: MetricsRegistry): (reason: RefusalReason) => void {
  const refused = registry.counter({
    name: "heddle_control_certificates_refused_total",
    help: "Streams for certificates that were ended because of what was asked on them.",
    labelNames: ["reason"],
  });
  return (reason) => refused.labels({ reason }).inc();
}

/** @param now the wall clock: milliseconds since the epoch */
export function identityMetrics(registry: MetricsRegistry, identity: ControlIdentity, now: () => number): void {
  const gauge = (name: string, help: string) => registry.gauge({ name, help, labelNames: [] }).labels({});
  const issuer = gauge(
    "issuer_cert_ttl_seconds",
    "Until the certificate that signs the proxies' certificates expires.",
  );
  const root = gauge("heddle_control_root_cert_ttl_seconds", "Until the first of the trusted roots expires.");
  const tokens = gauge("heddle_control_join_tokens", "Join tokens that wait to be used.");
  const issued = registry
    .counter({
      name: "heddle_control_certificates_issued_total",
      help: "Certificates given to proxies.",
      labelNames: [],
    })
    .labels({});
  registry.collect(() => {
    const left = (kind: "root" | "issuer"): number => {
      const ends = identity.expiries.filter(({ what }) => what === kind).map(({ notAfter }) => notAfter);
      return (Math.min(...ends) - now()) / 1_000;
    };
    issuer.value = left("issuer");
    root.value = left("root");
    const counts = identity.counts;
    tokens.value = counts.tokens;
    issued.inc(counts.issued - issued.value);
  });
}
