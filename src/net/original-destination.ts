/**
 * Where a connection was going before a firewall rule redirected it to us (REDIRECT of iptables and nftables): the kernel
 * remembers it with the connection, and tells it by the socket option SO_ORIGINAL_DST (linux/netfilter_ipv4.h; for IPv6
 * IP6T_SO_ORIGINAL_DST, linux/netfilter_ipv6/ip6_tables.h).
 */
import { endianness } from "node:os";
import { SocketAddress } from "node:net";

import type { Connection } from "./connection.ts";
import { libc } from "./libc.ts";

export interface Destination {
  /** An IP address literal in its shortest form (RFC 5952). */
  readonly address: string;
  /** 1 to 65535. */
  readonly port: number;
}

/** undefined of a connection that the kernel does not follow, so that no rule has redirected it. */
export type DestinationReader = (connection: Connection) => Destination | undefined;

const SOL_IP = 0;
const SOL_IPV6 = 41;
/** The same number at both levels. */
const SO_ORIGINAL_DST = 80;
const AF_INET = 2;
const AF_INET6 = 10;
/** Bytes of a sockaddr_in6; a sockaddr_in has 16. */
const ADDRESS_BYTES = 28;

/** @throws Error if this Node cannot call C */
export function loadOriginalDestination(): DestinationReader {
  const { getsockopt } = libc();
  // One of each for all connections: what comes out of them is taken before anybody else can ask.
  const value = Buffer.alloc(ADDRESS_BYTES);
  const length = Buffer.alloc(4);
  const lengthOf = new Uint32Array(length.buffer, length.byteOffset, 1);
  return (connection) => {
    const { descriptor, remoteAddress } = connection;
    if (descriptor < 0) return undefined;
    // An IPv4 peer of a socket that listens for both is "::ffff:10.0.0.1".
    const level = remoteAddress.includes(":") && !remoteAddress.includes(".") ? SOL_IPV6 : SOL_IP;
    lengthOf[0] = ADDRESS_BYTES;
    if (getsockopt(descriptor, level, SO_ORIGINAL_DST, value, length) !== 0) return undefined;
    return decodeSocketAddress(value);
  };
}

/** Reads a sockaddr_in or a sockaddr_in6 as Linux lays them out; undefined of anything else. */
export function decodeSocketAddress(bytes: Buffer): Destination | undefined {
  if (bytes.length < 8) return undefined;
  const family = endianness() === "LE" ? bytes.readUInt16LE(0) : bytes.readUInt16BE(0);
  const port = bytes.readUInt16BE(2);
  if (port === 0) return undefined;
  if (family === AF_INET) return { address: bytes.subarray(4, 8).join("."), port };
  if (family !== AF_INET6 || bytes.length < 24) return undefined;
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(8 + 2 * index).toString(16));
  return { address: new SocketAddress({ family: "ipv6", address: groups.join(":") }).address, port };
}
