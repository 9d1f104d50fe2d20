/** A WebSocket server that sends every message back: `node websocket-echo.ts PORT`. */
import { createHash } from "node:crypto";
import net from "node:net";

import { webSocketFrame, WebSocketReader } from "../load/websocket-frames.ts";

/** RFC 6455 §4.2.2. */
const ACCEPT_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const CLOSE = 0x88;
const HEAD_BYTES_MAX = 16_384;

const server = net.createServer({ noDelay: true }, (socket) => {
  let head = "";
  let reader: WebSocketReader | undefined;
  /** The answers to what one read brought. */
  let out: Buffer[] = [];
  let closing = false;
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => {
    if (reader === undefined) return readHead(chunk);
    reader.push(chunk);
    if (out.length > 0) socket.write(Buffer.concat(out));
    out = [];
    if (closing) socket.end();
  });

  function readHead(chunk: Buffer): void {
    head += chunk.toString("latin1");
    const end = head.indexOf("\r\n\r\n");
    const key = /\r\nsec-websocket-key: *(\S+)/i.exec(head)?.[1];
    if (end === -1 && head.length <= HEAD_BYTES_MAX) return;
    if (end === -1 || key === undefined) {
      socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
      return;
    }
    const accept = createHash("sha1")
      .update(key + ACCEPT_GUID)
      .digest("base64");
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    reader = new WebSocketReader((first, payload) => {
      out.push(webSocketFrame(first, payload));
      closing ||= first === CLOSE;
    });
  }
});
server.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 4_096 });
