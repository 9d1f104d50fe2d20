/**
 * A gRPC server of one method that sends every message back: `node grpc-echo.ts PORT`. It answers without reading the
 * headers and returns frames of DATA as they came, which is about the least that a server can do, so that the load's core
 * has room for the generator.
 */
import net from "node:net";

import { END_HEADERS, END_STREAM, Frame, frame, headerBlock, Http2Peer } from "../load/http2-peer.ts";

const ANSWER = headerBlock(":status", "200", "content-type", "application/grpc");
const TRAILERS = headerBlock("grpc-status", "0");

const server = net.createServer({ noDelay: true }, (socket) => {
  const peer: Http2Peer = new Http2Peer(socket, "server", {
    onFrame(type, flags, streamId, payload) {
      if (type === Frame.headers) peer.sendHeaders(frame(Frame.headers, END_HEADERS, streamId, ANSWER));
      else if (type === Frame.data && payload.length > 0) peer.sendData(frame(Frame.data, 0, streamId, payload));
      else if (type === Frame.reset) peer.forget(streamId);
      if (type > Frame.headers || (flags & END_STREAM) === 0) return;
      peer.sendHeaders(frame(Frame.headers, END_HEADERS | END_STREAM, streamId, TRAILERS));
      peer.forget(streamId);
    },
  });
  socket.on("data", (chunk: Buffer) => peer.push(chunk));
  socket.on("error", () => {});
});
server.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 4_096 });
