/** `heddle proxy` as its users run it: a process of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { TestContext } from "node:test";

import { until } from "./until.ts";
import { heddle } from "./up.ts";

export interface ProxyProcess {
  readonly process: ChildProcess;
  /** "http://127.0.0.1:port" of its listeners; "" for those that it does not have. */
  readonly inbound: string;
  readonly outbound: string;
  readonly admin: string;
  /** Everything that it has logged, as JSON lines, and anything else that it has written to standard error. */
  output(): string;
  metrics(): Promise<string>;
  /** Resolves when it is gone, with its exit code. */
  readonly exited: Promise<number | null>;
}

export interface ProxyProcessOptions {
  /** Modules loaded before anything else, in every thread. */
  readonly preload?: readonly string[];
}

/** Starts it with an admin listener on any port; resolves when it listens, or fails with what it said instead. */
export async function startProxyProcess(
  context: TestContext,
  words: readonly string[],
  { preload = [] }: ProxyProcessOptions = {},
): Promise<ProxyProcess> {
  const args = [...preload.flatMap((file) => ["--import", file]), heddle, "proxy", "--log-format", "json"];
  const child = spawn(process.execPath, [...args, "--admin", "127.0.0.1:0", ...words], {
    stdio: ["ignore", "inherit", "pipe"],
  });
  let output = "";
  child.stderr.on("data", (chunk) => (output += String(chunk)));
  const exited = once(child, "close").then(([code]) => code as number | null);
  context.after(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  await until(
    "it listens",
    () => {
      if (child.exitCode !== null) throw new Error(`heddle proxy ended with ${child.exitCode}: ${output}`);
      return output.includes("sidecar is listening");
    },
    20_000,
  );
  const line = output.split("\n").find((text) => text.includes("sidecar is listening")) ?? "{}";
  const said = JSON.parse(line) as Readonly<Record<string, string | undefined>>;
  const admin = url(said.admin);
  return {
    process: child,
    inbound: url(said.inbound),
    outbound: url(said.outbound),
    admin,
    output: () => output,
    metrics: async () => {
      const response = await fetch(`${admin}/metrics`);
      if (!response.ok) throw new Error(await response.text());
      return response.text();
    },
    exited,
  };
}

function url(address: string | undefined): string {
  return address === undefined ? "" : `http://${address}`;
}
