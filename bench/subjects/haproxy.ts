/** HAProxy with one thread, keep-alive to both sides. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { awaitListening, freePort } from "../ports.ts";
import { PROXY_CORE, start } from "../processes.ts";
import type { Protocol, Subject } from "./subject.ts";

export async function startHaproxy(
  program: string,
  folder: string,
  protocol: Protocol,
  backend: number,
): Promise<Subject> {
  const port = await freePort();
  const config = join(folder, `haproxy-${protocol}.cfg`);
  const proto = protocol === "http2" ? " proto h2" : "";
  writeFileSync(
    config,
    `global
  nbthread 1
  maxconn 2000
defaults
  mode http
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend front
  bind 127.0.0.1:${port}${proto}
  default_backend back
backend back
  server one 127.0.0.1:${backend}${proto}
`,
  );
  const child = start("HAProxy", [program, "-f", config], { cores: PROXY_CORE });
  await awaitListening(child, port);
  return { name: "HAProxy", port, processes: [child] };
}
