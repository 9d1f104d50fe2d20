/**
 * nginx as a proxy: one process, keep-alive to both sides. HTTP/1 (with upgrades) and TCP, since it speaks no HTTP/2 to
 * back ends.
 */
import { existsSync } from "node:fs";

import { awaitListening, freePort } from "../ports.ts";
import { PROXY_CORE, start } from "../processes.ts";
import { NGINX } from "./names.ts";
import { nginxConfig } from "./nginx-config.ts";
import { overHttp2, type Subject, type Traffic } from "./subject.ts";

/** Where Debian's package libnginx-mod-stream has it. */
const STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so";

/** @returns undefined for what it cannot carry */
export async function startNginx(
  program: string,
  folder: string,
  traffic: Traffic,
  backend: number,
): Promise<Subject | undefined> {
  if (overHttp2(traffic) || (traffic === "tcp" && !existsSync(STREAM_MODULE))) return undefined;
  const port = await freePort();
  const config =
    traffic === "tcp"
      ? nginxConfig(folder, `nginx-${port}`, {
          modules: [STREAM_MODULE],
          stream: `server { listen 127.0.0.1:${port}; proxy_pass 127.0.0.1:${backend}; }`,
        })
      : nginxConfig(folder, `nginx-${port}`, { http: httpProxy(port, backend, traffic === "websocket") });
  const child = start(NGINX, [program, "-c", config], { cores: PROXY_CORE });
  await awaitListening(child, port);
  return { name: NGINX, port, processes: [child] };
}

function httpProxy(port: number, backend: number, upgrade: boolean): string {
  const fields = upgrade
    ? `proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";`
    : `proxy_set_header Connection "";`;
  return `upstream back { server 127.0.0.1:${backend}; keepalive 256; keepalive_requests 1000000000; keepalive_timeout 1h; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://back;
      proxy_http_version 1.1;
      ${fields}
      proxy_max_temp_file_size 0;
    }
  }`;
}
