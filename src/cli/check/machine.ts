/** Is this machine fit for a mesh? Asked by `heddle check --pre`, before there is one. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

import type { SocketAddress } from "../../proxy/config.ts";
import { findFirewall, type Run } from "../init/firewall.ts";
import { formatAddress } from "../values.ts";
import type { Category } from "./check.ts";

/** Files and sockets that a process may have open: a proxied connection takes two, and a listener takes 20,000. */
export const OPEN_FILES_MIN = 4_096;

export interface Machine {
  /** Where `heddle up` would be started; absolute. */
  readonly directory: string;
  /** Where it would listen. */
  readonly addresses: readonly { readonly flag: string; readonly address: SocketAddress }[];
  readonly isFree: (address: SocketAddress) => Promise<boolean>;
  readonly run: Run;
  /** undefined where there is no such thing. */
  readonly uid: number | undefined;
  /** Text of /proc/self/limits. */
  readonly limits: () => string;
}

export const preSetup: Category<Machine> = {
  name: "pre-heddle-setup",
  checks: [
    {
      description: "default addresses are free",
      severity: "error",
      async problems({ addresses, isFree }) {
        const found = [];
        for (const { flag, address } of addresses) {
          if (!(await isFree(address)))
            found.push(`something listens on ${formatAddress(address)} (heddle up --${flag})`);
        }
        return found;
      },
    },
    {
      description: "state folder can be used",
      severity: "error",
      async problems({ directory }) {
        const [{ EMBEDDED_FILE }, { readSecretFile }] = await Promise.all([
          import("../../control/identity/embedded.ts"),
          import("../../control/identity/secret-file.ts"),
        ]);
        try {
          await readSecretFile(join(directory, STATE_FOLDER, EMBEDDED_FILE));
          return [];
        } catch (error) {
          return [(error as Error).message];
        }
      },
    },
    {
      description: "open-file limit is enough",
      severity: "warning",
      problems({ limits }) {
        const [, most = ""] = /^Max open files +\S+ +(\S+)/m.exec(limits()) ?? [];
        if (most === "" || most === "unlimited" || Number(most) >= OPEN_FILES_MIN) return [];
        return [`a process may have ${most} files and sockets open; expected at least ${OPEN_FILES_MIN}`];
      },
    },
    {
      description: "connections can be captured",
      severity: "warning",
      async problems({ run, uid }) {
        const found = uid === 0 ? [] : ["this user is not root, so --transparent and heddle init are not for it"];
        for (const program of ["ip", "nsenter", "unshare"]) {
          if ((await run([program, "--version"], "")).missing) found.push(`there is no program ${program}`);
        }
        await findFirewall(run).catch((error: Error) => found.push(error.message));
        return found;
      },
    },
  ],
};

/** Of `heddle up`, beside the mesh file. */
const STATE_FOLDER = ".heddle";

/** The limits of this process. */
export function ownLimits(): string {
  try {
    return readFileSync("/proc/self/limits", "utf8");
  } catch {
    return "";
  }
}
