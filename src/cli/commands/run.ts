import { randomBytes } from "node:crypto";
import { basename } from "node:path";
import { defaultProtocol, PORT_PROTOCOLS } from "../../model/service.ts";
import { systemClock } from "../../net/clock.ts";
import { defineCommand, type FlagValues } from "../command.ts";
import { CONTROL_FLAG, ControlClient, ControlError } from "../control-client.ts";
import { UsageError } from "../errors.ts";
import { painter } from "../output.ts";
import { DEFAULT_PROTOCOL, parseProtocol } from "../proxy-flags.ts";
import { onEndSignals, signalExitCode } from "../signals.ts";
import { LOG_LEVELS, type LogLevel } from "../../telemetry/log.ts";
import { formatAddress, parseAddress, parseAuthority, parseLabel, parsePort } from "../values.ts";
import { heddleCommand, type Host } from "../up/host.ts";
import { Instance } from "../up/instance.ts";
import { allocatePorts, type InstanceDefinition } from "../up/plan.ts";
import { LOOPBACK, PortAllocator } from "../up/ports.ts";
import { spawnerWith, type ProcessExit } from "../up/process.ts";
import { networkProbe } from "../up/readiness.ts";
import { PROGRAM_GRACE_MS, SIDECAR_GRACE_MS } from "../up/supervisor.ts";
import { Watchdog } from "../up/watchdog.ts";

const FLAGS = {
  service: {
    type: "string",
    value: "NAME",
    help: "Service that the program serves (default: the name of this folder)",
  },
  workload: {
    type: "string",
    value: "NAME",
    help: "Name of this instance (default: the service's and four random digits)",
  },
  namespace: { type: "string", short: "n", value: "NAME", default: "default", help: "Namespace of the service" },
  port: { type: "string", value: "PORT", default: "80", help: "Port that callers say" },
  protocol: {
    type: "string",
    value: "PROTOCOL",
    help: `What is spoken there: ${PORT_PROTOCOLS.join(", ")} (default: ${DEFAULT_PROTOCOL})`,
  },
  upstream: {
    type: "string",
    multiple: true,
    value: "SERVICE",
    help: "Service that the program calls; it finds it in HEDDLE_UPSTREAM_<NAME>",
  },
  "app-port": {
    type: "string",
    value: "PORT",
    help: "Where the program listens on 127.0.0.1 (default: a free port, told to it in PORT)",
  },
  "base-port": { type: "string", value: "PORT", default: "22000", help: "First port for the sidecar" },
  xds: { type: "string", value: "IP:PORT", help: "xDS address of the control plane (default: where it says)" },
  "log-level": { type: "string", choices: LOG_LEVELS, default: "warn", help: "Least severity that the sidecar logs" },
  ...CONTROL_FLAG,
} as const;

export const run = defineCommand({
  name: "run",
  description: `Runs one program with a sidecar and joins it to a running mesh (of \`heddle up\`, \`heddle demo\` or \`heddle control\`).
The program should listen on 127.0.0.1 at the port in PORT. It takes traffic as soon as it listens, and none any more
when it ends. The exit code is the program's.`,
  rest: "PROGRAM [ARGUMENT…]",
  flags: FLAGS,
  examples: [
    { does: "A service that callers reach as http://hello", line: "heddle run --service hello -- node server.js" },
    {
      does: "One that always listens on 3000, and calls price",
      line: "heddle run --service shop --app-port 3000 --upstream price -- npm start",
    },
  ],
  async run({ flags, rest, io }) {
    if (rest === undefined || rest.length === 0) {
      throw new UsageError("run: no program", "Usage: heddle run [flags] -- PROGRAM [ARGUMENT…]");
    }
    const definition = definitionOf(flags, rest, io.directory);
    const appPort = flags["app-port"] === undefined ? [] : [parsePort("--app-port", flags["app-port"])];
    const basePort = parsePort("--base-port", flags["base-port"]);
    const client = ControlClient.from(flags.control, io);
    const xds = parseAddress("--xds", flags.xds ?? (await client.about()).xds);
    await mayJoin(client, definition);

    const ports = await allocatePorts(definition, new PortAllocator(basePort), appPort);
    const watchdog = new Watchdog();
    const talk = painter(io.stderr, io);
    const say = (text: string): unknown => io.stderr.write(`${talk("bold", "heddle")}: ${text}\n`);
    const host: Host = {
      clock: systemClock,
      spawner: spawnerWith(watchdog),
      probe: networkProbe,
      client,
      log: {
        line: (name, text) => void say(`${name}: ${text}`),
        notice: (name, text) => void say(`${name} ${text}`),
      },
      heddle: heddleCommand(),
      env: io.env,
    };
    const ended = Promise.withResolvers<ProcessExit>();
    let greeted = false;
    const instance = new Instance({
      definition,
      ports,
      addresses: { xds },
      sidecar: { logLevel: flags["log-level"] as LogLevel, shutdownGraceMs: SIDECAR_GRACE_MS },
      host,
      stdio: "inherit",
      restart: false,
      onReady() {
        if (greeted) return;
        greeted = true;
        const first = ports.ports[0]?.app ?? 0;
        say(
          `${instance.name} serves ${definition.service.name} (program on ${formatAddress({ host: LOOPBACK, port: first })})`,
        );
      },
      onProgramExit: (exit) => ended.resolve(exit),
    });
    // Timers of the clock do not keep a process alive.
    const alive = setInterval(() => undefined, 60_000);
    const forgetSignals = passSignals(instance, ended);
    instance.start();
    const exit = await ended.promise;
    if (exit.startError !== "") say(`the program could not be started: ${exit.startError}`);
    await instance.deregister();
    await instance.stopSidecar(SIDECAR_GRACE_MS);
    watchdog.close();
    clearInterval(alive);
    forgetSignals();
    return exitCode(exit);
  },
});

