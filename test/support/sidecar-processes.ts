/**
 * A mesh of real processes, `bin/heddle` each: a control plane, the sidecar of an application that the caller runs, and
 * a sidecar beside a caller. For what must be seen from outside: memory, processor time, what a stranger is told.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

import { API_TOKEN_ENV, AUTHORIZED } from "./api-token.ts";
import { freePorts } from "./ports.ts";
import { heddle } from "./up.ts";
import { until } from "./until.ts";

export interface SidecarProcess {
  readonly pid: number;
  readonly adminPort: number;
  /** What it has printed so far. */
  output(): string;
  /** As SIGTERM does; resolves with the exit code when it is gone. */
  drain(): Promise<number | null>;
}

export interface ProcessMesh {
  /** The application's sidecar. */
  readonly inbound: SidecarProcess & { readonly port: number };
  /** The caller's: a listener whose every connection goes to the application, and one that routes by Host. */
  readonly outbound: SidecarProcess & { readonly upstreamPort: number; readonly port: number };
  /** Ends everything at once. */
  close(): Promise<void>;
}

/** The service that the application is. */
export const SERVICE = "price";

class Child {
  readonly process: ChildProcess;
  text = "";

  constructor(args: readonly string[]) {
    this.process = spawn(process.execPath, [heddle, ...args, "--log-level", "warn"], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...API_TOKEN_ENV },
    });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream?.on("data", (chunk) => (this.text = (this.text + String(chunk)).slice(-OUTPUT_CHARACTERS_MAX)));
    }
  }

  async ready(what: string, url: string): Promise<void> {
    const answers = async (): Promise<boolean> => {
      if (this.process.exitCode !== null) throw new Error(`${what} ended:\n${this.text}`);
      return fetch(url).then(
        ({ ok }) => ok,
        () => false,
      );
    };
    await until(`${what} is ready`, answers, 30_000);
  }

  async end(signal: "SIGTERM" | "SIGKILL"): Promise<number | null> {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      const gone = once(this.process, "exit");
      this.process.kill(signal);
      await gone;
    }
    return this.process.exitCode;
  }

  sidecar(adminPort: number): SidecarProcess {
    return {
      pid: this.process.pid as number,
      adminPort,
      output: () => this.text,
      drain: () => this.end("SIGTERM"),
    };
  }
}

/** Of what a process prints, the last so many characters are kept. */
const OUTPUT_CHARACTERS_MAX = 64 * 1024;

const at = (port: number | undefined): string => `127.0.0.1:${port}`;

/**
 * Starts the three; resolves when all are ready.
 *
 * @param applicationPort where the application listens on 127.0.0.1
 * @param protocol of its port: http turns HTTP/2 into HTTP/1 for it
 */
export async function startProcessMesh(
  applicationPort: number,
  protocol: "http" | "http2" = "http",
): Promise<ProcessMesh> {
  const [api, xds, inboundPort, inboundAdmin, port, upstreamPort, outboundAdmin] = (await freePorts(7)) as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const children: Child[] = [];
  const start = (...args: string[]): Child => {
    const child = new Child(args);
    children.push(child);
    return child;
  };
  const close = async (): Promise<void> => {
    await Promise.all(children.map((child) => child.end("SIGKILL")));
  };
  try {
    const control = start("control", "--api", at(api), "--xds", at(xds));
    const proxy = (name: string, admin: number, ...more: string[]): Child =>
      start("proxy", "--workload", name, "--xds", at(xds), "--admin", at(admin), ...more);
    const target = `${at(inboundPort)}=${at(applicationPort)},service=${SERVICE},port=80,protocol=${protocol}`;
    const inbound = proxy("price-1", inboundAdmin, "--service", SERVICE, "--inbound", target);
    const upstream = `${SERVICE}=${at(upstreamPort)}`;
    const outbound = proxy("caller", outboundAdmin, "--outbound", at(port), "--upstream", upstream);
    await control.ready("the control plane", `http://${at(api)}/api/v1/workloads`);
    await register(api, inboundPort, protocol);
    await inbound.ready("the application's sidecar", `http://${at(inboundAdmin)}/ready`);
    await outbound.ready("the caller's sidecar", `http://${at(outboundAdmin)}/ready`);
    return {
      inbound: { ...inbound.sidecar(inboundAdmin), port: inboundPort },
      outbound: { ...outbound.sidecar(outboundAdmin), port, upstreamPort },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function register(api: number, addressPort: number, protocol: string): Promise<void> {
  const port = { service: SERVICE, name: "main", port: 80, protocol, address: "127.0.0.1", addressPort, meshed: true };
  const response = await fetch(`http://${at(api)}/api/v1/workloads/default/price-1`, {
    method: "PUT",
    headers: { "content-type": "application/json", ...AUTHORIZED },
    body: JSON.stringify({
      labels: {},
      locality: { region: "", zone: "", subZone: "" },
      weight: 1,
      health: "healthy",
      ports: [port],
      ttlSeconds: 3_600,
    }),
  });
  if (!response.ok) throw new Error(`the control plane refused the workload: ${await response.text()}`);
}
