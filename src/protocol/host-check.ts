/**
 * Which Host and Origin fields the listeners for people and tools take: the control plane's API, a sidecar's admin pages.
 * Web pages are what they are kept from. A page can point a name of its own at 127.0.0.1 and then talk to us as if we were
 * its server (DNS rebinding); such a request carries that name in Host. Or it sends a request to us from its own place,
 * without seeing the answer; such a request carries its place in Origin.
 */

/**
 * Loopback names and addresses, and the address on which the request came in.
 *
 * @param local the local address of the connection, undefined if not known
 */
export function isAllowedHost(header: string | undefined, local: string | undefined): boolean {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+))(?::\d{1,5})?$/.exec(header ?? "");
  const host = (match?.[1] ?? match?.[2] ?? "").toLowerCase();
  if (host === "") return false;
  if (host === "localhost" || host === "localhost." || host.endsWith(".localhost")) return true;
  if (/^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host) || host === "::1") return true;
  // An IPv4 connection to a listener on :: shows its address in this form.
  return host === local?.toLowerCase().replace(/^::ffff:/, "");
}

/**
 * Whether a request that changes something, or asks with a body, may come from there: from a program, which sends no
 * Origin, or from a page that we have served ourselves, whose Origin is the very Host that it asks (RFC 6454 §7).
 *
 * @param host one that {@link isAllowedHost} takes
 */
export function isAllowedOrigin(origin: string | undefined, host: string | undefined): boolean {
  return origin === undefined || (host !== undefined && origin.toLowerCase() === `http://${host.toLowerCase()}`);
}
