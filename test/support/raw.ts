/** TCP peers for tests, written to and read from byte by byte. */
import { once } from "node:events";
import net from "node:net";
import type { TestContext } from "node:test";

/** A socket with all that it has received. */
export interface RawPeer {
  readonly socket: net.Socket;
  readonly text: string;
  /** The far side has sent FIN. */
  readonly ended: boolean;
  /** "" while it is open; then "end", or the code of the error it was closed by. */
  readonly closed: string;
}

function watch(socket: net.Socket): RawPeer {
  const state = { socket, text: "", ended: false, closed: "" };
  socket.on("data", (chunk: Buffer) => (state.text += chunk.toString("latin1")));
  socket.on("end", () => (state.ended = true));
  socket.on("error", (error: NodeJS.ErrnoException) => (state.closed = error.code ?? "error"));
  socket.on("close", () => (state.closed ||= "end"));
  return state;
}

/** Connects; destroyed when the test is over. */
export async function rawConnect(context: TestContext, port: number): Promise<RawPeer> {
  const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  context.after(() => socket.destroy());
  const peer = watch(socket);
  await once(socket, "connect");
  return peer;
}

export interface RawServer {
  readonly port: number;
  readonly peers: readonly RawPeer[];
  close(): void;
}

/** A server that does with each connection what the test says. */
export async function rawServer(
  context: TestContext,
  onConnection: (peer: RawPeer) => void = () => {},
): Promise<RawServer> {
  const peers: RawPeer[] = [];
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    const peer = watch(socket);
    peers.push(peer);
    onConnection(peer);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = (): void => {
    server.close();
    for (const { socket } of peers) socket.destroy();
  };
  context.after(close);
  return { port: (server.address() as net.AddressInfo).port, peers, close };
}
