/** Heddle: a sidecar, two in a row, and the control plane they need for that. Metrics on, log level warn. */
import { join } from "node:path";

import { awaitOk, freePort } from "../ports.ts";
import { type Child, LOAD_CORE, PROXY_CORE, start } from "../processes.ts";
import type { Protocol, Subject } from "./subject.ts";

export const ONE_SIDECAR = "one sidecar";
export const TWO_SIDECARS = "two sidecars";

const HEDDLE = join(import.meta.dirname, "..", "..", "bin", "heddle");
const LOG = ["--log-level", "warn"];

export interface Control {
  readonly child: Child;
  readonly api: number;
  readonly xds: number;
}

/** A control plane that knows nothing yet. It carries no requests, so it runs beside the load. */
export async function startControl(): Promise<Control> {
  const api = await freePort();
  const xds = await freePort();
  const command = [...heddle("control"), "--api", at(api), "--xds", at(xds), ...LOG];
  const child = start("heddle control", command, { cores: LOAD_CORE });
  await awaitOk(child, api, "/ready");
  return { child, api, xds };
}

export interface SidecarOptions {
  readonly workload: string;
  readonly service: string;
  /** Port of the control plane's xDS. */
  readonly xds?: number;
  /** The port to listen on, the application's port, and what it speaks. */
  readonly inbound?: { readonly port: number; readonly target: number; readonly protocol: "http" | "http2" };
  /** An upstream port, and the service to which everything goes from it. */
  readonly upstream?: { readonly port: number; readonly service: string };
  readonly outbound?: number;
  readonly cores?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts a sidecar without waiting for it. */
export async function launchSidecar(options: SidecarOptions): Promise<{ child: Child; admin: number }> {
  const { workload, service, xds, inbound, upstream, outbound, cores = PROXY_CORE, env = {} } = options;
  const admin = await freePort();
  const command = [...heddle("proxy"), "--workload", workload, "--service", service, "--admin", at(admin), ...LOG];
  if (xds !== undefined) command.push("--xds", at(xds));
  if (inbound !== undefined) {
    const { port, target, protocol } = inbound;
    command.push("--inbound", `${at(port)}=${at(target)},port=80,protocol=${protocol}`);
  }
  if (upstream !== undefined) command.push("--upstream", `${upstream.service}=${at(upstream.port)}`);
  if (outbound !== undefined) command.push("--outbound", at(outbound));
  return { child: start(`sidecar ${workload}`, command, { cores, env }), admin };
}

async function startSidecar(options: SidecarOptions): Promise<Child> {
  const { child, admin } = await launchSidecar(options);
  await awaitOk(child, admin, "/ready");
  return child;
}

/** The one beside the application: what comes in goes to the back end. */
export async function startOneSidecar(protocol: Protocol, backend: number): Promise<Subject> {
  const port = await freePort();
  const inbound = { port, target: backend, protocol: spoken(protocol) };
  return {
    name: ONE_SIDECAR,
    port,
    processes: [await startSidecar({ workload: "single", service: "single", inbound })],
  };
}

/** A call as the mesh carries it: out through the caller's sidecar, in through the other's, found by discovery. */
export async function startTwoSidecars(protocol: Protocol, backend: number, control: Control): Promise<Subject> {
  const port = await freePort();
  const meshed = await freePort();
  // One control plane serves both protocols, and a service's port speaks one.
  const service = `bench-${protocol}`;
  const inbound = { port: meshed, target: backend, protocol: spoken(protocol) };
  const callee = await startSidecar({ workload: `callee-${protocol}`, service, xds: control.xds, inbound });
  await register(control, `callee-${protocol}`, { service, addressPort: meshed, protocol: spoken(protocol) });
  const upstream = { port, service };
  const workload = `caller-${protocol}`;
  const caller = await startSidecar({ workload, service: workload, xds: control.xds, upstream });
  return { name: TWO_SIDECARS, port, processes: [caller, callee] };
}

async function register({ api }: Control, workload: string, where: object): Promise<void> {
  const port = { name: "bench", port: 80, address: "127.0.0.1", meshed: true, ...where };
  const response = await fetch(`http://${at(api)}/api/v1/workloads/default/${workload}`, {
    method: "PUT",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ports: [port], ttlSeconds: 3_600 }),
  });
  if (!response.ok) throw new Error(`the control plane refused ${workload}: ${await response.text()}`);
}

function heddle(command: string): string[] {
  return [process.execPath, HEDDLE, command];
}

function spoken(protocol: Protocol): "http" | "http2" {
  return protocol === "http2" ? "http2" : "http";
}

function at(port: number): string {
  return `127.0.0.1:${port}`;
}
