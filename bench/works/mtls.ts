/**
 * What mutual TLS costs: CPU per request on kept connections, and per connection with a full handshake each. Both sides
 * show a P-256 leaf and its issuer, in TLS 1.3.
 */
import type { Bench } from "../bench.ts";
import { wrk } from "../load/wrk.ts";
import type { Options } from "../options.ts";
import type { Section } from "../report.ts";
import { BODY_BYTES } from "../subjects/backend.ts";
import {
  type Certificates,
  startMtlsHaproxy,
  startMtlsSidecar,
  startTlsClient,
  writeCertificates,
} from "../subjects/mtls.ts";
import { HAPROXY } from "../subjects/names.ts";
import type { Subject } from "../subjects/subject.ts";
import { type ClosedLoop, measureLoop } from "./closed.ts";
import { careful } from "./loops.ts";

const CONNECTIONS = 32;
/** The bars of the project for one sidecar. */
const REQUEST_MAX = 1.3;
const HANDSHAKE_MAX = 1.5;
/** Two subjects, two loops, and starting all of it. */
const LOOPS = 2;
const SUBJECTS = 2;
const START_SECONDS = 4;

export function mtlsSeconds(options: Options): number {
  const { blocks, seconds, warmUp } = careful(options);
  return START_SECONDS + LOOPS * (warmUp + 1 + blocks * SUBJECTS * seconds);
}

export async function measureMtls(bench: Bench): Promise<Section[] | undefined> {
  const { tools, options, folder } = bench;
  const [haproxy, generator] = [tools.path("haproxy"), tools.path("wrk")];
  const backend = await bench.backends.port("http1");
  if (haproxy === undefined || generator === undefined || backend === undefined) return undefined;
  const certificates = await writeCertificates(folder);
  const subjects = [
    await startMtlsHaproxy(haproxy, certificates, backend),
    await startMtlsSidecar(certificates, backend),
  ];
  const loop = {
    ...careful(options),
    traffic: "http1",
    peers: [HAPROXY],
    load: (port: number, seconds: number) => wrk(generator, port, seconds, { connections: CONNECTIONS, path: "/" }),
  } as const;
  const loops: readonly ClosedLoop[] = [
    {
      ...loop,
      name: "mtls",
      title: `HTTP/1 inside mutual TLS, ${BODY_BYTES} B body (wrk behind HAProxy, ${CONNECTIONS} connections)`,
      unit: "req",
      bars: [{ peer: HAPROXY, limit: REQUEST_MAX }],
    },
    {
      ...loop,
      name: "handshakes",
      title: "A handshake of mutual TLS and one request in it (wrk behind HAProxy)",
      unit: "connection",
      bars: [{ peer: HAPROXY, limit: HANDSHAKE_MAX }],
    },
  ];
  const sections: Section[] = [];
  for (const one of loops) sections.push(await measureBehind(bench, haproxy, certificates, subjects, one));
  await Promise.all(subjects.flatMap(({ processes }) => processes.map((child) => child.stop())));
  return sections;
}

/** Each subject behind a client of its own, which puts the TLS on. */
async function measureBehind(
  bench: Bench,
  haproxy: string,
  certificates: Certificates,
  subjects: readonly Subject[],
  loop: ClosedLoop,
): Promise<Section> {
  const clients = await Promise.all(
    subjects.map((subject) => startTlsClient(haproxy, certificates, subject, loop.name === "handshakes")),
  );
  const behind = subjects.map((subject, i): Subject => ({ ...subject, port: clients[i]?.port ?? 0 }));
  const section = await measureLoop(bench.progress, loop, behind, true);
  await Promise.all(clients.map(({ child }) => child.stop()));
  return section;
}
