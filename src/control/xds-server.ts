/** The gRPC listener (HTTP/2 without TLS) on which sidecars ask for the mesh. */
import { createServer, type ServerHttp2Session } from "node:http2";

import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";

import type { Clock, Timer } from "../net/clock.ts";
import type { Address } from "./address.ts";
import { closeServer, listen } from "./listen.ts";

/** Connections at one time. */
export const XDS_CONNECTIONS_MAX = 20_000;
/** Streams of one connection: a client needs one. */
export const XDS_STREAMS_MAX = 16;
/** Milliseconds between two pings, and until a silent peer counts as gone: one that vanished never says so. */
export const PING_INTERVAL_MS = 30_000;
export const PING_TIMEOUT_MS = 10_000;

export interface XdsListenerOptions {
  readonly address: Address;
  readonly clock: Clock;
  readonly routes: (router: ConnectRouter) => void;
}

export interface XdsListener {
  readonly address: Address;
  close(): Promise<void>;
}

/** @throws ControlStartError like {@link listen} */
export async function listenXds(options: XdsListenerOptions): Promise<XdsListener> {
  const { clock, routes } = options;
  // Compressing a stream of small messages costs far more than it saves.
  const handler = connectNodeAdapter({ routes, acceptCompression: [] });
  const server = createServer({ settings: { maxConcurrentStreams: XDS_STREAMS_MAX } }, handler);
  server.maxConnections = XDS_CONNECTIONS_MAX;
  const pings = new Map<ServerHttp2Session, () => void>();
  server.on("session", (session) => {
    pings.set(session, pingRegularly(session, clock));
    session.on("close", () => {
      pings.get(session)?.();
      pings.delete(session);
    });
    session.on("error", () => session.destroy());
  });
  const address = await listen(server, options.address, "xDS", "--xds");
  return {
    address,
    close: async () => {
      const closed = closeServer(server);
      for (const [session, stopPings] of pings) {
        stopPings();
        session.destroy();
      }
      await closed;
    },
  };
}

function pingRegularly(session: ServerHttp2Session, clock: Clock): () => void {
  let timer: Timer;
  const waitThenPing = (): void => {
    timer = clock.after(PING_INTERVAL_MS, () => {
      timer = clock.after(PING_TIMEOUT_MS, () => session.destroy());
      session.ping((error) => {
        timer.cancel();
        if (error === null && !session.destroyed) waitThenPing();
      });
    });
  };
  waitThenPing();
  return () => timer.cancel();
}
