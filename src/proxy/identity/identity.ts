/** The identity of a sidecar: what asks for its certificates, how it comes to its control plane, and what is counted. */
import type { Clock } from "../../net/clock.ts";
import { isLoopback } from "../../net/loopback.ts";
import type { Logger } from "../../telemetry/log.ts";
import type { MetricsRegistry } from "../../telemetry/metrics.ts";
import { CERTIFY_METHOD } from "../../xds/certify.ts";
import type { ClientTransport } from "../../xds/client-transport.ts";
import { DISCOVERY_METHOD, Http2Transport } from "../../xds/http2-transport.ts";
import { decodeJoinToken, joinProof } from "../../xds/join-token.ts";
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

export interface OpenIdentity {
  readonly client: IdentityClient;
  /** How discovery reaches the control plane; undefined: in plain, since both are on one host. */
  readonly discovery: ClientTransport | undefined;
}

/** @throws JoinTokenError, or Error if a root in the token is no certificate */
export async function openIdentity(options: IdentityOptions): Promise<OpenIdentity> {
  const { config, identity, control, clock, logger, metrics, onRefused } = options;
  const { trustDomain, serviceAccount, joinToken } = identity;
  const token = decodeJoinToken(joinToken);
  const remote = isLoopback(control.host) ? undefined : await import("./control-tls.ts");
  const tls = remote && new remote.ControlTls(trustDomain, token.roots, () => client.current, clock);
  const client = new IdentityClient({
    identity: { trustDomain, namespace: config.namespace, serviceAccount },
    workload: config.workload,
    token: joinProof(token),
    transport: new Http2Transport(control, clock, CERTIFY_METHOD, tls?.certify),
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
  const discovery =
    remote &&
    new remote.CertifiedTransport(client, new Http2Transport(control, clock, DISCOVERY_METHOD, tls?.discover));
  return { client, discovery };
}
