/** One mesh from its start to its end: what `up` and `demo` have in common. */
import { systemClock } from "../../net/clock.ts";
import { ControlClient } from "../control-client.ts";
import type { Io } from "../io.ts";
import { onEndSignals, signalExitCode } from "../signals.ts";
import { formatAddress } from "../values.ts";
import { heddleCommand, type Host, type SupervisorLog } from "./host.ts";
import { spawnerWith } from "./process.ts";
import { networkProbe } from "./readiness.ts";
import { MeshSupervisor, type SupervisorOptions } from "./supervisor.ts";
import type { TransparentNetwork } from "./transparent/network.ts";
import { Watchdog } from "./watchdog.ts";

/** What is not ready is said this often. */
const STILL_WAITING_EVERY_MS = 10_000;

export interface SessionOptions extends Omit<SupervisorOptions, "apiToken" | "host" | "network"> {
  /** Every instance gets a network namespace of its own. */
  readonly transparent?: boolean;
  readonly io: Io;
  readonly log: SupervisorLog;
  /** Programs may colour what they write. */
  readonly colour: boolean;
  /** The first signal came; everything ends soon. */
  onStopping(): void;
}

/**
 * Starts the mesh, runs `body` beside it, and ends it when the body is done. A first signal asks the body to end; a second
 * one kills everything.
 *
 * @param body settles soon after `ended` is aborted; its result is the exit code
 */
export async function runMesh(
  options: SessionOptions,
  body: (supervisor: MeshSupervisor, ended: AbortSignal) => Promise<number>,
): Promise<number> {
  const { io, log, colour, transparent = false, ...mesh } = options;
  const network = transparent ? await openNetwork(mesh.addresses) : undefined;
  const watchdog = new Watchdog();
  const host: Host = {
    clock: systemClock,
    spawner: spawnerWith(watchdog),
    probe: networkProbe,
    client: new ControlClient(formatAddress(mesh.addresses.api), io),
    log,
    heddle: heddleCommand(),
    env: inheritedEnvironment(io, colour),
  };
  const supervisor = new MeshSupervisor({ ...mesh, apiToken: io.apiToken, host, network });
  const ended = new AbortController();
  const forgetSignals = onEndSignals({
    first() {
      options.onStopping();
      ended.abort();
    },
    again(signal) {
      supervisor.kill();
      process.exit(signalExitCode(signal));
    },
  });
  let ready = false;
  void supervisor.allReady.then(() => (ready = true));
  // Besides, it keeps this process alive: timers of the clock do not, and between two starts there may be nothing else.
  const heartbeat = setInterval(() => {
    if (!ready) sayWhatIsMissing(supervisor, log);
  }, STILL_WAITING_EVERY_MS);
  try {
    await supervisor.start();
    return await body(supervisor, ended.signal);
  } finally {
    await supervisor.stop();
    watchdog.close();
    network?.close();
    clearInterval(heartbeat);
    forgetSignals();
  }
}

/** @returns when the mesh takes traffic, or when it is to end: true or false */
export async function readyOrEnded(supervisor: MeshSupervisor, ended: AbortSignal): Promise<boolean> {
  await Promise.race([supervisor.allReady, whenAborted(ended)]);
  return !ended.aborted;
}

export async function whenAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
}

function sayWhatIsMissing(supervisor: MeshSupervisor, log: SupervisorLog): void {
  for (const reason of supervisor.waitingFor) log.notice("heddle", `still waits for ${reason}`);
}

/** @param colour their output ends on a terminal: they may colour it, though they see a pipe */
export function inheritedEnvironment(io: Io, colour: boolean): Readonly<Record<string, string | undefined>> {
  return colour ? { ...io.env, FORCE_COLOR: "1" } : io.env;
}

async function openNetwork(addresses: SupervisorOptions["addresses"]): Promise<TransparentNetwork> {
  return (await import("./transparent/network.ts")).TransparentNetwork.open(addresses);
}
