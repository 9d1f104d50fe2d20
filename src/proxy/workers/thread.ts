/** What runs in a worker thread: the traffic of a sidecar, and nothing else. It ends when the main thread ends it. */
import { type MessagePort, parentPort, workerData } from "node:worker_threads";

import { systemClock } from "../../net/clock.ts";
import { Logger } from "../../telemetry/log.ts";
import { ListenError } from "../listener.ts";
import { Traffic } from "../traffic.ts";
import { RelayedCredentials } from "./credentials-relay.ts";
import type { FromWorker, Report, Task, ToWorker, WorkerStart } from "./messages.ts";
import { RelayedDiscovery } from "./relay.ts";

const port = parentPort as MessagePort;
const { config, ticketSecret } = workerData as WorkerStart;
const logger = new Logger({ level: config.logLevel, format: config.logFormat, sink: process.stderr });
const discovery = new RelayedDiscovery(post);
const credentials = ticketSecret && new RelayedCredentials(post);
const identity = credentials && { credentials, ticketSecret };

function post(message: FromWorker): void {
  port.postMessage(message);
}

async function perform(task: Task, traffic: Traffic): Promise<Report | undefined> {
  if (task === "drainInbound") await traffic.drainInbound();
  if (task === "drainOutbound") await traffic.drainOutbound();
  if (task !== "report") return undefined;
  const { user, system } = process.threadCpuUsage();
  return {
    families: await traffic.snapshot(),
    connections: traffic.open,
    cpuSeconds: (user + system) / 1e6,
  };
}

try {
  const traffic = await Traffic.open({ config, clock: systemClock, logger, discovery, identity });
  port.on("message", (message: ToWorker) => {
    if (message.kind === "logLevel") traffic.setLogLevel(message.level);
    else if (message.kind === "drop") traffic.drop(message.stale);
    else if (message.kind === "credentials") credentials?.told(message.credentials);
    else if (message.kind !== "task") discovery.told(message);
    else void perform(message.task, traffic).then((report) => post({ kind: "done", id: message.id, report }));
  });
  post({ kind: "open" });
} catch (error) {
  if (!(error instanceof ListenError)) throw error;
  post({ kind: "refused", message: error.message, code: error.code });
}
