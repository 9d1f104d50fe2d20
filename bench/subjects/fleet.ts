/** All subjects of one kind of traffic, as far as their programs are there. */
import type { Bench } from "../bench.ts";
import { startEnvoy } from "./envoy.ts";
import { startHaproxy } from "./haproxy.ts";
import { startControl, startOneSidecar, startTwoSidecars } from "./heddle.ts";
import { DIRECT } from "./names.ts";
import { startNghttpx } from "./nghttpx.ts";
import { startNginx } from "./nginx.ts";
import { overHttp2, type Subject, type Traffic } from "./subject.ts";

export interface Fleet {
  readonly subjects: readonly Subject[];
  stop(): Promise<void>;
}

/** @returns undefined where there is no back end for them */
export async function startFleet(bench: Bench, traffic: Traffic): Promise<Fleet | undefined> {
  const { tools, folder } = bench;
  const backend = await bench.backends.port(traffic);
  if (backend === undefined) return undefined;
  const [haproxy, nginx, nghttpx, envoy] = (["haproxy", "nginx", "nghttpx", "envoy"] as const).map(tools.path);
  const control = await startControl();
  const subjects = [
    { name: DIRECT, port: backend, processes: [] },
    haproxy === undefined ? undefined : await startHaproxy(haproxy, folder, traffic, backend),
    nginx === undefined ? undefined : await startNginx(nginx, folder, traffic, backend),
    nghttpx === undefined || !overHttp2(traffic) ? undefined : await startNghttpx(nghttpx, backend),
    envoy === undefined ? undefined : await startEnvoy(envoy, folder, traffic, backend),
    await startOneSidecar(traffic, backend),
    await startTwoSidecars(traffic, backend, control),
  ].filter((subject) => subject !== undefined);
  return {
    subjects,
    async stop() {
      const children = [...subjects.flatMap(({ processes }) => processes), control.child];
      await Promise.all(children.map((child) => child.stop()));
    },
  };
}
