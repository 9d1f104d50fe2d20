/** Where the demo's mesh listens: on the usual ports, or beside a mesh that has them already. */
import { isFree, LOOPBACK, PortAllocator } from "../up/ports.ts";
import type { MeshAddresses } from "../up/plan.ts";

const USUAL = { api: 4180, xds: 4181, outbound: 4140, admin: 4191 } as const;

export interface DemoAddresses {
  readonly addresses: MeshAddresses;
  /** Something had the usual ones. */
  readonly moved: boolean;
}

/** All four usual ports, or four others. */
export async function demoAddresses(others: PortAllocator): Promise<DemoAddresses> {
  const free = await Promise.all(Object.values(USUAL).map((port) => isFree({ host: LOOPBACK, port })));
  const moved = free.includes(false);
  const at = async (usual: number): Promise<{ host: string; port: number }> => ({
    host: LOOPBACK,
    port: moved ? await others.allocate() : usual,
  });
  const addresses = {
    api: await at(USUAL.api),
    xds: await at(USUAL.xds),
    outbound: await at(USUAL.outbound),
    admin: await at(USUAL.admin),
  };
  return { addresses, moved };
}
