/**
 * Which Host headers the API answers. A web page can point a name of its own at 127.0.0.1 and then talk to us as if we
 * were its server (DNS rebinding); such a request carries that name. So: loopback names and addresses, and the address on
 * which the request came in.
 */

/** @param local the local address of the connection, undefined if not known */
export function isAllowedHost(header: string | undefined, local: string | undefined): boolean {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+))(?::\d{1,5})?$/.exec(header ?? "");
  const host = (match?.[1] ?? match?.[2] ?? "").toLowerCase();
  if (host === "") return false;
  if (host === "localhost" || host === "localhost." || host.endsWith(".localhost")) return true;
  if (/^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host) || host === "::1") return true;
  // An IPv4 connection to a listener on :: shows its address in this form.
  return host === local?.toLowerCase().replace(/^::ffff:/, "");
}
