/** nginx as a proxy: one process, keep-alive to both sides. HTTP/1 only, since it speaks no HTTP/2 to back ends. */
import { awaitListening, freePort } from "../ports.ts";
import { PROXY_CORE, start } from "../processes.ts";
import { nginxConfig } from "./backend.ts";
import type { Subject } from "./subject.ts";

export async function startNginx(program: string, folder: string, backend: number): Promise<Subject> {
  const port = await freePort();
  const config = nginxConfig(folder, "nginx", [
    `upstream back { server 127.0.0.1:${backend}; keepalive 256; keepalive_requests 1000000000; keepalive_timeout 1h; }`,
    `server {
      listen 127.0.0.1:${port};
      location / {
        proxy_pass http://back;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_max_temp_file_size 0;
      }
    }`,
  ]);
  const child = start("nginx", [program, "-c", config], { cores: PROXY_CORE });
  await awaitListening(child, port);
  return { name: "nginx", port, processes: [child] };
}
