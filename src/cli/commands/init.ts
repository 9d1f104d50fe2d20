import { isIP } from "node:net";

import { defineCommand } from "../command.ts";
import { UsageError } from "../errors.ts";
import { captureSteps, findFirewall, perform, runHere, type Step, undoSteps } from "../init/firewall.ts";
import { type CaptureRules, type PortRange, SIDECAR_UID } from "../init/rules.ts";
import { parsePort } from "../values.ts";

/** Greatest number of a user or a group; the one above means "unchanged" to the system. */
const ID_MAX = 4_294_967_294;

export const init = defineCommand({
  name: "init",
  description: `Writes the firewall rules that bring the connections of this network namespace to a sidecar: what comes in to
--incoming-proxy-port, what the application connects to to --outgoing-proxy-port, in IPv4 and IPv6. The sidecar is told
apart by its user: its own connections pass. So do those that stay on this machine. UDP is left alone.

The rules are Linkerd's, in nftables, or in iptables where there is no nft. They lie in one table of their own, "heddle",
which is replaced in one step: to run it again is to change it. Connections that exist are not touched.

It is meant for a network namespace that belongs to one workload (a container, a pod, \`ip netns\`), not for a whole
machine. \`heddle up --transparent\` does all of this by itself.`,
  flags: {
    "incoming-proxy-port": {
      type: "string",
      value: "PORT",
      default: "4143",
      help: "Where calls to the application go",
    },
    "outgoing-proxy-port": { type: "string", value: "PORT", default: "4140", help: "Where the application's calls go" },
    "proxy-uid": { type: "string", value: "UID", default: `${SIDECAR_UID}`, help: "User of the sidecar" },
    "proxy-gid": {
      type: "string",
      value: "GID",
      help: "Group of the sidecar, if it is to be told apart by that as well",
    },
    "inbound-ports-to-ignore": {
      type: "string",
      value: "PORTS",
      default: "4190,4191,4567,4568",
      help: "Ports of the application that are not captured, like 25,8000-8010",
    },
    "outbound-ports-to-ignore": {
      type: "string",
      value: "PORTS",
      default: "4567,4568",
      help: "Ports elsewhere to which the application connects without the sidecar",
    },
    "subnets-to-ignore": {
      type: "string",
      value: "CIDRS",
      default: "",
      help: "Networks whose calls to the application are not captured, like 10.0.0.0/8,fd00::/8",
    },
    undo: { type: "boolean", help: "Take all of it away" },
    "dry-run": { type: "boolean", help: "Print what would be done, and do nothing" },
  },
  examples: [
    { does: "Capture everything of this namespace", line: "heddle init" },
    {
      does: "The same, but for SSH and a database that is no part of the mesh",
      line: "heddle init --inbound-ports-to-ignore 22 --outbound-ports-to-ignore 5432",
    },
    { does: "See the rules", line: "heddle init --dry-run" },
    { does: "Undo it", line: "heddle init --undo" },
    {
      does: "The sidecar for it",
      line: `setpriv --reuid 2102 --clear-groups heddle proxy --workload price-1 --service price --xds 10.0.0.1:4181 \\
      --capture-inbound [::]:4143 --capture-outbound [::]:4140 --captured 8080=127.0.0.1:8080,port=80`,
    },
  ],
  async run({ flags, io }) {
    if (flags.undo) {
      const steps = await undoSteps(runHere);
      if (flags["dry-run"]) {
        io.stdout.write(describe(steps));
        return 0;
      }
      await perform(steps, runHere);
      io.stderr.write("heddle: no connections are captured any more\n");
      return 0;
    }
    const rules: CaptureRules = {
      incomingPort: parsePort("--incoming-proxy-port", flags["incoming-proxy-port"]),
      outgoingPort: parsePort("--outgoing-proxy-port", flags["outgoing-proxy-port"]),
      uid: parseId("--proxy-uid", flags["proxy-uid"]),
      gid: flags["proxy-gid"] === undefined ? undefined : parseId("--proxy-gid", flags["proxy-gid"]),
      inboundPortsToIgnore: parsePorts("--inbound-ports-to-ignore", flags["inbound-ports-to-ignore"]),
      outboundPortsToIgnore: parsePorts("--outbound-ports-to-ignore", flags["outbound-ports-to-ignore"]),
      subnetsToIgnore: parseSubnets("--subnets-to-ignore", flags["subnets-to-ignore"]),
    };
    const kind = await findFirewall(runHere);
    if (flags["dry-run"]) {
      io.stdout.write(describe(await captureSteps(kind, rules, runHere)));
      return 0;
    }
    // Rules that the other program has left would come first, or second; either way nobody expects them.
    if (kind === "nftables")
      await perform(
        (await undoSteps(runHere)).filter((step) => step.command[0] !== "nft"),
        runHere,
      );
    await perform(await captureSteps(kind, rules, runHere), runHere);
    const { incomingPort, outgoingPort, uid } = rules;
    io.stderr.write(
      `heddle: captured by ${kind}: what comes in goes to port ${incomingPort}, what goes out to port ${outgoingPort}, but for user ${uid}\n`,
    );
    return 0;
  },
});

/** Each program as a comment, then what it is given. */
function describe(steps: readonly Step[]): string {
  return steps.map(({ command, input }) => `# ${command.join(" ")}\n${input}`).join("");
}

function parseId(flag: string, text: string): number {
  const id = /^\d{1,10}$/.test(text) ? Number(text) : ID_MAX + 1;
  if (id <= ID_MAX) return id;
  throw new UsageError(`${flag}: expected a number from 0 to ${ID_MAX}, found "${text}"`);
}

function listOf(text: string): string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

function parsePorts(flag: string, text: string): PortRange[] {
  return listOf(text).map((part) => {
    const [from = "", to = from, ...surplus] = part.split("-");
    const range = { first: parsePort(flag, from), last: parsePort(flag, to) };
    if (surplus.length === 0 && range.first <= range.last) return range;
    throw new UsageError(`${flag}: expected ports like 25,8000-8010, found "${part}"`);
  });
}

function parseSubnets(flag: string, text: string): string[] {
  return listOf(text).map((part) => {
    const [address = "", prefix, ...surplus] = part.split("/");
    const version = isIP(address);
    const bits = prefix === undefined ? (version === 6 ? 128 : 32) : /^\d{1,3}$/.test(prefix) ? Number(prefix) : -1;
    const fits = bits >= 0 && bits <= (version === 6 ? 128 : 32);
    if (version !== 0 && surplus.length === 0 && fits) return `${address}/${bits}`;
    throw new UsageError(`${flag}: expected networks like 10.0.0.0/8 or fd00::/8, found "${part}"`);
  });
}
