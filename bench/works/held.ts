/** What an idle connection costs in memory: private dirty pages with many of them open, minus those without. */
import { setTimeout as sleep } from "node:timers/promises";

import type { Bench } from "../bench.ts";
import { hold } from "../load/hold.ts";
import type { Options } from "../options.ts";
import { memory, openFilesMax } from "../proc.ts";
import { type Row, type Section, valueBar } from "../report.ts";
import { startEnvoy } from "../subjects/envoy.ts";
import { startHaproxy } from "../subjects/haproxy.ts";
import { startOneSidecar } from "../subjects/heddle.ts";
import { ONE_SIDECAR } from "../subjects/names.ts";
import type { Subject } from "../subjects/subject.ts";
import { http1, http2 } from "./loops.ts";

const KB = 1_000;
const PER_CONNECTION_MAX_KB = 12;
/** HAProxy and Envoy need a descriptor table and limits of their own for more. */
const FEW = 1_000;
/** So many that what is free in the heap beforehand hides little of them: the bar hangs on these. */
const MANY = 10_000;
/** Descriptors that generator and sidecar need beside those of the connections. */
const SPARE_FILES = 500;
/** Seconds of ordinary load before, over few connections: what a heap grows by in use is no connection's cost. */
const WARM_UP_SECONDS = 2;
const SETTLE_MS = 2_000;

type Protocol = "http1" | "http2";

export function heldSeconds({ quick }: Options): number {
  const one = WARM_UP_SECONDS + 2 * (SETTLE_MS / 1_000) + 1;
  return 2 * (3 * one + (quick ? 0 : one + 3));
}

export async function measureHeld(bench: Bench): Promise<Section[] | undefined> {
  const sections: Section[] = [];
  for (const protocol of ["http1", "http2"] as const) {
    const backend = await bench.backends.port(protocol);
    if (backend !== undefined) sections.push(await measureProtocol(bench, protocol, backend));
  }
  return sections.length === 0 ? undefined : sections;
}

async function measureProtocol(bench: Bench, protocol: Protocol, backend: number): Promise<Section> {
  const { tools, folder, options } = bench;
  const [haproxy, envoy] = [tools.path("haproxy"), tools.path("envoy")];
  const most = options.quick || openFilesMax() < MANY + SPARE_FILES ? FEW : MANY;
  const starts = [
    haproxy === undefined ? undefined : { count: FEW, start: () => startHaproxy(haproxy, folder, protocol, backend) },
    envoy === undefined ? undefined : { count: FEW, start: () => startEnvoy(envoy, folder, protocol, backend) },
    { count: FEW, start: () => startOneSidecar(protocol, backend) },
    most === FEW ? undefined : { count: most, start: () => startOneSidecar(protocol, backend) },
  ];
  const rows: Row[] = [];
  for (const each of starts.filter((start) => start !== undefined)) {
    const subject = await each.start();
    const row = await measureOne(bench, protocol, subject, each.count);
    rows.push(subject.name === ONE_SIDECAR && each.count === most ? judge(row, each.count) : row);
    await Promise.all(subject.processes.map((child) => child.stop()));
  }
  return {
    title: `Memory of an idle ${protocol === "http1" ? "HTTP/1" : "HTTP/2"} connection`,
    columns: [
      { key: "before", label: "private dirty before MB", digits: 1 },
      { key: "during", label: "with them MB", digits: 1 },
      { key: "each", label: "KB each", digits: 1 },
    ],
    rows,
    notes: [
      `each connection has had one answer; before, ${WARM_UP_SECONDS} s of load on few connections and ${SETTLE_MS / 1_000} s of rest`,
      `with ${FEW.toLocaleString("en")} the heap's free room hides some of what they take`,
      "the kernel's own memory of a socket is not in it; 1 KB = 1,000 bytes",
    ],
  };
}

async function measureOne(bench: Bench, protocol: Protocol, subject: Subject, count: number): Promise<Row> {
  const label = `${subject.name}, ${count.toLocaleString("en")} connections`;
  bench.progress(`held: ${protocol}, ${label}`);
  const [loop] = (protocol === "http1" ? http1 : http2)(bench);
  await loop?.load(subject.port, WARM_UP_SECONDS);
  await sleep(SETTLE_MS);
  const before = privateDirty(subject);
  const held = await hold(subject.port, count, protocol);
  await sleep(SETTLE_MS);
  held.check();
  const during = privateDirty(subject);
  held.release();
  const each = (during - before) / count / KB;
  const values = { before: before / KB / KB, during: during / KB / KB, each };
  return { subject: label, values };
}

function judge(row: Row, count: number): Row {
  const each = row.values["each"] ?? Number.NaN;
  const bar = valueBar(`≤ ${PER_CONNECTION_MAX_KB} KB each`, PER_CONNECTION_MAX_KB, each);
  return { ...row, bars: [count < MANY ? { ...bar, verdict: "undecided" } : bar] };
}

function privateDirty({ processes }: Subject): number {
  return processes.reduce((sum, { pid }) => sum + memory(pid).privateDirty, 0);
}
