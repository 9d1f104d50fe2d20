/** Free ports, and waiting until somebody answers at one. */
import http from "node:http";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

import type { Child } from "./processes.ts";

/** Below the range from which the kernel takes the ports of outgoing connections, so that none of these is in the way. */
const FIRST_PORT = 21_000;
const LAST_PORT = 31_999;

const POLL_MS = 5;
const START_TIMEOUT_MS = 15_000;

let next = FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT));

/** A port of 127.0.0.1 on which nobody listens and that was not given out lately. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 1_000; tries++) {
    next = next === LAST_PORT ? FIRST_PORT : next + 1;
    // Several may be looking at the same time: what was tried is kept here.
    const port = next;
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port between ${FIRST_PORT} and ${LAST_PORT}`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** Waits until `child` accepts connections on a port. @throws Error if it ends or takes too long */
export function awaitListening(child: Child, port: number): Promise<void> {
  return awaitTrue(child, () => accepts(port));
}

/** Waits until `child` answers `path` with 200. @throws Error if it ends or takes too long */
export function awaitOk(child: Child, port: number, path: string): Promise<void> {
  return awaitTrue(child, () => answersOk(port, path));
}

async function awaitTrue(child: Child, condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (!(await condition())) {
    child.check();
    if (performance.now() > deadline) throw new Error(`${child.name} was not ready within ${START_TIMEOUT_MS} ms`);
    await sleep(POLL_MS);
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

function answersOk(port: number, path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = http.get({ host: "127.0.0.1", port, path, agent: false, timeout: 1_000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.once("timeout", () => request.destroy());
    request.once("error", () => resolve(false));
  });
}
