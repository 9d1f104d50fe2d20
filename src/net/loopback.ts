/** Addresses that only this host reaches. */
import net from "node:net";

const LOOPBACK = new net.BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addSubnet("::ffff:127.0.0.0", 104, "ipv6");
LOOPBACK.addAddress("::1", "ipv6");

/** @param address an IP address literal; anything else is none of these */
export function isLoopback(address: string): boolean {
  return LOOPBACK.check(address, net.isIPv6(address) ? "ipv6" : "ipv4");
}
