/** WebSocket messages in a closed loop: each connection sends its next one when the last has come back. */
import { connect } from "./sockets.ts";
import type { LoadResult } from "./load.ts";
import { webSocketFrame, WebSocketReader } from "./websocket-frames.ts";

export const WEBSOCKETS = 32;
export const MESSAGE_BYTES = 200;

const OPENING_TIMEOUT_MS = 5_000;
/** One of a client's masks as good as another, and the cheapest to apply. */
const KEY = Buffer.alloc(4);
const BINARY = 0x82;
const MESSAGE = webSocketFrame(BINARY, Buffer.alloc(MESSAGE_BYTES, "m"), KEY);
const REQUEST =
  "GET / HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIGhlZGRsZSBiZW5jaA==\r\n\r\n";

/** @throws Error if not all connections are upgraded within five seconds */
export async function webSocketLoad(port: number, seconds: number): Promise<LoadResult> {
  let echoed = 0;
  let failures = 0;
  let running = false;
  const opened = await Promise.all(Array.from({ length: WEBSOCKETS }, () => open(port, onMessage, onLost)));
  running = true;
  const begun = performance.now();
  for (const { write } of opened) write(MESSAGE);
  await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
  running = false;
  const took = (performance.now() - begun) / 1_000;
  for (const { destroy } of opened) destroy();
  return { requests: echoed, rate: echoed / took, failures };

  function onMessage(first: number, bytes: number, write: (bytes: Buffer) => void): void {
    if (!running) return;
    if (first === BINARY && bytes === MESSAGE_BYTES) echoed++;
    else failures++;
    write(MESSAGE);
  }

  function onLost(): void {
    if (running) failures++;
  }
}

interface Opened {
  readonly write: (bytes: Buffer) => void;
  readonly destroy: () => void;
}

async function open(
  port: number,
  onMessage: (first: number, bytes: number, write: (bytes: Buffer) => void) => void,
  onLost: () => void,
): Promise<Opened> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let head = "";
  let reader: WebSocketReader | undefined;
  const socket = await connect(
    port,
    (chunk) => {
      if (reader !== undefined) return reader.push(chunk);
      head += chunk.toString("latin1");
      const end = head.indexOf("\r\n\r\n");
      if (end === -1) return;
      if (!head.startsWith("HTTP/1.1 101 ")) return reject(new Error(`no upgrade but ${head.slice(0, 80)}`));
      reader = new WebSocketReader((first, payload) => onMessage(first, payload.length, write));
      reader.push(Buffer.from(head.slice(end + 4), "latin1"));
      resolve();
    },
    () => {
      reject(new Error(`port ${port} closed instead of upgrading`));
      onLost();
    },
  );
  const timer = setTimeout(() => reject(new Error(`port ${port} did not upgrade`)), OPENING_TIMEOUT_MS);
  write(Buffer.from(REQUEST));
  try {
    await promise;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
  }
  return { write, destroy: () => socket.destroy() };

  function write(bytes: Buffer): void {
    socket.write(bytes);
  }
}
