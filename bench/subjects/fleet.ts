/** All subjects of one protocol, as far as their programs are there. */
import type { Bench } from "../bench.ts";
import { startHaproxy } from "./haproxy.ts";
import { startControl, startOneSidecar, startTwoSidecars } from "./heddle.ts";
import { startNghttpx } from "./nghttpx.ts";
import { startNginx } from "./nginx.ts";
import type { Protocol, Subject } from "./subject.ts";

export const DIRECT = "direct";

export interface Fleet {
  readonly subjects: readonly Subject[];
  stop(): Promise<void>;
}

/** @returns undefined where there is no back end for them */
export async function startFleet(bench: Bench, protocol: Protocol): Promise<Fleet | undefined> {
  const { tools, folder } = bench;
  const backend = (await bench.backend())?.[protocol];
  if (backend === undefined) return undefined;
  const subjects: Subject[] = [{ name: DIRECT, port: backend, processes: [] }];
  const haproxy = tools.path("haproxy");
  const nginx = tools.path("nginx");
  const nghttpx = tools.path("nghttpx");
  if (haproxy !== undefined) subjects.push(await startHaproxy(haproxy, folder, protocol, backend));
  if (nginx !== undefined && protocol === "http1") subjects.push(await startNginx(nginx, folder, backend));
  if (nghttpx !== undefined && protocol === "http2") subjects.push(await startNghttpx(nghttpx, backend));
  const control = await startControl();
  subjects.push(await startOneSidecar(protocol, backend));
  subjects.push(await startTwoSidecars(protocol, backend, control));
  return {
    subjects,
    async stop() {
      const children = [...subjects.flatMap(({ processes }) => processes), control.child];
      await Promise.all(children.map((child) => child.stop()));
    },
  };
}
