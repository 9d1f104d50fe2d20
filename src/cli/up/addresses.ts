/** The flags that place a mesh on this machine's ports. */
import type { FlagValues } from "../command.ts";
import { parseAddress, parsePrivateAddress } from "../values.ts";
import type { MeshAddresses } from "./plan.ts";
import { checkFree } from "./ports.ts";

export const ADDRESS_FLAGS = {
  api: {
    type: "string",
    value: "IP:PORT",
    default: "127.0.0.1:4180",
    help: "Control plane: HTTP API for the command line",
  },
  xds: { type: "string", value: "IP:PORT", default: "127.0.0.1:4181", help: "Control plane: xDS (gRPC) for sidecars" },
  outbound: {
    type: "string",
    value: "IP:PORT",
    default: "127.0.0.1:4140",
    help: "Where you call services by their Host: the sidecar for the person at the keyboard",
  },
  admin: {
    type: "string",
    value: "IP:PORT",
    default: "127.0.0.1:4191",
    help: "Admin pages and metrics of that sidecar",
  },
} as const;

const NAMES = ["api", "xds", "outbound", "admin"] as const;

/** @throws UsageError for a wrong form, Failure if something listens on one of them */
export async function freeAddresses(flags: FlagValues<typeof ADDRESS_FLAGS>): Promise<MeshAddresses> {
  const addresses = {
    api: parsePrivateAddress("--api", flags.api, undefined),
    xds: parseAddress("--xds", flags.xds),
    outbound: parseAddress("--outbound", flags.outbound),
    admin: parsePrivateAddress("--admin", flags.admin, undefined),
  };
  for (const name of NAMES) await checkFree(`--${name}`, addresses[name]);
  return addresses;
}
