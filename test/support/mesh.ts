/** A real mesh in one process: control plane, sidecars and xDS over real sockets, with the workloads that a test brings. */
import { API_TOKEN, AUTHORIZED } from "./api-token.ts";
import { type RunningControl, startControl } from "../../src/control/control.ts";
import type { PortProtocol } from "../../src/model/service.ts";
import type { ProxyConfig, UpstreamConfig } from "../../src/proxy/config.ts";
import { type RunningProxy, startProxy } from "../../src/proxy/proxy.ts";
import { Logger } from "../../src/telemetry/log.ts";
import { until } from "./until.ts";

export const ANY_PORT = { host: "127.0.0.1", port: 0 };

/** One instance of a service, whose application the test runs itself. */
export interface Instance {
  readonly service: string;
  readonly workload: string;
  readonly protocol: PortProtocol;
  /** Where the application listens on 127.0.0.1. */
  readonly applicationPort: number;
}

export interface TestMesh {
  readonly control: RunningControl;
  /** The caller's sidecar. */
  readonly caller: RunningProxy;
  /** By workload. */
  readonly sidecars: ReadonlyMap<string, RunningProxy>;
  /** "http://127.0.0.1:port" of the caller's listener that routes by Host. */
  readonly outbound: string;
  /** Tells the control plane how a workload is. */
  register(instance: Instance, health?: "healthy" | "unhealthy"): Promise<void>;
  deregister(workload: string): Promise<void>;
  metrics(workload: string): Promise<string>;
  close(): Promise<void>;
}

const quiet = new Logger({ level: "error", format: "plain", sink: { write: () => true } });

export function sidecar(workload: string, over: Partial<ProxyConfig>): ProxyConfig {
  return {
    workload,
    namespace: "default",
    service: "",
    control: undefined,
    outbound: undefined,
    upstreams: [],
    inbound: [],
    admin: ANY_PORT,
    workers: 1,
    logLevel: "error",
    logFormat: "plain",
    shutdownGraceMs: 10_000,
    ...over,
  };
}

/** Starts a control plane, one sidecar per instance, and one for the caller; resolves when all are ready. */
export async function startMesh(
  instances: readonly Instance[],
  upstreams: readonly UpstreamConfig[] = [],
): Promise<TestMesh> {
  const control = await startControl({
    api: ANY_PORT,
    apiToken: API_TOKEN,
    xds: ANY_PORT,
    files: [],
    stateDirectory: undefined,
    logger: quiet,
  });
  const api = `http://127.0.0.1:${control.apiAddress.port}`;
  const xds = { host: "127.0.0.1", port: control.xdsAddress.port };
  const sidecars = new Map<string, RunningProxy>();

  const register = async (instance: Instance, health = "healthy"): Promise<void> => {
    const { service, workload, protocol } = instance;
    const listen = (sidecars.get(workload) as RunningProxy).addresses.inbound[0] as { host: string; port: number };
    const response = await fetch(`${api}/api/v1/workloads/default/${workload}`, {
      method: "PUT",
      headers: { "content-type": "application/json", ...AUTHORIZED },
      body: JSON.stringify({
        labels: {},
        locality: { region: "", zone: "", subZone: "" },
        weight: 1,
        health,
        ports: [
          { service, name: "main", port: 80, protocol, address: listen.host, addressPort: listen.port, meshed: true },
        ],
        ttlSeconds: 600,
      }),
    });
    if (!response.ok) throw new Error(`the control plane refused ${workload}: ${await response.text()}`);
  };

  for (const instance of instances) {
    const { service, workload, protocol, applicationPort } = instance;
    const target = { host: "127.0.0.1", port: applicationPort };
    const inbound = [{ listen: ANY_PORT, target, service, port: 80, protocol }];
    sidecars.set(workload, await startProxy(sidecar(workload, { service, control: xds, inbound })));
    await register(instance);
  }
  const caller = await startProxy(sidecar("caller", { control: xds, outbound: ANY_PORT, upstreams }));
  sidecars.set("caller", caller);
  for (const [name, { addresses }] of sidecars) {
    await until(`${name} is ready`, async () => (await fetch(`http://127.0.0.1:${addresses.admin.port}/ready`)).ok);
  }

  return {
    control,
    caller,
    sidecars,
    outbound: `http://127.0.0.1:${caller.addresses.outbound?.port}`,
    register,
    deregister: async (workload) => {
      await fetch(`${api}/api/v1/workloads/default/${workload}`, { method: "DELETE", headers: AUTHORIZED });
    },
    metrics: async (workload) => {
      const port = (sidecars.get(workload) as RunningProxy).addresses.admin.port;
      return (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    },
    close: async () => {
      for (const proxy of sidecars.values()) proxy.close();
      await control.close();
    },
  };
}

/** The sum of all series of a metric whose labels include all of `labels` (text as printed). */
export function metricSum(text: string, name: string, ...labels: readonly string[]): number {
  let sum = 0;
  for (const line of text.split("\n")) {
    const match = /^([a-zA-Z_:]+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (match?.[1] !== name || !labels.every((label) => match[2]?.includes(label))) continue;
    sum += Number(match[3]);
  }
  return sum;
}