/**
 * Asks for a join token before anything is started: whom the control plane refuses now it refuses later. One that does not
 * answer, or cannot help it, is expected back. The token is not used, and ends by itself.
 *
 * @throws ControlError
 */
async function mayJoin(client: ControlClient, { namespace, service, instance }: InstanceDefinition): Promise<void> {
  try {
    await client.joinToken({ namespace, serviceAccount: service.name, workload: instance.name });
  } catch (error) {
    if (error instanceof ControlError && error.status < 500) throw error;
  }
}

/** The first signal ends all in good order, and the program gets it too; the second one is passed on at once. */
function passSignals(instance: Instance, ended: PromiseWithResolvers<ProcessExit>): () => void {
  const others: NodeJS.Signals[] = ["SIGUSR2", "SIGWINCH", "SIGCONT"];
  const pass = (signal: NodeJS.Signals): void => instance.signalProgram(signal);
  for (const signal of others) process.on(signal, pass);
  const forget = onEndSignals({
    first: (signal) => void endOrderly(instance, signal, ended),
    again: () => instance.kill(),
  });
  return () => {
    forget();
    for (const signal of others) process.off(signal, pass);
  };
}

async function endOrderly(
  instance: Instance,
  signal: NodeJS.Signals,
  ended: PromiseWithResolvers<ProcessExit>,
): Promise<void> {
  await instance.deregister();
  await instance.stopSidecar(SIDECAR_GRACE_MS);
  instance.signalProgram(signal);
  if (instance.programRunning) setTimeout(() => instance.kill(), PROGRAM_GRACE_MS).unref();
  else ended.resolve({ code: null, signal, startError: "" });
}

/** As a shell would say it. */
function exitCode({ code, signal, startError }: ProcessExit): number {
  if (startError !== "") return 127;
  return signal === null ? (code ?? 1) : signalExitCode(signal);
}

function definitionOf(
  flags: FlagValues<typeof FLAGS>,
  command: readonly string[],
  directory: string,
): InstanceDefinition {
  const service = flags.service === undefined ? folderLabel(directory) : parseLabel("--service", flags.service);
  const port = parsePort("--port", flags.port);
  const workload = flags.workload ?? `${service.slice(0, 58)}-${randomBytes(2).toString("hex")}`;
  return {
    namespace: parseLabel("--namespace", flags.namespace),
    service: {
      name: service,
      command,
      directory,
      ports: [
        {
          name: "http",
          port,
          protocol: flags.protocol === undefined ? defaultProtocol(port) : parseProtocol("--protocol", flags.protocol),
          env: "PORT",
        },
      ],
      upstreams: flags.upstream.map((authority) => parseAuthority("--upstream", authority)),
      env: {},
      labels: {},
      ready: "",
    },
    instance: { name: parseLabel("--workload", workload), env: {}, labels: {} },
  };
}

/** "My Shop" → "my-shop". @throws UsageError if nothing of the name can be kept */
function folderLabel(directory: string): string {
  const label = basename(directory)
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .slice(0, 63)
    .replaceAll(/^-+|-+$/g, "");
  if (label === "") throw new UsageError("run: this folder's name makes no name for a service", "Say --service NAME.");
  return label;
}
