/**
 * What stands behind every subject, on the load's core: one nginx that answers with a small fixed body or with a file;
 * over HTTP/2 nghttpd, since nginx takes four times its CPU there and would set the pace itself; and for gRPC and
 * WebSocket, which neither can serve, an echo each.
 */
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { awaitListening, freePort } from "../ports.ts";
import { LOAD_CORE, start } from "../processes.ts";
import type { Tools } from "../tools.ts";
import { nginxConfig } from "./nginx-config.ts";
import type { Traffic } from "./subject.ts";

export const KIB = 1024;
export const MIB = 1024 * KIB;

export const BODY_BYTES = 200;
const BODY = "x".repeat(BODY_BYTES);
export const BULK_BYTES = 256 * MIB;
/** Paths of files, by their bytes. */
export const FILES = { "/16k": 16 * KIB, "/1m": MIB, "/bulk": BULK_BYTES } as const;

/** Starts each back end when it is first asked for. */
export class Backends {
  readonly #tools: Tools;
  readonly #folder: string;
  readonly #ports = new Map<string, Promise<number>>();

  constructor(tools: Tools, folder: string) {
    this.#tools = tools;
    this.#folder = folder;
  }

  /** @returns its port; undefined where the program for it is missing */
  port(traffic: Traffic): Promise<number | undefined> {
    if (traffic === "grpc") return this.#once("grpc", () => startEcho("grpc-echo.ts"));
    if (traffic === "websocket") return this.#once("websocket", () => startEcho("websocket-echo.ts"));
    const http2 = traffic === "http2";
    const program = this.#tools.path(http2 ? "nghttpd" : "nginx");
    if (program === undefined) return Promise.resolve(undefined);
    if (http2) return this.#once("http2", () => startNghttpd(program, this.#folder));
    return this.#once("http1", () => startNginx(program, this.#folder));
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

async function startNghttpd(nghttpd: string, folder: string): Promise<number> {
  const port = await freePort();
  writeFileSync(join(folder, "index.html"), BODY);
  const options = ["--no-tls", "--workers=1", "--address=127.0.0.1", "--max-concurrent-streams=1000", `-d${folder}`];
  const child = start("the back end (nghttpd)", [nghttpd, ...options, String(port)], { cores: LOAD_CORE });
  await awaitListening(child, port);
  return port;
}

async function startNginx(nginx: string, folder: string): Promise<number> {
  const port = await freePort();
  for (const [path, bytes] of Object.entries(FILES)) {
    // Files of nothing but a hole: reading them costs no disk.
    writeFileSync(join(folder, path), "");
    truncateSync(join(folder, path), bytes);
  }
  const config = nginxConfig(folder, `backend-${port}`, {
    http: `server {
    listen 127.0.0.1:${port} backlog=4096;
    root ${folder};
    location = / { default_type text/plain; return 200 "${BODY}"; }
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
