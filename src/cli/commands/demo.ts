import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { systemClock } from "../../net/clock.ts";
import { defineCommand } from "../command.ts";
import { ControlClient, DEFAULT_CONTROL, type StatRow } from "../control-client.ts";
import { demoAddresses } from "../demo/demo-addresses.ts";
import { Load } from "../demo/load.ts";
import { ShopClient } from "../demo/shop-client.ts";
import { demoJson, demoLine, demoNext, demoSummary, type DemoFacts, type DemoHints } from "../demo/view.ts";
import { Failure } from "../errors.ts";
import { LIFETIME_FLAG, parseLifetime } from "../identity/lifetime.ts";
import type { Io } from "../io.ts";
import { LiveText } from "../live-text.ts";
import { json, painter } from "../output.ts";
import { formatAddress, parseDuration } from "../values.ts";
import { heddleWord } from "../up/greeting.ts";
import { loadMesh } from "../up/load-mesh.ts";
import { PortAllocator } from "../up/ports.ts";
import { readyOrEnded, runMesh, whenAborted } from "../up/session.ts";
import type { MeshSupervisor } from "../up/supervisor.ts";

/** Mean rates of the load, in calls per second. */
const PRODUCTS_PER_SECOND = 20;
const GRPC_PRICES_PER_SECOND = 4;
/** Between two looks at the metrics. */
const LOOK_EVERY_MS = 1_000;
/** Between two lines where the output cannot be redrawn. */
const LINE_EVERY_LOOKS = 5;
/** How far back the live table looks. */
const LIVE_WINDOW_SECONDS = 10;
const WINDOW_SECONDS_MAX = 600;
/** A mesh that is not ready by then has something wrong with it. */
const READY_WITHIN_MS = 60_000;
/** First port of the demo, away from those of `heddle up`. */
const BASE_PORT = 24_000;
/** The last lines of the services' log, for when something goes wrong. */
const LAST_LINES = 20;

export const demo = defineCommand({
  name: "demo",
  description: `Runs the example shop (examples/shop: gateway asks product and price; one of two instances of price is slow and sometimes
fails), sends it about ${PRODUCTS_PER_SECOND} requests per second, and shows success rate, request rate and latency of each service.
Ctrl-C ends it.`,
  flags: {
    for: {
      type: "string",
      value: "DURATION",
      help: "End by itself after so long (at least 5s), counted from when all is ready",
    },
    ...LIFETIME_FLAG,
    output: {
      type: "string",
      short: "o",
      choices: ["table", "json"],
      default: "table",
      help: "Form of the summary at the end",
    },
  },
  examples: [
    { does: "Watch until Ctrl-C", line: "heddle demo" },
    { does: "Twenty seconds, then one JSON document", line: "heddle demo --for 20s -o json" },
  ],
  async run({ flags, io }) {
    const durationMs = flags.for === undefined ? undefined : parseDuration("--for", flags.for, ["5s", "24h"]);
    parseLifetime(flags["identity-lifetime"]);
    const file = join(import.meta.dirname, "..", "..", "..", "examples", "shop", "mesh.yaml");
    const { mesh, lines } = await loadMesh(file);
    if (mesh === undefined) throw new Failure("the example shop cannot be read", lines.join("\n"));
    const { addresses, moved } = await demoAddresses(new PortAllocator(BASE_PORT));
    const api = formatAddress(addresses.api);
    if (moved) {
      io.stderr.write(
        `heddle: the usual ports are taken (another mesh?), so this one is beside it, at --control ${api}\n`,
      );
    }
    io.stderr.write("heddle: starting the example shop\n");
    const stateDirectory = await mkdtemp(join(tmpdir(), "heddle-demo-"));
    const lastLines: string[] = [];
    const keep = (name: string, text: string): void => {
      lastLines.push(`${name} | ${text}`);
      if (lastLines.length > LAST_LINES) lastLines.shift();
    };
    const session = {
      mesh,
      addresses,
      basePort: BASE_PORT,
      stateDirectory,
      logLevel: "warn" as const,
      identityLifetime: flags["identity-lifetime"],
      io,
      log: { line: keep, notice: keep },
      colour: false,
      // The summary follows at once.
      onStopping: () => undefined,
    };
    try {
      return await runMesh(session, async (supervisor, ended) => {
        await started(supervisor, ended, lastLines);
        if (ended.aborted) return 0;
        const facts = await showLoad(new ShopClient(addresses.outbound), new ControlClient(api, io), {
          io,
          ended,
          durationMs,
          hints: {
            heddle: heddleWord(io.directory),
            outbound: formatAddress(addresses.outbound),
            control: api === DEFAULT_CONTROL ? "" : ` --control ${api}`,
          },
        });
        if (flags.output === "json") io.stdout.write(json(demoJson(facts)));
        else io.stdout.write(demoSummary(facts));
        return 0;
      });
    } finally {
      await rm(stateDirectory, { recursive: true, force: true });
    }
  },
});

