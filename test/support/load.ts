/** A steady open-loop load: requests are sent when they are due, whether or not earlier ones were answered. */
import http from "node:http";

import { call } from "./application.ts";

export interface Sent {
  /** `performance.now()` when it was sent. */
  readonly at: number;
  readonly status: number;
  readonly body: string;
}

export interface Load {
  /** What has been answered so far, or has failed (status 0). */
  readonly sent: readonly Sent[];
  /** Sends no more, and waits for what is on its way. */
  stop(): Promise<readonly Sent[]>;
}

/** @param rate requests per second */
export function startLoad(outbound: string, host: string, path: string, rate: number): Load {
  const agent = new http.Agent({ keepAlive: true });
  const sent: Sent[] = [];
  const open = new Set<Promise<unknown>>();
  const begin = performance.now();
  let count = 0;
  const timer = setInterval(() => {
    while (count < ((performance.now() - begin) / 1_000) * rate) {
      count++;
      const at = performance.now();
      const request = call(outbound, host, path, { agent }).then(
        ({ status, body }) => sent.push({ at, status, body }),
        (error: Error) => sent.push({ at, status: 0, body: error.message }),
      );
      open.add(request);
      void request.finally(() => open.delete(request));
    }
  }, 1);
  return {
    sent,
    stop: async () => {
      clearInterval(timer);
      await Promise.all(open);
      agent.destroy();
      return sent;
    },
  };
}
