/** Reads one large answer and throws it away. */
import net from "node:net";

import { AnswerCounter } from "./answers.ts";

const BUFFER_BYTES = 256 * 1024;

/** @throws Error unless the whole body arrives within `timeoutMs` with status 200 */
export async function download(port: number, path: string, timeoutMs: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const answer = new AnswerCounter((status) =>
    status === 200 ? resolve() : reject(new Error(`port ${port} answered ${status}`)),
  );
  const socket = net.connect({
    port,
    host: "127.0.0.1",
    onread: {
      buffer: Buffer.alloc(BUFFER_BYTES),
      callback(length, buffer) {
        answer.push((buffer as Buffer).subarray(0, length));
        return true;
      },
    },
  });
  socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`port ${port} stalled`)));
  socket.on("error", reject);
  socket.on("close", () => reject(new Error(`port ${port} closed in the middle of the body`)));
  socket.write(`GET ${path} HTTP/1.1\r\nHost: bench\r\n\r\n`);
  try {
    await promise;
  } finally {
    socket.destroy();
  }
}
