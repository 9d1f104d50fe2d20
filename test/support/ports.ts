/** Ports for programs that cannot choose one and say which. */
import { once } from "node:events";
import net from "node:net";

/** So many different ports that nobody listened on a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = net.createServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port);
  servers.forEach((server) => server.close());
  return ports;
}
