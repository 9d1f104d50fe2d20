import { systemClock } from "../../net/clock.ts";
import type { ProxyConfig, SocketAddress } from "../../proxy/config.ts";
import type { RunningProxy } from "../../proxy/proxy.ts";
import { Logger } from "../../telemetry/log.ts";
import { defineCommand } from "../command.ts";
import { Failure } from "../errors.ts";
import { JOIN_TOKEN_VARIABLE, parseProxyFlags, PROXY_FLAGS } from "../proxy-flags.ts";
import { onEndSignals, signalExitCode } from "../signals.ts";
import { giveBackWhenIdle } from "../start-memory.ts";

export const proxy = defineCommand({
  name: "proxy",
  description: `Runs one sidecar: it takes the calls to its application on --inbound and the calls of its application on --outbound
and --upstream. \`heddle up\` and \`heddle run\` start sidecars by themselves.

One worker uses one core. With --workers N the kernel gives each connection to one of N threads by a hash of its
addresses: many connections are spread evenly, a few may all meet in one thread. The metrics are those of all together.

The first SIGTERM or SIGINT drains: no new work, what is running is finished. A second one ends at once.`,
  flags: PROXY_FLAGS,
  examples: [
    {
      does: "The sidecar of one instance of price, which calls product",
      line: `heddle proxy --workload price-1 --service price --xds 127.0.0.1:4181 --admin 127.0.0.1:20005 \\
      --inbound 127.0.0.1:20003=127.0.0.1:8080,port=80,protocol=http --upstream product=127.0.0.1:20002`,
    },
    {
      does: "The same for an application that listens on a Unix socket",
      line: `heddle proxy --workload price-1 --service price --xds 127.0.0.1:4181 \\
      --inbound 127.0.0.1:20003=unix:/run/price.sock,port=80,protocol=http`,
    },
    {
      does: "A sidecar for the person at the keyboard: any service by its Host on port 4140",
      line: "heddle proxy --workload keyboard --xds 127.0.0.1:4181 --outbound 127.0.0.1:4140",
    },
    {
      does: "A gateway on four cores",
      line: "heddle proxy --workload gateway --xds 127.0.0.1:4181 --outbound 127.0.0.1:4140 --workers 4",
    },
  ],
  async run({ flags, io }) {
    const config = parseProxyFlags(flags, io.env[JOIN_TOKEN_VARIABLE]);
    // Nobody who shows or inherits the environment is to see it.
    delete process.env[JOIN_TOKEN_VARIABLE];
    const [{ startProxy }, { ListenError }] = await Promise.all([
      import("../../proxy/proxy.ts"),
      import("../../proxy/listener.ts"),
    ]);
    const running = await startProxy(config).catch((error: unknown) => {
      throw error instanceof ListenError ? new Failure(error.message) : error;
    });
    return new Promise<number>((resolve, reject) => {
      const drain = (): void => void running.drain().then(() => resolve(0));
      void running.shutdownRequested.then(drain);
      void running.identityRefused.then(async (reason) => {
        await running.drain();
        reject(new Failure(`the control plane gives this sidecar no certificate: ${reason}`, NEW_TOKEN));
      });
      onEndSignals({
        first: drain,
        again(signal) {
          running.close();
          process.exit(signalExitCode(signal));
        },
      });
      giveBackWhenIdle(systemClock, () => running.connections());
      // Last: who waits for this line may end us at once.
      announce(config, running);
    });
  },
});

const NEW_TOKEN = `Start it with a new join token in ${JOIN_TOKEN_VARIABLE}; \`heddle identity token\` makes one.`;

function join(addresses: readonly SocketAddress[]): string | undefined {
  return addresses.length === 0 ? undefined : addresses.map(({ host, port }) => `${host}:${port}`).join(",");
}

/** One line that says where it listens: with port 0 the system has chosen. */
function announce(config: ProxyConfig, { addresses }: RunningProxy): void {
  const log = new Logger({ level: config.logLevel, format: config.logFormat, sink: process.stderr });
  log.info("sidecar is listening", {
    workload: `${config.workload}.${config.namespace}`,
    inbound: join(addresses.inbound),
    outbound: addresses.outbound === undefined ? undefined : join([addresses.outbound]),
    upstreams: join(addresses.upstreams),
    captured: addresses.captured && join([addresses.captured.inbound, addresses.captured.outbound]),
    admin: join([addresses.admin]),
  });
}
