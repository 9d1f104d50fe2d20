/**
 * Envoy with one worker thread. Doing the work that a sidecar does: connection pools with keep-alive, its statistics as
 * they are by default, no access log. Taken from it: limits that the load would meet, and request ids, since a sidecar
 * makes none either.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { awaitListening, freePort } from "../ports.ts";
import { PROXY_CORE, start } from "../processes.ts";
import { ENVOY } from "./names.ts";
import { overHttp2, type Subject, type Traffic } from "./subject.ts";

/** Above whatever the bench has under way at once. */
const UNLIMITED = 1_000_000;
const EXTENSIONS = "type.googleapis.com/envoy.extensions";

export async function startEnvoy(program: string, folder: string, traffic: Traffic, backend: number): Promise<Subject> {
  const port = await freePort();
  const config = join(folder, `envoy-${port}.json`);
  writeFileSync(config, JSON.stringify(envoyConfig(traffic, port, backend)));
  const command = [program, "-c", config, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"];
  const child = start(ENVOY, command, { cores: PROXY_CORE });
  await awaitListening(child, port);
  return { name: ENVOY, port, processes: [child] };
}

/** One listener, one cluster of one endpoint. */
export function envoyConfig(traffic: Traffic, port: number, backend: number): object {
  const filter = traffic === "tcp" ? tcpProxy() : connectionManager();
  const listener = { name: "front", address: address(port), filter_chains: [{ filters: [filter] }] };
  return { static_resources: { listeners: [listener], clusters: [cluster(traffic, backend)] } };
}

function tcpProxy(): object {
  return {
    name: "envoy.filters.network.tcp_proxy",
    typed_config: {
      "@type": `${EXTENSIONS}.filters.network.tcp_proxy.v3.TcpProxy`,
      stat_prefix: "front",
      cluster: "back",
    },
  };
}

function connectionManager(): object {
  const router = { "@type": `${EXTENSIONS}.filters.http.router.v3.Router` };
  const route = { match: { prefix: "/" }, route: { cluster: "back", timeout: "0s" } };
  return {
    name: "envoy.filters.network.http_connection_manager",
    typed_config: {
      "@type": `${EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
      stat_prefix: "front",
      generate_request_id: false,
      upgrade_configs: [{ upgrade_type: "websocket" }],
      http_filters: [{ name: "envoy.filters.http.router", typed_config: router }],
      route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes: [route] }] },
    },
  };
}

function cluster(traffic: Traffic, backend: number): object {
  const protocol = overHttp2(traffic) ? { http2_protocol_options: {} } : { http_protocol_options: {} };
  const options = {
    "@type": `${EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions`,
    explicit_http_config: protocol,
  };
  const limits = {
    max_connections: UNLIMITED,
    max_pending_requests: UNLIMITED,
    max_requests: UNLIMITED,
    max_retries: UNLIMITED,
  };
  return {
    name: "back",
    type: "STATIC",
    connect_timeout: "5s",
    circuit_breakers: { thresholds: [limits] },
    load_assignment: {
      cluster_name: "back",
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(backend) } }] }],
    },
    ...(traffic === "tcp"
      ? {}
      : { typed_extension_protocol_options: { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options } }),
  };
}

function address(port: number): object {
  return { socket_address: { address: "127.0.0.1", port_value: port } };
}
