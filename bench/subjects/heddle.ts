/** Heddle: a sidecar, two in a row, and the control plane they need for that. Metrics on, log level warn. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";

import { awaitOk, freePort } from "../ports.ts";
import { type Child, LOAD_CORE, PROXY_CORE, start } from "../processes.ts";
import { ONE_SIDECAR, TWO_SIDECARS } from "./names.ts";
import type { Subject, Traffic } from "./subject.ts";

const HEDDLE = join(import.meta.dirname, "..", "..", "bin", "heddle");
const LOG = ["--log-level", "warn"];
/** What a mesh is changed with. */
const API_TOKEN = randomBytes(32).toString("hex");

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
  const child = start("heddle control", command, { cores: LOAD_CORE, env: { HEDDLE_API_TOKEN: API_TOKEN } });
  await awaitOk(child, api, "/ready");
  return { child, api, xds };
}

/** What an application's port speaks, by its name in `--inbound`. */
type Spoken = "http" | "http2" | "grpc" | "opaque";

export interface Inbound {
  readonly port: number;
  /** The application's port. */
  readonly target: number;
  readonly protocol: Spoken;
  /** undefined: the sidecar's own. */
  readonly service?: string;
}

export interface SidecarOptions {
  readonly workload: string;
  readonly service: string;
  /** Port of the control plane's xDS. */
  readonly xds?: number;
  readonly inbound?: readonly Inbound[];
  /** Upstream ports, and the services to which everything goes from them. */
  readonly upstream?: readonly { readonly port: number; readonly service: string }[];
  readonly outbound?: number;
  readonly cores?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Flags for Node itself. */
  readonly nodeFlags?: readonly string[];
}

/** Starts a sidecar without waiting for it. */
export async function launchSidecar(options: SidecarOptions): Promise<{ child: Child; admin: number }> {
  const { workload, service, xds, inbound = [], upstream = [], outbound } = options;
  const { cores = PROXY_CORE, env = {}, nodeFlags = [] } = options;
  const admin = await freePort();
  const command = [...heddle("proxy", nodeFlags), "--workload", workload, "--service", service];
  command.push("--admin", at(admin), ...LOG);
  if (xds !== undefined) command.push("--xds", at(xds));
  for (const { port, target, protocol, service: own } of inbound) {
    const named = own === undefined ? "" : `,service=${own}`;
    command.push("--inbound", `${at(port)}=${at(target)},port=80,protocol=${protocol}${named}`);
  }
  for (const { port, service: named } of upstream) command.push("--upstream", `${named}=${at(port)}`);
  if (outbound !== undefined) command.push("--outbound", at(outbound));
  return { child: start(`sidecar ${workload}`, command, { cores, env }), admin };
}

export async function startSidecar(options: SidecarOptions): Promise<Child> {
  const { child, admin } = await launchSidecar(options);
  await awaitOk(child, admin, "/ready");
  return child;
}

/** The one beside the application: what comes in goes to the back end. */
export async function startOneSidecar(
  traffic: Traffic,
  backend: number,
  nodeFlags: readonly string[] = [],
): Promise<Subject> {
  const port = await freePort();
  const inbound = [{ port, target: backend, protocol: spoken(traffic) }];
  const child = await startSidecar({ workload: "single", service: "single", inbound, nodeFlags });
  return { name: ONE_SIDECAR, port, processes: [child] };
}

/** A call as the mesh carries it: out through the caller's sidecar, in through the other's, found by discovery. */
export async function startTwoSidecars(traffic: Traffic, backend: number, control: Control): Promise<Subject> {
  const { ports, caller, callee } = await startMixedSidecars(new Map([[traffic, backend]]), control);
  return { name: TWO_SIDECARS, port: ports.get(traffic) ?? 0, processes: [caller, callee] };
}

export interface MixedSidecars {
  /** Where the caller's sidecar takes each kind of traffic. */
  readonly ports: ReadonlyMap<Traffic, number>;
  readonly caller: Child;
  readonly callee: Child;
}

/** Two sidecars that carry several kinds of traffic, each to a service of its own. */
export async function startMixedSidecars(
  backends: ReadonlyMap<Traffic, number>,
  control: Control,
): Promise<MixedSidecars> {
  const ports = new Map<Traffic, number>();
  const inbound: Inbound[] = [];
  const upstream: { port: number; service: string }[] = [];
  const registered: object[] = [];
  for (const [traffic, target] of backends) {
    const service = `bench-${traffic}`;
    const meshed = await freePort();
    const port = await freePort();
    inbound.push({ port: meshed, target, protocol: spoken(traffic), service });
    upstream.push({ port, service });
    ports.set(traffic, port);
    const where = { service, port: 80, address: "127.0.0.1", addressPort: meshed, meshed: true };
    registered.push({ ...where, name: "bench", protocol: spoken(traffic) });
  }
  // Before it starts: nobody may call a workload that the control plane does not know.
  await register(control, "callee", registered);
  const { xds } = control;
  const callee = await startSidecar({ workload: "callee", service: "callee", xds, inbound });
  const caller = await startSidecar({ workload: "caller", service: "caller", xds, upstream });
  return { ports, caller, callee };
}

/** Makes a workload known to the control plane: nobody may call it before, and it is not ready. */
export async function register({ api }: Control, workload: string, ports: readonly object[]): Promise<void> {
  const response = await fetch(`http://${at(api)}/api/v1/workloads/default/${workload}`, {
    method: "PUT",
    headers: { "content-type": "application/json", authorization: `Bearer ${API_TOKEN}` },
    body: JSON.stringify({ ports, ttlSeconds: 3_600 }),
  });
  if (!response.ok) throw new Error(`the control plane refused ${workload}: ${await response.text()}`);
}

function heddle(command: string, nodeFlags: readonly string[] = []): string[] {
  return [process.execPath, ...nodeFlags, HEDDLE, command];
}

function spoken(traffic: Traffic): Spoken {
  const names = { http1: "http", websocket: "http", http2: "http2", grpc: "grpc", tcp: "opaque" } as const;
  return names[traffic];
}

function at(port: number): string {
  return `127.0.0.1:${port}`;
}
