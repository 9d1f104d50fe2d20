/** The kinds of measurement: how each is made, and about how long it takes. */
import type { Bench } from "./bench.ts";
import type { Options, Work } from "./options.ts";
import type { Section } from "./report.ts";
import { bulkBlocks, measureBulk } from "./works/bulk.ts";
import { type ClosedLoop, measureClosed } from "./works/closed.ts";
import { countsSeconds, measureCounts } from "./works/counts.ts";
import { heldSeconds, measureHeld } from "./works/held.ts";
import { idleSeconds, measureIdle } from "./works/idle.ts";
import { latencySeconds, measureLatency } from "./works/latency.ts";
import {
  bodies,
  brief,
  careful,
  churn,
  connections,
  grpc,
  http1,
  http2,
  type Loops,
  stream,
  websocket,
} from "./works/loops.ts";
import { measureMtls, mtlsSeconds } from "./works/mtls.ts";
import { measureSoak, soakSeconds } from "./works/soak.ts";

export interface Measurement {
  /** @returns undefined where something that it needs is missing */
  readonly measure: (bench: Bench) => Promise<Section | readonly Section[] | undefined>;
  /** About how many seconds it takes when every peer is there. */
  readonly seconds: (options: Options) => number;
}

/** Direct, the peers, one sidecar and two. */
const SUBJECTS = 6;
/** Starting them and the control plane. */
const START_SECONDS = 3;
/** What a turn takes beyond its seconds: starting the generator, for the most part. */
const TURN_OVERHEAD_SECONDS = 0.05;
/** One body of 256 MiB. */
const BULK_SECONDS = 0.3;

type Pace = Pick<ClosedLoop, "blocks" | "seconds" | "warmUp">;

export const MEASUREMENTS: Readonly<Record<Work, Measurement>> = {
  http1: closed(http1, 1, careful),
  http2: closed(http2, 1, careful),
  grpc: closed(grpc, 1, careful),
  stream: closed(stream, 1, brief),
  websocket: closed(websocket, 1, brief),
  tcp: bulk("tcp"),
  bulk: bulk("http1"),
  bodies: closed(bodies, 2, brief),
  connections: closed(connections, 3, brief),
  churn: closed(churn, 1, brief),
  mtls: { measure: measureMtls, seconds: mtlsSeconds },
  latency: { measure: measureLatency, seconds: latencySeconds },
  counts: { measure: measureCounts, seconds: countsSeconds },
  idle: { measure: measureIdle, seconds: idleSeconds },
  held: { measure: measureHeld, seconds: heldSeconds },
  soak: { measure: measureSoak, seconds: soakSeconds },
};

/** About how many seconds a run takes. */
export function estimate(options: Options): number {
  return options.works.reduce((sum, work) => sum + MEASUREMENTS[work].seconds(options), 0);
}

function closed(loops: Loops, count: number, pace: (options: Options) => Pace): Measurement {
  return {
    measure: (bench) => measureClosed(bench, loops(bench)),
    seconds(options) {
      const { blocks, seconds, warmUp } = pace(options);
      // The peers are warm after the first loop, the two that compile themselves are warmed up for each.
      const warming = SUBJECTS - 2 + count * 2 * warmUp;
      return START_SECONDS + warming + count * blocks * SUBJECTS * (seconds + TURN_OVERHEAD_SECONDS);
    },
  };
}

function bulk(traffic: "http1" | "tcp"): Measurement {
  return {
    measure: (bench) => measureBulk(bench, traffic),
    seconds: ({ blocks }) => START_SECONDS + (bulkBlocks(blocks, traffic) + 3) * SUBJECTS * BULK_SECONDS,
  };
}
