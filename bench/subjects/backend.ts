/**
 * What stands behind every subject, on the load's core: one nginx that answers with a small fixed body or with a file,
 * and for gRPC and WebSocket, which it cannot serve, an echo each.
 */
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { awaitListening, freePort } from "../ports.ts";
import { LOAD_CORE, start } from "../processes.ts";
import { nginxConfig } from "./nginx-config.ts";
import type { Traffic } from "./subject.ts";

export const KIB = 1024;
export const MIB = 1024 * KIB;

export const BODY_BYTES = 200;
export const BULK_BYTES = 256 * MIB;
/** Paths of files, by their bytes. */
export const FILES = { "/16k": 16 * KIB, "/1m": MIB, "/bulk": BULK_BYTES } as const;

/** Starts each back end when it is first asked for. */
export class Backends {
  readonly #nginx: string | undefined;
  readonly #folder: string;
  readonly #ports = new Map<string, Promise<number>>();

  /** @param nginx the program; undefined: there is none */
  constructor(nginx: string | undefined, folder: string) {
    this.#nginx = nginx;
    this.#folder = folder;
  }

  /** @returns its port; undefined where nginx is missing */
  port(traffic: Traffic): Promise<number | undefined> {
    if (traffic === "grpc") return this.#once("grpc", () => startEcho("grpc-echo.ts"));
    if (traffic === "websocket") return this.#once("websocket", () => startEcho("websocket-echo.ts"));
    const nginx = this.#nginx;
    if (nginx === undefined) return Promise.resolve(undefined);
    const http2 = traffic === "http2";
    return this.#once(http2 ? "http2" : "http1", () => startNginx(nginx, this.#folder, http2));
  }

  #once(key: string, begin: () => Promise<number>): Promise<number> {
    const known = this.#ports.get(key) ?? begin();
    this.#ports.set(key, known);
    return known;
  }
}

async function startEcho(file: string): Promise<number> {
  const port = await freePort();
  const program = join(import.meta.dirname, "..", "backends", file);
  const child = start(`the back end (${file})`, [process.execPath, program, String(port)], { cores: LOAD_CORE });
  await awaitListening(child, port);
  return port;
}

async function startNginx(nginx: string, folder: string, http2: boolean): Promise<number> {
  const port = await freePort();
  for (const [path, bytes] of Object.entries(FILES)) {
    // Files of nothing but a hole: reading them costs no disk.
    writeFileSync(join(folder, path), "");
    truncateSync(join(folder, path), bytes);
  }
  const config = nginxConfig(folder, `backend-${port}`, {
    http: `server {
    listen 127.0.0.1:${port} backlog=4096${http2 ? " http2" : ""};
    ${http2 ? "http2_max_concurrent_streams 1000;" : ""}
    root ${folder};
    location = / { default_type text/plain; return 200 "${"x".repeat(BODY_BYTES)}"; }
    ${Object.keys(FILES)
      .map((path) => `location = ${path} { }`)
      .join(" ")}
    location / { return 404; }
  }`,
  });
  const child = start("the back end (nginx)", [nginx, "-c", config], { cores: LOAD_CORE });
  await awaitListening(child, port);
  return port;
}
