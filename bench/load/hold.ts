/** Connections that each had one request answered, and then are held open with nothing on them. */
import type { Socket } from "node:net";

import { AnswerCounter } from "./answers.ts";
import { END_HEADERS, END_STREAM, Frame, frame, headerBlock, Http2Peer } from "./http2-peer.ts";
import { connect } from "./sockets.ts";

/** How many are opened at once. */
const ABREAST = 64;
const ANSWER_TIMEOUT_MS = 10_000;

const REQUEST_1 = Buffer.from("GET / HTTP/1.1\r\nHost: bench\r\n\r\n");
const REQUEST_2 = frame(
  Frame.headers,
  END_HEADERS | END_STREAM,
  1,
  headerBlock(":method", "GET", ":scheme", "http", ":path", "/", ":authority", "bench"),
);

export interface Held {
  /** @throws Error if one was lost meanwhile */
  check(): void;
  release(): void;
}

/** @throws Error if one is refused or not answered */
export async function hold(port: number, count: number, protocol: "http1" | "http2"): Promise<Held> {
  const sockets: Socket[] = [];
  let lost = 0;
  let released = false;
  const onLost = (): void => {
    if (!released) lost++;
  };
  const open = protocol === "http1" ? openHttp1 : openHttp2;
  for (let opened = 0; opened < count; opened += ABREAST) {
    const some = Math.min(ABREAST, count - opened);
    sockets.push(...(await Promise.all(Array.from({ length: some }, () => open(port, onLost)))));
  }
  return {
    check() {
      if (lost > 0) throw new Error(`${lost} of ${count} idle connections were closed`);
    },
    release() {
      released = true;
      for (const socket of sockets) socket.destroy();
    },
  };
}

function openHttp1(port: number, onLost: () => void): Promise<Socket> {
  return answered(port, onLost, (socket, done) => {
    const answers = new AnswerCounter(done);
    socket.write(REQUEST_1);
    return answers;
  });
}

function openHttp2(port: number, onLost: () => void): Promise<Socket> {
  return answered(port, onLost, (socket, done) => {
    const peer = new Http2Peer(socket, "client", {
      onFrame(type, flags) {
        if (type <= Frame.headers && (flags & END_STREAM) !== 0) done();
      },
    });
    peer.sendHeaders(REQUEST_2);
    peer.flush();
    return peer;
  });
}

async function answered(
  port: number,
  onLost: () => void,
  begin: (socket: Socket, done: () => void) => { push(chunk: Buffer): void },
): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let reader: { push(chunk: Buffer): void } | undefined;
  const socket = await connect(
    port,
    (chunk) => reader?.push(chunk),
    () => {
      reject(new Error(`port ${port} closed a connection`));
      onLost();
    },
  );
  const timer = setTimeout(() => reject(new Error(`port ${port} did not answer`)), ANSWER_TIMEOUT_MS);
  reader = begin(socket, resolve);
  try {
    await promise;
  } finally {
    clearTimeout(timer);
  }
  return socket;
}
