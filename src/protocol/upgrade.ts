/** What a request may ask its connection to turn into. */

const PORT_MAX = 65_535;

/** True if `authority`, which is one already, is `host:port` or `[ipv6]:port` with a port from 1 to 65535 (RFC 9110 §9.3.6). */
export function isConnectTarget(authority: string): boolean {
  const match = /^(?:[^:[\]@]+|\[[^[\]@]+\]):([0-9]{1,5})$/.exec(authority);
  if (match === null) return false;
  const port = Number(match[1]);
  return port >= 1 && port <= PORT_MAX;
}

const HTTP_ITSELF = /^(?:h2c?|http)(?:\/.*)?$/i;

/**
 * The value of an Upgrade field without HTTP itself in any version: such a tunnel would hide all requests that follow
 * from the mesh, and "h2c" is obsolete (RFC 9113 §3.1).
 */
export function withoutHttp(upgrade: string): string {
  const members = upgrade.split(",").map((member) => member.trim());
  const others = members.filter((member) => member !== "" && !HTTP_ITSELF.test(member));
  return members.length === others.length ? upgrade : others.join(", ");
}
