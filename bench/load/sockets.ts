/** Connections for the generators: to loopback, without delay, read into one buffer that all of them share. */
import net from "node:net";

const READ_BYTES = 256 * 1024;
/** Sockets read one after the other, and every reader takes what it needs before the next. */
const shared = Buffer.allocUnsafe(READ_BYTES);

const CONNECT_TIMEOUT_MS = 10_000;

/**
 * @param onData the bytes are valid only during the call
 * @param onClose with the error if there was one; after this promise has been fulfilled
 * @throws Error if it is refused
 */
export async function connect(
  port: number,
  onData: (chunk: Buffer, socket: net.Socket) => void,
  onClose: (error: Error | undefined) => void,
): Promise<net.Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let failed: Error | undefined;
  const socket = net.connect({
    port,
    host: "127.0.0.1",
    noDelay: true,
    onread: {
      buffer: shared,
      callback(length) {
        onData(shared.subarray(0, length), socket);
        return true;
      },
    },
  });
  socket.setTimeout(CONNECT_TIMEOUT_MS, () => socket.destroy(new Error(`port ${port} did not accept`)));
  socket.once("connect", () => {
    socket.setTimeout(0);
    resolve();
  });
  socket.on("error", (error) => (failed = error));
  socket.on("close", () => {
    reject(failed ?? new Error(`port ${port} closed at once`));
    onClose(failed);
  });
  await promise;
  return socket;
}
