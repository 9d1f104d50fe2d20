/**
 * The firewall rules that bring a workload's connections to its sidecar, as text for nft and for iptables-restore. They
 * are those of Linkerd's proxy-init:
 *
 *   inbound   ports to ignore and sources to ignore pass; all other TCP is redirected to the sidecar's inbound listener
 *   outbound  what the sidecar itself sends passes (it has a user of its own), so does what stays on this machine, like
 *             the call of an application to its own address, and ports to ignore; all other TCP is redirected
 *
 * All of ours lies in one place, the table "heddle" or the chains HEDDLE_…, which is replaced in one step.
 */

/** Linkerd's user for sidecars. */
export const SIDECAR_UID = 2102;

/** Both ends are of it; 1 to 65535. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export interface CaptureRules {
  /** The sidecar's captured listeners. */
  readonly incomingPort: number;
  readonly outgoingPort: number;
  /** Whose connections are the sidecar's own. */
  readonly uid: number;
  readonly gid: number | undefined;
  readonly inboundPortsToIgnore: readonly PortRange[];
  readonly outboundPortsToIgnore: readonly PortRange[];
  /** Networks in CIDR form: what comes from there is not redirected. */
  readonly subnetsToIgnore: readonly string[];
}

export const TABLE = "heddle";

/** Removes what is there of ours, and is no error where there is nothing. */
export const NFT_UNDO = `table inet ${TABLE}
delete table inet ${TABLE}
`;

/** For `nft -f -`: one transaction, for IPv4 and IPv6. */
export function nftScript(rules: CaptureRules): string {
  const inbound = [
    ...nftPorts(rules.inboundPortsToIgnore),
    ...rules.subnetsToIgnore.map((subnet) => `${isIpv6(subnet) ? "ip6" : "ip"} saddr ${subnet} return`),
    `meta l4proto tcp redirect to :${rules.incomingPort}`,
  ];
  const outbound = [
    `meta skuid ${rules.uid} return`,
    ...(rules.gid === undefined ? [] : [`meta skgid ${rules.gid} return`]),
    'oifname "lo" return',
    ...nftPorts(rules.outboundPortsToIgnore),
    `meta l4proto tcp redirect to :${rules.outgoingPort}`,
  ];
  return `${NFT_UNDO}table inet ${TABLE} {
${nftChain("inbound", "prerouting", inbound)}
${nftChain("outbound", "output", outbound)}}
`;
}

function nftChain(name: string, hook: string, lines: readonly string[]): string {
  const body = [`type nat hook ${hook} priority -100; policy accept;`, ...lines];
  return `\tchain ${name} {\n${body.map((line) => `\t\t${line}\n`).join("")}\t}\n`;
}

function nftPorts(ranges: readonly PortRange[]): string[] {
  const parts = merged(ranges).map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`));
  return parts.length === 0 ? [] : [`tcp dport { ${parts.join(", ")} } return`];
}

/** The chains of iptables, and from where they are jumped to. */
const CHAINS = [
  { name: "HEDDLE_INBOUND", from: "PREROUTING" },
  { name: "HEDDLE_OUTBOUND", from: "OUTPUT" },
] as const;

/** Ports that one rule of `multiport` can name; a range is two. */
const MULTIPORT_MAX = 15;

/**
 * For `iptables-restore --noflush` and `ip6tables-restore --noflush`: one transaction.
 *
 * @param present what `iptables-save -t nat` says: what we have put there already is replaced
 */
export function iptablesScript(rules: CaptureRules, family: 4 | 6, present: string): string {
  const subnets = rules.subnetsToIgnore.filter((subnet) => isIpv6(subnet) === (family === 6));
  const inbound = [
    ...multiports(rules.inboundPortsToIgnore),
    ...subnets.map((subnet) => `-s ${subnet} -j RETURN`),
    `-p tcp -j REDIRECT --to-ports ${rules.incomingPort}`,
  ];
  const outbound = [
    `-m owner --uid-owner ${rules.uid} -j RETURN`,
    ...(rules.gid === undefined ? [] : [`-m owner --gid-owner ${rules.gid} -j RETURN`]),
    "-o lo -j RETURN",
    ...multiports(rules.outboundPortsToIgnore),
    `-p tcp -j REDIRECT --to-ports ${rules.outgoingPort}`,
  ];
  const lines = [
    "*nat",
    // An existing chain of that name is emptied by this.
    ...CHAINS.map(({ name }) => `:${name} - [0:0]`),
    ...inbound.map((line) => `-A HEDDLE_INBOUND ${line}`),
    ...outbound.map((line) => `-A HEDDLE_OUTBOUND ${line}`),
    ...CHAINS.filter((chain) => jumps(chain, present) === 0).map(({ name, from }) => `-A ${from} -j ${name}`),
    "COMMIT",
  ];
  return `${lines.join("\n")}\n`;
}

/** The same for taking it all away; undefined if there is nothing of ours. */
export function iptablesUndo(present: string): string | undefined {
  const chains = CHAINS.filter(({ name }) => present.includes(`:${name} `));
  if (chains.length === 0) return undefined;
  const lines = [
    "*nat",
    ...chains.flatMap((chain) =>
      Array.from({ length: jumps(chain, present) }, () => `-D ${chain.from} -j ${chain.name}`),
    ),
    ...chains.flatMap(({ name }) => [`-F ${name}`, `-X ${name}`]),
    "COMMIT",
  ];
  return `${lines.join("\n")}\n`;
}

function jumps({ name, from }: (typeof CHAINS)[number], present: string): number {
  return present.split("\n").filter((line) => line === `-A ${from} -j ${name}`).length;
}

function multiports(ranges: readonly PortRange[]): string[] {
  const rules: string[][] = [];
  let room = 0;
  for (const { first, last } of merged(ranges)) {
    const size = first === last ? 1 : 2;
    if (size > room) {
      rules.push([]);
      room = MULTIPORT_MAX;
    }
    rules.at(-1)?.push(first === last ? `${first}` : `${first}:${last}`);
    room -= size;
  }
  return rules.map((ports) => `-p tcp -m multiport --dports ${ports.join(",")} -j RETURN`);
}

/** In order, and none touching another: nft takes no ranges that overlap. */
function merged(ranges: readonly PortRange[]): PortRange[] {
  const result: PortRange[] = [];
  for (const range of ranges.toSorted((a, b) => a.first - b.first)) {
    const before = result.at(-1);
    if (before === undefined || range.first > before.last + 1) result.push(range);
    else result[result.length - 1] = { first: before.first, last: Math.max(before.last, range.last) };
  }
  return result;
}

function isIpv6(subnet: string): boolean {
  return subnet.includes(":");
}
