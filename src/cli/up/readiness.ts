/** Can it take traffic yet? Asked of sidecars and services until they say yes. */
import { get } from "node:http";
import { connect, type Socket } from "node:net";
import type { Clock, Timer } from "../../net/clock.ts";
import type { SocketAddress } from "../../proxy/config.ts";

/** Questions to an address. They never reject. */
export interface Probe {
  /** Does something accept connections there? */
  accepts(address: SocketAddress): Promise<boolean>;
  /** Does GET `path` give a 2xx? */
  answers(address: SocketAddress, path: string): Promise<boolean>;
}

/** Connects, without waiting until it is connected. */
export type Dial = (address: SocketAddress) => Socket;

/** Asks over connections that are made as `dial` says. */
export function probeBy(dial: Dial): Probe {
  return {
    accepts: (address) => accepts(dial, address),
    answers: (address, path) => answers(dial, address, path),
  };
}

/** Asks over the network. */
export const networkProbe = probeBy(({ host, port }) => connect({ host, port }));

/** The first pause between two questions; it grows by half each time. */
const ASK_EVERY_MIN_MS = 20;
const ASK_EVERY_MAX_MS = 500;
/** Milliseconds that one answer may take. */
const ANSWER_TIMEOUT_MS = 2_000;

async function accepts(dial: Dial, address: SocketAddress): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = dial(address).setTimeout(ANSWER_TIMEOUT_MS);
    const settle = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket
      .once("connect", () => settle(true))
      .once("error", () => settle(false))
      .once("timeout", () => settle(false));
  });
}

async function answers(dial: Dial, address: SocketAddress, path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const createConnection = (): Socket => dial(address);
    // Only without an agent is this asked for the connection.
    const request = get({ ...address, path, timeout: ANSWER_TIMEOUT_MS, createConnection });
    request.once("response", (response) => {
      const status = response.statusCode ?? 0;
      response.destroy();
      resolve(status >= 200 && status < 300);
    });
    request.once("timeout", () => request.destroy(new Error("timeout")));
    request.once("error", () => resolve(false));
  });
}

/** Asks again and again until the answer is yes, then calls back once. Cancelling it stops the asking. */
export function whenReady(clock: Clock, ask: () => Promise<boolean>, onReady: () => void): Timer {
  let cancelled = false;
  let pause = ASK_EVERY_MIN_MS;
  let timer: Timer | undefined;
  const step = async (): Promise<void> => {
    const ready = await ask();
    if (cancelled) return;
    if (ready) {
      onReady();
      return;
    }
    timer = clock.after(pause, () => void step());
    pause = Math.min(pause * 1.5, ASK_EVERY_MAX_MS);
  };
  void step();
  return {
    cancel() {
      cancelled = true;
      timer?.cancel();
    },
  };
}
