/** IP addresses and networks as text, in both versions; an IPv4 address mapped into IPv6 is the IPv4 address. */

/** 32 bits each: one for IPv4, four for IPv6. */
export type IpAddress = readonly number[];

export interface IpNetwork {
  readonly address: IpAddress;
  /** Leading bits that count. */
  readonly bits: number;
}

const MAPPED_BITS = 96;

/** undefined if it is no address. A zone ("fe80::1%eth0") is left out. */
export function parseAddress(text: string): IpAddress | undefined {
  return unmapped(parseWords(text));
}

/** An address, or an address and the number of its leading bits. undefined if it is neither. */
export function parseNetwork(text: string): IpNetwork | undefined {
  const slash = text.indexOf("/");
  const words = parseWords(slash < 0 ? text : text.slice(0, slash));
  if (words === undefined || text.includes("%")) return undefined;
  const bitsMax = words.length * 32;
  const written = slash < 0 ? String(bitsMax) : text.slice(slash + 1);
  if (!/^(?:0|[1-9][0-9]{0,2})$/.test(written)) return undefined;
  const bits = Number(written);
  if (bits > bitsMax) return undefined;
  const mapped = unmapped(words);
  if (mapped !== undefined && mapped !== words && bits >= MAPPED_BITS)
    return { address: mapped, bits: bits - MAPPED_BITS };
  return { address: words, bits };
}

export function inNetwork(address: IpAddress, network: IpNetwork): boolean {
  if (address.length !== network.address.length) return false;
  let { bits } = network;
  for (let i = 0; bits > 0; i++, bits -= 32) {
    const differing = (address[i] as number) ^ (network.address[i] as number);
    if (differing !== 0 && (bits >= 32 || differing >>> (32 - bits) !== 0)) return false;
  }
  return true;
}

function unmapped(words: IpAddress | undefined): IpAddress | undefined {
  if (words?.length !== 4 || words[0] !== 0 || words[1] !== 0 || words[2] !== 0xffff) return words;
  return [words[3] as number];
}

function parseWords(text: string): IpAddress | undefined {
  if (!text.includes(":")) {
    const word = parseIpv4(text);
    return word === undefined ? undefined : [word];
  }
  const zone = text.indexOf("%");
  return parseIpv6(zone < 0 ? text : text.slice(0, zone));
}

function parseIpv4(text: string): number | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  let word = 0;
  for (let i = 1; i <= 4; i++) {
    const part = match[i] as string;
    // A leading zero would be octal to some.
    if (Number(part) > 255 || (part.length > 1 && part.startsWith("0"))) return undefined;
    word = ((word << 8) | Number(part)) >>> 0;
  }
  return word;
}

function parseIpv6(text: string): IpAddress | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head = "", tail] = halves;
  const before = parseGroups(head, tail === undefined);
  const after = tail === undefined ? [] : parseGroups(tail, true);
  if (before === undefined || after === undefined) return undefined;
  const left = 8 - before.length - after.length;
  if (tail === undefined ? left !== 0 : left < 1) return undefined;
  const groups = [...before, ...Array.from({ length: left }, () => 0), ...after];
  return [0, 2, 4, 6].map((i) => (((groups[i] as number) << 16) | (groups[i + 1] as number)) >>> 0);
}

/** @param last an IPv4 address may stand at the end (RFC 4291 §2.2) */
function parseGroups(text: string, last: boolean): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [i, part] of parts.entries()) {
    if (last && i === parts.length - 1 && part.includes(".")) {
      const word = parseIpv4(part);
      if (word === undefined) return undefined;
      groups.push(word >>> 16, word & 0xffff);
    } else if (/^[0-9A-Fa-f]{1,4}$/.test(part)) {
      groups.push(Number.parseInt(part, 16));
    } else {
      return undefined;
    }
  }
  return groups;
}
