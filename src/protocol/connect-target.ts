/** The target of a CONNECT: a host and a port that can be connected to (RFC 9110 §9.3.6). */

const PORT_MAX = 65_535;

/** True if `authority`, which is one already, is `host:port` or `[ipv6]:port` with a port from 1 to 65535. */
export function isConnectTarget(authority: string): boolean {
  const match = /^(?:[^:[\]@]+|\[[^[\]@]+\]):([0-9]{1,5})$/.exec(authority);
  if (match === null) return false;
  const port = Number(match[1]);
  return port >= 1 && port <= PORT_MAX;
}
