/** Real connections over the loopback interface, closed with the test. */
import { once } from "node:events";
import net from "node:net";
import type { TestContext } from "node:test";

import { acceptConnection, connect, type Connection } from "../../src/net/connection.ts";
import { until } from "./until.ts";

/** Accepts connections until the test is over. @returns the port */
export async function listen(context: TestContext, onConnection: (connection: Connection) => void): Promise<number> {
  const accepted: Connection[] = [];
  const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
    const connection = acceptConnection(socket);
    accepted.push(connection);
    onConnection(connection);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  context.after(() => {
    server.close();
    for (const connection of accepted) connection.destroy();
  });
  return (server.address() as net.AddressInfo).port;
}

/** Connects; closed when the test is over. */
export async function dial(context: TestContext, port: number): Promise<Connection> {
  const connection = await new Promise<Connection>((resolve, reject) => {
    connect({ address: "127.0.0.1", port, timeoutMs: 5_000 }, (error, opened) =>
      opened === undefined ? reject(error ?? new Error("neither connection nor error")) : resolve(opened),
    );
  });
  context.after(() => connection.destroy());
  return connection;
}

/** Both ends of one connection. */
export async function connectedPair(context: TestContext): Promise<[dialled: Connection, accepted: Connection]> {
  const accepted: Connection[] = [];
  const port = await listen(context, (connection) => accepted.push(connection));
  const dialled = await dial(context, port);
  await until("the connection is accepted", () => accepted.length === 1);
  return [dialled, accepted[0] as Connection];
}
