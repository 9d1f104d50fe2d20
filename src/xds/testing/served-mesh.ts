/** An {@link AdsServer} on a port of its own, as the control plane mounts it. */
import { createServer, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";

import { connectNodeAdapter } from "@connectrpc/connect-node";

import type { Mesh } from "../../model/mesh.ts";
import { Logger } from "../../telemetry/log.ts";
import { AdsServer } from "../server.ts";

/** Keeps the lines of a log. */
export function memoryLogger(): { readonly logger: Logger; readonly lines: string[] } {
  const lines: string[] = [];
  const logger = new Logger({ level: "debug", format: "plain", sink: { write: (line) => lines.push(line) } });
  return { logger, lines };
}

export interface ServedMesh {
  readonly server: AdsServer;
  readonly port: number;
  readonly log: string[];
  /** Cuts all connections. */
  close(): Promise<void>;
}

/** @param port 0 for any */
export async function serveMesh(mesh: Mesh, port = 0): Promise<ServedMesh> {
  const { logger, lines } = memoryLogger();
  const ads = new AdsServer({ logger, version: "0.0.0" });
  ads.setMesh(mesh);
  const server = createServer(connectNodeAdapter({ routes: (router) => ads.register(router), acceptCompression: [] }));
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
    session.on("error", () => session.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.on("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return {
    server: ads,
    port: (server.address() as AddressInfo).port,
    log: lines,
    close: async () => {
      ads.close();
      for (const session of sessions) session.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
