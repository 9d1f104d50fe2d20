/** The identity of a sidecar: what asks for its certificates, and what is counted of it. */
import type { Clock } from "../../net/clock.ts";
import type { Logger } from "../../telemetry/log.ts";
import type { MetricsRegistry } from "../../telemetry/metrics.ts";
import { CERTIFY_METHOD } from "../../xds/certify.ts";
import { Http2Transport } from "../../xds/http2-transport.ts";
import type { IdentityConfig, ProxyConfig, SocketAddress } from "../config.ts";
import { IdentityClient } from "./identity-client.ts";

export interface IdentityOptions {
  readonly config: Pick<ProxyConfig, "workload" | "namespace">;
  readonly identity: IdentityConfig;
  readonly control: SocketAddress;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: MetricsRegistry;
  /** See IdentityClient. */
  readonly onRefused: (reason: string) => void;
}

export function openIdentity(options: IdentityOptions): IdentityClient {
  const { config, identity, control, clock, logger, metrics, onRefused } = options;
  const { trustDomain, serviceAccount, joinToken } = identity;
  const client = new IdentityClient({
    identity: { trustDomain, namespace: config.namespace, serviceAccount },
    workload: config.workload,
    token: joinToken,
    transport: new Http2Transport(control, clock, CERTIFY_METHOD),
    clock,
    now: Date.now,
    random: Math.random,
    logger,
    onRefused,
  });
  const expiration = metrics
    .gauge({
      name: "identity_cert_expiration_timestamp_seconds",
      help: "When the certificate in use expires, in Unix time; 0 without one.",
      labelNames: [],
    })
    .labels({});
  const refreshes = metrics
    .counter({
      name: "identity_cert_refresh_count",
      help: "Certificates that came, the first included.",
      labelNames: [],
    })
    .labels({});
  metrics.collect(() => {
    expiration.value = (client.current?.notAfter ?? 0) / 1_000;
    refreshes.inc(client.refreshes - refreshes.value);
  });
  return client;
}
