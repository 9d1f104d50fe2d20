/** The back end of every subject: one nginx process that answers with a small fixed body, or with a large file. */
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { awaitListening, freePort } from "../ports.ts";
import { LOAD_CORE, start } from "../processes.ts";
import type { Protocol } from "./subject.ts";

export const BODY_BYTES = 200;
export const BULK_BYTES = 256 * 1024 * 1024;
export const BULK_PATH = "/bulk";

/** The port of each protocol. */
export type Backend = Readonly<Record<Protocol, number>>;

export async function startBackend(nginx: string, folder: string): Promise<Backend> {
  const http1 = await freePort();
  const http2 = await freePort();
  const bulk = join(folder, BULK_PATH);
  writeFileSync(bulk, "");
  // A file of nothing but a hole: reading it costs no disk.
  truncateSync(bulk, BULK_BYTES);
  const locations = `
    location / { default_type text/plain; return 200 "${"x".repeat(BODY_BYTES)}"; }
    location = ${BULK_PATH} { root ${folder}; }`;
  const config = nginxConfig(folder, "backend", [
    `server { listen 127.0.0.1:${http1}; ${locations} }`,
    `server { listen 127.0.0.1:${http2} http2; http2_max_concurrent_streams 1000; ${locations} }`,
  ]);
  const child = start("the back end (nginx)", [nginx, "-c", config], { cores: LOAD_CORE });
  await awaitListening(child, http1);
  return { http1, http2 };
}

/** Writes the configuration of an nginx that is one process. @returns its path */
export function nginxConfig(folder: string, name: string, blocks: readonly string[]): string {
  const path = join(folder, `${name}.conf`);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (kind) => `  ${kind}_temp_path ${join(folder, `${name}-${kind}`)};`,
  );
  writeFileSync(
    path,
    `daemon off;
master_process off;
worker_processes 1;
pid ${join(folder, `${name}.pid`)};
error_log stderr crit;
events { worker_connections 8192; }
http {
  access_log off;
  sendfile on;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
${temporary.join("\n")}
${blocks.join("\n")}
}
`,
  );
  return path;
}