/** @throws Failure with what is missing and the last lines of the log */
async function started(supervisor: MeshSupervisor, ended: AbortSignal, log: readonly string[]): Promise<void> {
  const late = setTimeout(READY_WITHIN_MS, "late", { ref: false });
  if ((await Promise.race([readyOrEnded(supervisor, ended), late])) !== "late") return;
  const missing = supervisor.waitingFor.join("\n");
  throw new Failure(`the shop is not ready after ${READY_WITHIN_MS / 1_000} s`, `${missing}\n${log.join("\n")}`);
}

interface ShowOptions {
  readonly io: Io;
  readonly ended: AbortSignal;
  readonly durationMs: number | undefined;
  readonly hints: DemoHints;
}

/** Sends load and shows it until it is time to end. */
async function showLoad(shop: ShopClient, control: ControlClient, options: ShowOptions): Promise<DemoFacts> {
  const { io, ended, durationMs, hints } = options;
  const clock = systemClock;
  const loads = [
    new Load({ perSecond: PRODUCTS_PER_SECOND, clock, random: Math.random, send: () => shop.product() }),
    new Load({ perSecond: GRPC_PRICES_PER_SECOND, clock, random: Math.random, send: () => shop.price() }),
  ];
  const facts = (rows: readonly StatRow[]): DemoFacts => ({
    requests: loads.reduce((sum, load) => sum + load.requests, 0),
    failures: loads.reduce((sum, load) => sum + load.failures, 0),
    rows,
  });
  const live = new LiveText(io.stderr);
  const paint = painter(io.stderr, io);
  const start = clock.now();
  if (io.stderr.isTTY !== true) io.stderr.write(demoNext(hints, paint));
  for (const load of loads) load.start();
  const over = durationMs === undefined ? new Promise<never>(() => undefined) : setTimeout(durationMs);
  const end = Promise.race([over, whenAborted(ended)]).then(() => "end");
  for (let look = 1; (await Promise.race([end, setTimeout(LOOK_EVERY_MS)])) !== "end"; look++) {
    const rows = await control.stat({ windowSeconds: LIVE_WINDOW_SECONDS, by: "service" });
    if (io.stderr.isTTY === true) live.show(`${demoSummary(facts(rows))}\n${demoNext(hints, paint)}`);
    else if (look % LINE_EVERY_LOOKS === 0) io.stderr.write(demoLine(facts(rows)));
  }
  // While the load still runs: a pause at the end would count as time without requests.
  const windowSeconds = Math.min(WINDOW_SECONDS_MAX, Math.max(5, Math.round((clock.now() - start) / 1_000)));
  const rows = await control.stat({ windowSeconds, by: "service" });
  await Promise.all(loads.map((load) => load.stop()));
  shop.close();
  live.clear();
  return facts(rows);
}
